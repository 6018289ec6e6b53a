package ksc

import (
	"context"
	"encoding/json"
	"time"
)

// What follows are the methods of KSC Open API that we use, one function each, under the
// names and with the parameters of the reference.

// A group is an administration group: a folder.
type group struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// managed is HostGroup.GroupIdGroups: the id of "Managed devices".
func (l *link) managed(ctx context.Context) (int64, error) {
	var id value[int64]
	err := l.call(ctx, "HostGroup.GroupIdGroups", nil, &id)
	return id.V, err
}

// groupID is HostGroup.GetGroupId: -1 if parent has no folder of that name.
func (l *link) groupID(ctx context.Context, parent int64, name string) (int64, error) {
	var id value[int64]
	err := l.call(ctx, "HostGroup.GetGroupId", map[string]any{"nParent": parent, "strName": name}, &id)
	return id.V, err
}

// subgroups is HostGroup.GetSubgroups, one level deep.
func (l *link) subgroups(ctx context.Context, parent int64) ([]group, error) {
	var list value[[]container[group]]
	err := l.call(ctx, "HostGroup.GetSubgroups", map[string]any{"nGroupId": parent, "nDepth": 1}, &list)
	return values(list.V), err
}

// addGroup is HostGroup.AddGroup. If there is a folder of that name it returns that one,
// so it is safe to repeat.
func (l *link) addGroup(ctx context.Context, parent int64, name string) (int64, error) {
	var id value[int64]
	err := l.call(ctx, "HostGroup.AddGroup", map[string]any{"pInfo": map[string]any{"name": name, "parentId": parent}}, &id)
	return id.V, err
}

// nameGroup is HostGroup.UpdateGroup with a new name.
func (l *link) nameGroup(ctx context.Context, id int64, name string) error {
	return l.call(ctx, "HostGroup.UpdateGroup", map[string]any{"nGroup": id, "pInfo": map[string]any{"name": name}}, nil)
}

// Flags of HostGroup.RemoveGroup.
const (
	onlyEmpty  = 1 // no subgroups, hosts, policies, tasks, secondary servers
	withAllIn  = 3 // with subgroups, hosts, policies and tasks
	allServers = -1
	allUsers   = -1
	allGroups  = -1
	noGroup    = -1
)

// An action is the answer of methods that go on after it.
type action struct {
	StrActionGUID string `json:"strActionGuid"`
}

func (l *link) begin(ctx context.Context, method string, in any) (string, error) {
	var a action
	err := l.call(ctx, method, in, &a)
	if err == nil && a.StrActionGUID == "" {
		err = &lostError{method: method, cause: errNotUnderstood}
	}
	return a.StrActionGUID, err
}

// removeGroup is HostGroup.RemoveGroup; it returns the action.
func (l *link) removeGroup(ctx context.Context, id int64, flags int) (string, error) {
	return l.begin(ctx, "HostGroup.RemoveGroup", map[string]any{"nGroup": id, "nFlags": flags})
}

// A vserver is what KSC tells of a virtual server.
type vserver struct {
	ID          int64    `json:"KLVSRV_ID"`
	UID         string   `json:"KLVSRV_UID"`
	Name        string   `json:"KLVSRV_DN"`
	Description string   `json:"KLVSRV_VS_DESCR"`
	Enabled     bool     `json:"KLVSRV_ENABLED"`
	Created     datetime `json:"KLVSRV_CREATED"`
}

// vservers is VServers.GetVServers, of all folders.
func (l *link) vservers(ctx context.Context) ([]vserver, error) {
	var list value[[]container[vserver]]
	err := l.call(ctx, "VServers.GetVServers", map[string]any{"lParentGroup": allGroups}, &list)
	return values(list.V), err
}

// vserver is VServers.GetVServerInfo.
func (l *link) vserver(ctx context.Context, id int64) (vserver, error) {
	var v value[container[vserver]]
	err := l.call(ctx, "VServers.GetVServerInfo", map[string]any{
		"lVServer": id, "pFields2Return": []string{"KLVSRV_ID", "KLVSRV_UID", "KLVSRV_DN", "KLVSRV_ENABLED", "KLVSRV_CREATED"},
	}, &v)
	return v.V.V, err
}

// addVServer is VServers.AddVServerInfo. Repeated, it makes another.
func (l *link) addVServer(ctx context.Context, name string, parent int64) (int64, error) {
	var v value[container[vserver]]
	err := l.call(ctx, "VServers.AddVServerInfo", map[string]any{"strDisplayName": name, "lParentGroup": parent}, &v)
	return v.V.V.ID, err
}

// updateVServer is VServers.UpdateVServerInfo.
func (l *link) updateVServer(ctx context.Context, id int64, info map[string]any) error {
	return l.call(ctx, "VServers.UpdateVServerInfo", map[string]any{"lVServer": id, "pInfo": info}, nil)
}

// delVServer is VServers.DelVServer; it returns the action.
func (l *link) delVServer(ctx context.Context, id int64) (string, error) {
	return l.begin(ctx, "VServers.DelVServer", map[string]any{"lVServer": id})
}

// permissions is Permissions structure. Entries of others stay as they are.
type permissions struct {
	Inherited bool              `json:"KLSPL_INHERITED"`
	Possible  int64             `json:"KLSPL_POSSIBLE_RIGHTS"`
	Entries   []json.RawMessage `json:"KLSPL_PERMISSIONS"`
}

// A permission is an entry of Permissions structure, for an internal account.
type permission struct {
	User    int64 `json:"KLSPLU_AKUSER_ID"`
	IsGroup bool  `json:"KLSPLU_IS_GROUP"`
	Allow   int64 `json:"KLSPLU_ALLOWMASK"`
	Deny    int64 `json:"KLSPLU_DENYMASK"`
}

// permissions is VServers.GetPermissions.
func (l *link) permissions(ctx context.Context, server int64) (permissions, error) {
	var p value[container[permissions]]
	err := l.call(ctx, "VServers.GetPermissions", map[string]any{"lVServer": server}, &p)
	return p.V.V, err
}

// setPermissions is VServers.SetPermissions. KSC sees that we do not lock ourselves out.
func (l *link) setPermissions(ctx context.Context, server int64, p permissions) error {
	return l.call(ctx, "VServers.SetPermissions", map[string]any{
		"lVServer": server, "bProtection": true,
		"pPermissions": map[string]any{"KLSPL_INHERITED": p.Inherited, "KLSPL_PERMISSIONS": p.Entries},
	}, nil)
}

// A user is an internal account.
type user struct {
	ID          int64  `json:"KLSPL_USER_ID"`
	Name        string `json:"KLSPL_USER_NAME"`
	Description string `json:"KLSPL_USER_DESCRIPTION"`
}

// users is SecurityPolicy.GetUsers: of the main and all virtual servers, on a link to the
// main one; of the virtual server alone, on a link to that.
func (l *link) users(ctx context.Context) ([]user, error) {
	var list value[[]container[user]]
	err := l.call(ctx, "SecurityPolicy.GetUsers", map[string]any{"lUserId": allUsers, "lVsId": allServers}, &list)
	return values(list.V), err
}

// protect is DataProtectionApi.ProtectUtf16StringGlobally.
func (l *link) protect(ctx context.Context, text secret) (secret, error) {
	l.hide(text)
	var protected value[string]
	err := l.call(ctx, "DataProtectionApi.ProtectUtf16StringGlobally", map[string]any{"szwPlainText": text}, &protected)
	l.hide(secret(protected.V))
	return secret(protected.V), err
}

// addUser is SecurityPolicy.AddUser; password is what protect returned.
func (l *link) addUser(ctx context.Context, name, description string, password secret) (int64, error) {
	var id value[int64]
	err := l.call(ctx, "SecurityPolicy.AddUser", map[string]any{"pUser": map[string]any{
		"KLSPL_USER_NAME": name, "KLSPL_USER_DESCRIPTION": description, "KLSPL_USER_ENABLED": true,
		"KLSPL_USER_PWD_ENCRYPTED": binary{Type: "binary", Value: password},
	}}, &id)
	return id.V, err
}

// deleteUser is SecurityPolicy.DeleteUser.
func (l *link) deleteUser(ctx context.Context, id int64) error {
	return l.call(ctx, "SecurityPolicy.DeleteUser", map[string]any{"lUserId": id}, nil)
}

// state is the answer of AsyncActionStateChecker.CheckActionState.
type state struct {
	Finalized *bool `json:"bFinalized"`
	Succeeded bool  `json:"bSuccededFinalized"` // sic
	Code      int   `json:"lStateCode"`
	Delay     int64 `json:"lNextCheckDelay"` // milliseconds
	Data      container[struct {
		Info container[struct {
			Code    int    `json:"KLBLAG_ERROR_CODE"`
			Module  string `json:"KLBLAG_ERROR_MODULE"`
			Message string `json:"KLBLAG_ERROR_MSG"`
		}] `json:"KLBLAG_ERROR_INFO"`
	}] `json:"pStateData"`
}

// Bounds on how long KSC makes us wait before we ask again.
const (
	minDelay = 5 * time.Millisecond
	maxDelay = 30 * time.Second
)

// finish waits for the end of an action that begin began on this link. The error is an
// [*Error] if the action failed, and [ErrUnreachable] if nobody knows.
func (l *link) finish(ctx context.Context, what, guid string) error {
	l.bound.Store(true)
	defer l.bound.Store(false)
	const method = "AsyncActionStateChecker.CheckActionState"
	for {
		var s state
		err := l.call(ctx, method, map[string]any{"wstrActionGuid": guid}, &s)
		switch {
		case refused(err):
			// KSC no longer knows the action, as after a session that ended.
			return &lostError{method: what, cause: err}
		case err != nil:
			return err
		case s.Finalized == nil:
			return &lostError{method: what, cause: errNotUnderstood}
		case *s.Finalized && s.Succeeded:
			return nil
		case *s.Finalized:
			info := s.Data.V.Info.V
			if info.Message == "" {
				info.Message, info.Code = "the action failed", s.Code
			}
			return &Error{Method: what, Module: plain(info.Module), Code: info.Code, Message: plain(info.Message)}
		}
		// A millisecond more: KSC's count began after ours, but in whole ones.
		if err := wait(ctx, min(max(time.Duration(s.Delay)*time.Millisecond, minDelay), maxDelay)+time.Millisecond); err != nil {
			return err
		}
	}
}

// values takes what is in containers.
func values[T any](in []container[T]) []T {
	out := make([]T, len(in))
	for i := range in {
		out[i] = in[i].V
	}
	return out
}

// wait waits, or returns why it could not.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// add adds an entry, unless it is there.
func (p *permissions) add(entry permission) error {
	for _, raw := range p.Entries {
		var e container[permission]
		if err := json.Unmarshal(raw, &e); err == nil && e.V == entry {
			return nil
		}
	}
	raw, err := json.Marshal(container[permission]{V: entry})
	p.Entries = append(p.Entries, raw)
	return err
}
