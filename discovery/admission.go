package discovery

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Bounds of an Admission.
const (
	minRate  = 0.001
	maxRate  = 1e6
	maxBurst = 1e6

	// maxLater is the longest time, but for its jitter, after which an agent is told to
	// come again.
	maxLater = time.Hour
)

// admission is an Admission, compiled. It measures time by the agents that may come in
// it, so that a place in the queue is a time.
type admission struct {
	rate  uint64 // agents a nanosecond, times 2^64; 0 means no bound
	each  uint64 // nanoseconds an agent
	burst uint32
	queue uint32 // places in it
}

func newAdmission(cfg Admission) (admission, error) {
	switch {
	case cfg.Rate == 0:
		return admission{}, nil
	case !(cfg.Rate >= minRate && cfg.Rate <= maxRate):
		return admission{}, &ConfigError{Field: "Admission.Rate", Reason: "must be 0, or 0.001 to 1000000"}
	case cfg.Burst < 0 || cfg.Burst > maxBurst:
		return admission{}, &ConfigError{Field: "Admission.Burst", Reason: "must be 0 to 1000000"}
	case cfg.Burst == 0:
		cfg.Burst = int(2 * cfg.Rate)
	}
	each := uint64(math.Round(1e9 / cfg.Rate))
	// The clock moves on by pulses: what comes between two must fit, or the rate would
	// not be reached.
	between := 1 + int(uint64(PulseEvery)/each)
	return admission{
		rate: uint64(math.Ldexp(cfg.Rate/1e9, 64)), each: each,
		burst: uint32(max(cfg.Burst, between)), queue: uint32(1 + uint64(maxLater)/each),
	}, nil
}

// turns are tenants' states by index, in chunks: what questions hold of them stays in
// place as more come. A state is two counts of agents on the scale of time, 32 bits
// each:
//
//	admitted  up to when those that were let in have used up the rate
//	told      up to when those that were sent away have been told to come again
type turns []*[256]atomic.Uint64

// grown returns turns for n tenants.
func (t turns) grown(n int) turns {
	for len(t)*len(t[0]) < n {
		t = append(t[:len(t):len(t)], new([256]atomic.Uint64))
	}
	return t
}

func (t turns) of(tenant int) *atomic.Uint64 { return &t[tenant/len(t[0])][tenant%len(t[0])] }

// admit lets an agent have another SVM and returns 0, or the seconds after which it
// may ask again. It is the generic cell rate algorithm (ITU-T I.371); of those that it
// sends away each gets a place in a queue, so that they come back at about the rate.
func (s *Selector) admit(c *catalog, slot store.Slot) (seconds int) {
	a := &s.admission
	if a.rate == 0 {
		return 0
	}
	state := c.turns.of(slot.Tenant())
	hi, _ := bits.Mul64(uint64(s.ledger.now.Load()), a.rate)
	now := uint32(hi)
	for {
		// Counts wrap around. What is further ahead than can be is from long ago.
		old := state.Load()
		admitted, told := ahead(uint32(old), now, a.burst), ahead(uint32(old>>32), now, a.queue)
		if admitted < a.burst {
			admitted++
		} else {
			told, seconds = min(told+1, a.queue), a.seconds(uint64(told)+1, spreadOf(slot.Hash()))
		}
		if state.CompareAndSwap(old, uint64(now+admitted)|uint64(now+told)<<32) {
			return seconds
		}
		seconds = 0
	}
}

// ahead returns by how much a count is ahead of now, if that is in [0, most], else 0.
func ahead(count, now, most uint32) uint32 {
	if d := count - now; d <= most {
		return d
	}
	return 0
}

// seconds returns when an agent with a place in the queue shall ask again: so many of
// a tenth later as its hash says, and in whole seconds, which its hash rounds, too.
func (a *admission) seconds(place, spread uint64) int {
	wait := place * a.each
	wait += wait / 10 * (spread >> 32 % 1024) / 1024
	return max(1, int((wait+spread%uint64(time.Second))/uint64(time.Second)))
}
