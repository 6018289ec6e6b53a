package bench

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxTallies bounds what histograms take: a tally has up to a megabyte of them,
// so connections share these.
const maxTallies = 16

// An outcome is what became of a request. Times are since the start of the step.
type outcome struct {
	kind            Kind
	due, sent, done time.Duration
	status          int
	err             error

	decisions, refused int // agents answered, and lines refused
	result             int // see resultOf

	waited              time.Duration // of a poll that ran out: not part of its latency
	changed, unfinished bool          // of a poll
}

// tally is what some of the connections saw.
type tally struct {
	mu           sync.Mutex
	kinds        [numKinds]kindTally
	errors       map[string]int
	results      [len(results) + 1]int
	service, lag *hdrhistogram.Histogram // microseconds
	last         time.Duration           // the last answer
	slow         *slowness               // nil unless a recovery is watched

	slot slot // since the collector came last
}

type kindTally struct {
	scheduled, answered, good, decisions, changed, unfinished int
	latency                                                   *hdrhistogram.Histogram // nil until it is needed
}

// A slot is what happened in a moment.
type slot struct {
	answered, errors int
	latency          *hdrhistogram.Histogram
}

func histogram(digits int) *hdrhistogram.Histogram {
	return hdrhistogram.New(1, MaxLatency.Microseconds(), digits)
}

func newTally() *tally {
	return &tally{errors: map[string]int{}, service: histogram(3), lag: histogram(3), slot: slot{latency: histogram(2)}}
}

// micros is a duration in the histograms' unit, within their range.
func micros(d time.Duration) int64 {
	return min(max(d.Microseconds(), 1), MaxLatency.Microseconds())
}

// giveUp notes a request that was not sent.
func (t *tally) giveUp(kind Kind, due time.Duration, watch bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kinds[kind].scheduled++
	t.fail("given up unsent")
	if watch {
		t.slow.note(due, true)
	}
}

func (t *tally) fail(kind string) {
	t.errors[kind]++
	t.slot.errors++
}

// record notes one request.
func (t *tally) record(o *outcome, within time.Duration, watch bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := &t.kinds[o.kind]
	k.scheduled++
	if o.unfinished {
		k.unfinished++
		return
	}
	if k.latency == nil {
		k.latency = histogram(3)
	}
	latency := o.done - o.due - o.waited
	good := o.err == nil && o.status/100 == 2 && o.refused == 0
	switch {
	case o.changed:
		latency = o.sent - o.due // when it should have come nobody can say
	case good:
		// RecordValue fails for values out of range, which micros does not return.
		_ = k.latency.RecordValue(micros(latency))
		_ = t.service.RecordValue(micros(o.done - o.sent - o.waited))
		_ = t.slot.latency.RecordValue(micros(latency))
	}
	_ = t.lag.RecordValue(micros(o.sent - o.due))
	t.last = max(t.last, o.done)
	switch {
	case o.err != nil:
		t.fail(kindOf(o.err))
	case o.status/100 != 2:
		t.fail(fmt.Sprint("status ", o.status))
	case o.refused > 0:
		t.fail("refused lines in a batch")
	}
	if o.err == nil {
		k.answered++
		k.decisions += o.decisions
		t.slot.answered++
		t.results[o.result]++
	}
	if o.changed {
		k.changed++
	}
	if good && latency <= within {
		k.good++
	}
	if watch {
		t.slow.note(o.due, !good || latency > t.slow.limit)
	}
}

// add adds what another tally saw. Slots are the collector's.
func (t *tally) add(o *tally) {
	for kind := range o.kinds {
		t.kinds[kind].add(&o.kinds[kind])
	}
	for kind, n := range o.errors {
		t.errors[kind] += n
	}
	for i, n := range o.results {
		t.results[i] += n
	}
	t.service.Merge(o.service)
	t.lag.Merge(o.lag)
	t.last = max(t.last, o.last)
	t.slow = t.slow.add(o.slow)
}

func (k *kindTally) add(o *kindTally) {
	k.scheduled += o.scheduled
	k.answered += o.answered
	k.good += o.good
	k.decisions += o.decisions
	k.changed += o.changed
	k.unfinished += o.unfinished
	if o.latency == nil {
		return
	}
	if k.latency == nil {
		k.latency = histogram(3)
	}
	k.latency.Merge(o.latency)
}

// take returns the slot and begins the next one with an empty histogram, which
// the caller gives.
func (t *tally) take(empty *hdrhistogram.Histogram) slot {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.slot
	t.slot = slot{latency: empty}
	return s
}

// slowness counts requests by when they were due, and those of them that were
// late or failed: what a recovery is judged by.
type slowness struct {
	limit time.Duration
	all   []int32
	late  []int32
}

const (
	slowSlot = 100 * time.Millisecond
	slowFor  = 10 * time.Minute // afterwards nobody recovers
	steady   = 10               // slots in a row without too many that are late
)

func (s *slowness) note(due time.Duration, late bool) {
	i := int(due / slowSlot)
	if due >= slowFor {
		return
	}
	for len(s.all) <= i {
		s.all, s.late = append(s.all, 0), append(s.late, 0)
	}
	if s.all[i]++; late {
		s.late[i]++
	}
}

func (s *slowness) add(o *slowness) *slowness {
	if o == nil {
		return s
	}
	if s == nil {
		s = &slowness{limit: o.limit}
	}
	for i := range o.all {
		for len(s.all) <= i {
			s.all, s.late = append(s.all, 0), append(s.late, 0)
		}
		s.all[i] += o.all[i]
		s.late[i] += o.late[i]
	}
	return s
}

// recovery is how long it took until no more than a hundredth were late, for a
// second; or to the end, if that came first.
func (s *slowness) recovery() (time.Duration, bool) {
	from := 0
	for i := range s.all {
		if s.late[i]*100 > s.all[i] {
			from = i + 1
		}
		if i+1-from >= steady {
			break
		}
	}
	return time.Duration(from) * slowSlot, from < len(s.all)
}
