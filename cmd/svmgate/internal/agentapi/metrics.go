package agentapi

import "sync/atomic"

// shards is the number of copies of each counter. One is chosen for each
// scratch, so that processors seldom write to the same cache line.
const shards = 16

// An outcome is how a request, or a line of a batch, ended. The first six are
// those of [discovery.Result].
type outcome uint8

const (
	outcomeNotRegistered outcome = iota
	outcomeAssigned
	outcomeInactive
	outcomeNoSVM
	outcomeOverCapacity
	outcomeLater
	outcomeInvalid
	outcomeUnauthorized
	outcomeNotReady
	outcomeNotFound
	outcomeNotAllowed
	outcomeBatch
	outcomeTold
	outcomeForbidden
	outcomeBusy
	outcomeCrowded
	outcomes
)

var outcomeNames = [outcomes]string{"not_registered", "assigned", "inactive", "no_svm", "over_capacity", "later",
	"invalid", "unauthorized", "not_ready", "not_found", "method_not_allowed", "batch", "told", "forbidden", "busy", "too_many_waiting"}

// Metrics counts what the agent plane answered. Its zero value is ready for use,
// from many goroutines.
type Metrics struct{ shards [shards]counters }

// counters are one shard: two counters that are written together lie together,
// and the gap keeps the next shard out of their cache lines.
type counters struct {
	requests [outcomes]atomic.Uint64
	lines    [outcomes]atomic.Uint64
	_        [128]byte
}

func (m *Metrics) count(shard int, o outcome)     { m.shards[shard].requests[o].Add(1) }
func (m *Metrics) countLine(shard int, o outcome) { m.shards[shard].lines[o].Add(1) }

// Each calls fn with the value of each counter since the start: the name of the
// metric, without a prefix, and the value of its label "result". Counters that
// are read while requests are answered may differ by those.
func (m *Metrics) Each(fn func(name, result string, value uint64)) {
	for o, name := range outcomeNames {
		var requests, lines uint64
		for i := range m.shards {
			requests += m.shards[i].requests[o].Load()
			lines += m.shards[i].lines[o].Load()
		}
		fn("agent_requests_total", name, requests)
		if outcome(o) <= outcomeInvalid {
			fn("agent_batch_lines_total", name, lines)
		}
	}
}
