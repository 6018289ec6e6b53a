package watch

import (
	"strings"
	"sync/atomic"

	"github.com/svmgate/svmgate/store"
)

// eventTypes are those that are counted by themselves. Audit events are counted together,
// and so is what a later release calls by another name.
var eventTypes = [...]string{
	"tenant.activated", "tenant.deactivated", string(store.TenantConflict), AgentNoSVM, AgentUpdateFailed, SVMDown, SVMUp, SVMOverCapacity,
	string(store.VMConflict), LicenseExpiring, MemberJoined, MemberLeft, MemberFailed, "admin", "other",
}

type counts struct {
	full, untold         atomic.Uint64
	told, heard, refused atomic.Uint64
	events               [len(eventTypes)]atomic.Uint64
}

// event counts an event of this gateway's.
func (c *counts) event(eventType string) {
	if strings.HasPrefix(eventType, "admin.") {
		eventType = "admin"
	}
	for i, name := range eventTypes {
		if name == eventType || i == len(eventTypes)-1 {
			c.events[i].Add(1)
			return
		}
	}
}

// Stats are counts since the start.
type Stats struct {
	Told    uint64 // notices that other gateways took
	Heard   uint64 // notices of other gateways that this one took
	Refused uint64 // notices of other gateways that it did not: not its own, not yet, or too many
}

// Stats returns the present counts.
func (w *Watch) Stats() Stats {
	return Stats{Told: w.counts.told.Load(), Heard: w.counts.heard.Load(), Refused: w.counts.refused.Load()}
}

// EachNotice calls fn with how many notices there were of each kind.
func (w *Watch) EachNotice(fn func(what string, n uint64)) {
	for what := Inactive; what < whats; what++ {
		fn(what.String(), w.cfg.Feed.taken[what].Load())
	}
}

// EachDrop calls fn with how many notices were dropped for each reason: the feed was full,
// as many as may be were waiting, or nobody took them.
func (w *Watch) EachDrop(fn func(why string, n uint64)) {
	fn("feed", w.cfg.Feed.dropped.Load())
	fn("queue", w.counts.full.Load())
	fn("untold", w.counts.untold.Load())
}

// EachEvent calls fn with how many events this gateway wrote of each type, whoever made
// them: those of the audit together, as "admin".
func (w *Watch) EachEvent(fn func(eventType string, n uint64)) {
	for i, name := range eventTypes {
		fn(name, w.counts.events[i].Load())
	}
}
