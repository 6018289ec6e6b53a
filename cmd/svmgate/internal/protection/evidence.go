package protection

import (
	"time"

	"github.com/svmgate/svmgate/store"
)

const (
	// ProofGap is how far apart two statements of an agent may be that prove the time
	// between them. Agents ask every five minutes. It is assumed from Reliable: within
	// that the end of a period is known.
	ProofGap = time.Hour
	// Reliable is how long ago the end of a report must be for it to be reliable
	// (topic 259256).
	Reliable = time.Hour
)

// A statement is what an agent said of itself, and when.
type statement struct {
	at        int64 // seconds since 1970
	connected bool
}

// A span is days in a row; it is empty if last is before first.
type span struct{ first, last store.Day }

func (s span) empty() bool { return s.last < s.first }

// without takes a day away from the beginning or the end of the span.
func (s span) without(day store.Day) span {
	if s.first == day {
		s.first++
	}
	if s.last == day {
		s.last--
	}
	return s
}

// within cuts the span.
func (s span) within(o span) span { return span{max(s.first, o.first), min(s.last, o.last)} }

// daysOf returns the days of the time from one moment to another, which is not part of it
// unless it is the same moment.
func daysOf(from, to time.Time) span {
	if to.After(from) {
		to = to.Add(-1)
	}
	return span{store.DayOf(from), store.DayOf(to)}
}

// proves returns the days that a statement proves, if before is what the agent said
// before that. The zero statement says nothing.
func (now statement) proves(before statement) span {
	at := time.Unix(now.at, 0)
	since := at
	if gap := now.at - before.at; before.connected && 0 <= gap && gap <= int64(ProofGap/time.Second) {
		since = time.Unix(before.at, 0)
	}
	days := daysOf(since, at)
	switch {
	case now.connected:
		days.last = store.DayOf(at)
	case since.Equal(at):
		days.last = days.first - 1
	}
	return days
}
