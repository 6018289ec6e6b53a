package ksctest

import (
	"crypto/rand"
	"time"
)

// An action goes on after the call that began it was answered.
type action struct {
	conn    *conn
	target  string // what it removes
	due     time.Time
	next    time.Time // when it may be asked for again
	do      func() *failure
	done    bool
	failure *failure
}

// act begins an action, unless one is under way for the same target.
func (c call) act(target string, do func() *failure) (map[string]any, *failure) {
	for _, a := range c.actions {
		if a.target == target && !a.done {
			return nil, fail("KLSTD", 1193, "this is being removed already")
		}
	}
	id := rand.Text()
	c.conn.begun[id] = true
	c.actions[id] = &action{conn: c.conn, target: target, due: time.Now().Add(c.cfg.ActionTime), do: do}
	return map[string]any{"strActionGuid": id}, nil
}

// settle finishes the actions whose time has come, and forgets those whose connection is
// lost. It needs KSC.mu.
func (k *KSC) settle() {
	now := time.Now()
	for id, a := range k.actions {
		switch lost := a.conn.lost || a.conn.doomed; {
		case lost && k.cfg.ActionsDie && !a.done:
			delete(k.actions, id)
			continue
		case !a.done && !now.Before(a.due):
			a.failure, a.done = a.do(), true
		}
		if a.done && a.conn.lost {
			delete(k.actions, id)
		}
	}
}

func (c call) checkActionState() (map[string]any, *failure) {
	in, no := parameters[struct{ WstrActionGUID string }](c)
	if no != nil {
		return nil, no
	}
	a, now := c.actions[in.WstrActionGUID], time.Now()
	switch {
	case !c.conn.begun[in.WstrActionGUID]:
		c.breachLocked("%s: on another connection than the one that began the action", c.method)
		return nil, notFound("action")
	case a == nil:
		return nil, notFound("action")
	case now.Before(a.next):
		c.breachLocked("%s: %v before lNextCheckDelay has passed", c.method, a.next.Sub(now))
		return nil, fail("KLSTD", 1193, "too early")
	case !a.done:
		a.next = now.Add(c.cfg.CheckDelay)
		return map[string]any{
			"bFinalized": false, "bSuccededFinalized": false, "lStateCode": 0, "pStateData": nil,
			"lNextCheckDelay": c.cfg.CheckDelay.Milliseconds(),
		}, nil
	}
	delete(c.actions, in.WstrActionGUID)
	answer := map[string]any{"bFinalized": true, "bSuccededFinalized": true, "lStateCode": 1, "pStateData": map[string]any{}, "lNextCheckDelay": 0}
	if a.failure != nil {
		answer["bSuccededFinalized"], answer["lStateCode"] = false, 0
		answer["pStateData"] = map[string]any{"KLBLAG_ERROR_INFO": typed("params", map[string]any{
			"KLBLAG_ERROR_CODE": a.failure.Code, "KLBLAG_ERROR_MODULE": a.failure.Module, "KLBLAG_ERROR_MSG": a.failure.Message,
		})}
	}
	return answer, nil
}

func (c call) delVServer() (map[string]any, *failure) {
	in, no := parameters[struct{ LVServer int }](c)
	if no != nil {
		return nil, no
	}
	v := c.servers[in.LVServer]
	if v == nil {
		return nil, notFound("virtual server")
	}
	return c.act(v.UID, func() *failure {
		delete(c.servers, v.ID)
		delete(c.rights, v.ID)
		for _, u := range c.users {
			if u.Server == v.ID && !c.cfg.UsersStay {
				delete(c.users, u.ID)
			}
		}
		return nil
	})
}

func (c call) removeGroup() (map[string]any, *failure) {
	in, no := parameters[struct{ NGroup, NFlags int }](c)
	if no != nil {
		return nil, no
	}
	f := c.folders[in.NGroup]
	switch {
	case f == nil:
		return nil, notFound("group")
	case in.NFlags < 1 || in.NFlags > 3:
		c.breachLocked("%s: flags %d", c.method, in.NFlags)
		return nil, badFormat("flags")
	}
	return c.act("group "+f.Name, func() *failure { return c.dropFolder(f.ID, in.NFlags) })
}

// dropFolder removes a folder; with flags 1 only if nothing is in it, and never with a
// virtual server somewhere below.
func (k *KSC) dropFolder(id, flags int) *failure {
	below := map[int]bool{id: true}
	for grown := true; grown; {
		grown = false
		for _, f := range k.folders {
			if below[f.Parent] && !below[f.ID] {
				below[f.ID], grown = true, true
			}
		}
	}
	for _, v := range k.servers {
		if below[v.Folder] {
			return fail("KLSRV", 2002, "the group is not empty")
		}
	}
	if flags == 1 && len(below) > 1 {
		return fail("KLSRV", 2002, "the group is not empty")
	}
	for f := range below {
		delete(k.folders, f)
	}
	return nil
}
