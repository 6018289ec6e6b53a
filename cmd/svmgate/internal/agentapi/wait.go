package agentapi

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
	"github.com/svmgate/svmgate/discovery"
)

// Bounds of the parameter wait.
const (
	MinWait = time.Second
	MaxWait = 5 * time.Minute
)

// patience are the parameters with which a question waits: either alone changes nothing.
const patience = 1<<paramWait | 1<<paramRevision

// A patient is what a question says of waiting.
type patient struct {
	wait     time.Duration
	revision uint64
}

// setPatience reads a parameter of a question that may wait.
func (s *scratch) setPatience(p param, text []byte) *refusal {
	if p == paramWait {
		wait, ok := waitTime(text)
		if !ok {
			return badValue("wait", text, "whole seconds or a duration such as 60s, from 1s to 5m")
		}
		s.patient.wait = wait
		return nil
	}
	revision, err := strconv.ParseUint(string(text), 10, 53)
	if err != nil {
		return badValue("revision", text, "the revision of an answer, a number below 9007199254740992")
	}
	s.patient.revision = revision
	return nil
}

func waitTime(text []byte) (time.Duration, bool) {
	const longest = 32 // bytes
	if len(text) > longest {
		return 0, false
	}
	wait, err := time.ParseDuration(string(text))
	if seconds, notSeconds := strconv.ParseUint(string(text), 10, 16); notSeconds == nil {
		wait, err = time.Duration(seconds)*time.Second, nil
	}
	return wait, err == nil && wait >= MinWait && wait <= MaxWait
}

// refuseInLine refuses parameters that only a question of its own may have.
func refuseInLine(p param, name []byte) *refusal {
	if patience&(1<<p) == 0 {
		return nil
	}
	return &refusal{400, "invalid_parameter", string(name) + " is not for lines: a batch is answered at once"}
}

// await is what happens to a question that waits, from when it has entered the room. The
// request is read anew whenever the question is: what it found the first time, such as
// whose token it shows, may not hold any longer. It reports false, and there is no answer,
// once admitted does.
func (a *API) await(ctx *fasthttp.RequestCtx, p *plane, w *waiter, admitted func() bool) bool {
	defer a.room.exit(w)
	a.room.guard(w, admitted)
	for {
		a.room.block(w)
		if admitted != nil && !admitted() {
			return false
		}
		if w.cause >= causeClosing {
			ctx.SetConnectionClose()
		}
		if a.serve(ctx, p, w) == nil {
			return true
		}
	}
}

// hold decides whether the question of s, which has been decided, waits, as w if it is not
// nil. It reports whether it has been dealt with: then it waits as the waiter that is
// returned, or was refused. Otherwise it is to be answered.
func (p *plane) hold(ctx *fasthttp.RequestCtx, s *scratch, w *waiter) (*waiter, bool) {
	switch r := s.answer.Result; {
	case r == discovery.NotRegistered, r == discovery.Later, s.answer.Revision != s.patient.revision,
		ctx.IsHead(), p.room.isClosing():
		return nil, false
	case w == nil:
		w = p.waiterOf(ctx, s)
		if full := p.room.enter(w, s.patient.wait); full != nil {
			p.refuse(ctx, s, full)
			return nil, true
		}
	case w.cause != causeChange:
		return nil, false
	}
	return w, true
}

// waiterOf copies the question of s.
func (p *plane) waiterOf(ctx *fasthttp.RequestCtx, s *scratch) *waiter {
	w := &waiter{query: s.query, revision: s.patient.revision, peer: peerOf(ctx.Conn()), tenant: p.room.tenantOf(&s.query.BIOS)}
	w.query.Failed = slices.Clone(w.query.Failed)
	w.query.Tag.V = bytes.Clone(w.query.Tag.V)
	if p.auth == Token {
		sum := auth.SumToken(tokenIn(ctx.Request.Header.PeekCanonical(authorization)))
		w.token = &sum
	}
	return w
}

// crowded says that too many questions wait.
var crowded = &canned{status: 429, outcome: outcomeCrowded, again: true, body: problem.Append(nil, 429, "too_many_waiting",
	"too many agents wait for changes at present: ask without wait, or another gateway")}

// limited says that too many questions of one tenant wait. There is room for others'.
var limited = &canned{status: 429, outcome: outcomeCrowded, again: true, body: problem.Append(nil, 429, "too_many_waiting",
	"too many agents of this tenant wait for changes at present: ask without wait, or another gateway")}
