package store

import (
	"cmp"
	"slices"
	"sync"
)

// A timeline has the events in the order of their clocks. It only says where to look:
// what was dropped otherwise, or replaced, may still be in it, and has to be passed over.
//
// Events come in nearly that order, as a rule; but when a table is taken over from a peer,
// in none. So it is cut into spans, which are put in order when somebody reads them.
type timeline struct{ spans []*span }

// A span has the events of some minutes: enough that spans are few, and so few that
// putting them in order takes no time.
type span struct {
	number uint64 // clocks >> spanBits

	mu     sync.Mutex // of who reads; who writes excludes those
	refs   []ref
	sorted bool
}

const spanBits = 18 + counterBits // 262 s

// A ref is where to look for an event.
type ref struct{ clock, hash uint64 }

func (r ref) compare(o ref) int {
	return cmp.Or(cmp.Compare(r.clock, o.clock), cmp.Compare(r.hash, o.hash))
}

// at returns the index of the first span that has events of a clock or later ones.
func (l *timeline) at(clock uint64) (i int, exact bool) {
	return slices.BinarySearchFunc(l.spans, clock>>spanBits, func(s *span, n uint64) int { return cmp.Compare(s.number, n) })
}

func (l *timeline) add(r ref) {
	i, ok := l.at(r.clock)
	if !ok {
		l.spans = slices.Insert(l.spans, i, &span{number: r.clock >> spanBits, sorted: true})
	}
	l.spans[i].add(r)
}

// lately is how far from the end of a span an event is put where it belongs at once.
const lately = 32

func (s *span) add(r ref) {
	s.refs = append(s.refs, r)
	if !s.sorted {
		return
	}
	i, first := len(s.refs)-1, max(0, len(s.refs)-lately)
	for ; i > first && s.refs[i-1].compare(r) > 0; i-- {
		s.refs[i] = s.refs[i-1]
	}
	s.refs[i] = r
	s.sorted = i > first || i == 0 || s.refs[i-1].compare(r) <= 0
}

// order puts a span in order.
func (s *span) order() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sorted {
		slices.SortFunc(s.refs, ref.compare)
		s.sorted = true
	}
}

// from calls fn with what there is from a clock on, in order, until it returns false.
func (l *timeline) from(clock uint64, fn func(ref) bool) {
	i, _ := l.at(clock)
	for ; i < len(l.spans); i++ {
		s := l.spans[i]
		s.order()
		j, _ := slices.BinarySearchFunc(s.refs, ref{clock: clock}, ref.compare)
		for ; j < len(s.refs); j++ {
			if !fn(s.refs[j]) {
				return
			}
		}
	}
}

// nth returns the clock of the event before which there are n, at most.
func (l *timeline) nth(n int) (clock uint64, ok bool) {
	for _, s := range l.spans {
		if n < len(s.refs) {
			s.order()
			return s.refs[n].clock, true
		}
		n -= len(s.refs)
	}
	return 0, false
}

// cut takes away what is before a clock, up to some, and calls fn with it. It reports
// whether that was all.
func (l *timeline) cut(before uint64, most int, fn func(ref)) (all bool) {
	for len(l.spans) > 0 {
		s := l.spans[0]
		s.order()
		n, _ := slices.BinarySearchFunc(s.refs, ref{clock: before}, ref.compare)
		take := min(n, most)
		for _, r := range s.refs[:take] {
			fn(r)
		}
		most -= take
		if s.refs = s.refs[take:]; len(s.refs) > 0 {
			return take == n
		}
		l.spans[0], l.spans = nil, l.spans[1:]
	}
	return true
}
