package store

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelDays are days as a set, of which those that are too old beside the latest are
// taken out in the end.
type modelDays map[Day]bool

func (m modelDays) add(first, last Day) {
	for day := max(first, last-2*MaxDays); day <= last; day++ {
		m[day] = true
	}
}

func (m modelDays) kept() []Day {
	days := slices.Sorted(maps.Keys(m))
	for len(days) > 0 && days[0] <= days[len(days)-1]-MaxDays {
		days = days[1:]
	}
	return days
}

func (d Days) list() (list []Day) {
	for first, last := range d.Runs() {
		for ; first <= last; first++ {
			list = append(list, first)
		}
	}
	return list
}

func mustBeDays(t failer, what string, d Days, want []Day) {
	t.Helper()
	if got := d.list(); !slices.Equal(got, want) || d.Len() != len(want) || !d.canonical() {
		t.Fatalf("%s: %v (%d days, canonical: %v), want %v", what, got, d.Len(), d.canonical(), want)
	}
	for _, day := range want {
		if !d.Has(day) || d.Has(day+1) != slices.Contains(want, day+1) || d.Has(day-1) != slices.Contains(want, day-1) {
			t.Fatalf("%s: Has does not agree with %v around %d", what, want, day)
		}
	}
}

// Days are what a set of days is, whatever is added in whatever order, and wherever they
// are cut.
func TestDaysAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Days
		model := modelDays{}
		for range rapid.IntRange(0, 8).Draw(t, "spans") {
			first := Day(rapid.IntRange(20_000, 20_000+3*MaxDays).Draw(t, "first"))
			last := first + Day(rapid.OneOf(rapid.IntRange(-2, 12), rapid.IntRange(0, 2*MaxDays)).Draw(t, "days"))
			before := slices.Clone(d.bits)
			was := d
			d.Add(first, last)
			model.add(first, last)
			if !slices.Equal(before, was.bits) {
				t.Fatal("Add changes a copy that was made before")
			}
		}
		want := model.kept()
		mustBeDays(t, "added", d, want)
		at := Day(rapid.IntRange(20_000, 20_000+5*MaxDays).Draw(t, "at"))
		head, tail := Days{d.first, slices.Clone(d.bits)}, Days{d.first, slices.Clone(d.bits)}
		cut := tail.cut(at)
		head.cutAfter(at - 1)
		i, _ := slices.BinarySearch(want, at)
		mustBeDays(t, "cut", tail, want[i:])
		mustBeDays(t, "cut after", head, want[:i])
		if cut != (i > 0) {
			t.Fatalf("cut at %d of %v says %v", at, want, cut)
		}
	})
}

// a + a = a, a + b = b + a and (a + b) + c = a + (b + c) for days, too, with what falls
// away.
func TestDaysAreJoined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d [3]Days
		for i := range d {
			d[i] = anyDays(t, Day(rapid.IntRange(3*MaxDays, 6*MaxDays).Draw(t, "last")))
		}
		a, b, c := d[0], d[1], d[2]
		for _, law := range []struct {
			name        string
			left, right Days
		}{
			{"a + a = a", a.Union(a), a},
			{"a + b = b + a", a.Union(b), b.Union(a)},
			{"(a + b) + c = a + (b + c)", a.Union(b).Union(c), a.Union(b.Union(c))},
		} {
			if !law.left.Equal(law.right) || !law.left.canonical() {
				t.Errorf("%s: %v, %v", law.name, law.left.list(), law.right.list())
			}
		}
	})
}

func TestDaysOfTheEnds(t *testing.T) {
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(86_399, 0), time.Unix(-1, 0), time.Unix(-86_400, 0), time.Date(2026, 3, 1, 23, 59, 59, 999, time.UTC)} {
		day := DayOf(at)
		if start := day.Start(); start.After(at) || !at.Before(start.Add(24*time.Hour)) {
			t.Errorf("DayOf(%v) = %v", at, day)
		}
	}
	if got := DayOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)).String(); got != "2026-03-01" {
		t.Errorf("the day is %s", got)
	}
	var d Days
	d.Add(math.MinInt32, math.MaxInt32-8)
	if d.Len() != MaxDays || !d.Has(math.MaxInt32-8) || d.Has(math.MinInt32) {
		t.Errorf("all days: %d, %v", d.Len(), d)
	}
	d.Add(5, 4)
	d.Add(math.MinInt32, math.MinInt32+1)
	if d.Len() != MaxDays {
		t.Errorf("days that are too old, and none, change the set: %d", d.Len())
	}
}
