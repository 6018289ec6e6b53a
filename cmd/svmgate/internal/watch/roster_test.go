package watch

import (
	"fmt"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rosterOf(self string, names ...string) *roster {
	r := newRoster(self, true, start)
	r.names = hash(names)
	return r
}

// Everything has one owner, whoever is asked; each gateway owns its part; and when one
// goes, only what it had changes owners.
func TestOwners(t *testing.T) {
	names := []string{"gw-1", "gw-2", "gw-3", "gw-4", "gw-5"}
	all, without := rosterOf("gw-1", names...), rosterOf("gw-2", names[:4]...)
	const things = 20_000
	owned := map[string]int{}
	for i := range things {
		id := bios(i)
		was, is := all.owner(id, ""), without.owner(id, "")
		owned[was]++
		if was != "gw-5" && is != was {
			t.Fatalf("%d belongs to %s, and to %s when gw-5 is gone", i, was, is)
		}
		if other := all.owner(id, "gw-5"); other != is {
			t.Fatalf("%d belongs to %s when gw-5 is gone, and to %s when it is not asked", i, is, other)
		}
	}
	for name, n := range owned {
		if n < things/5*9/10 || n > things/5*11/10 {
			t.Errorf("%s owns %d of %d things, want a fifth", name, n, things)
		}
	}
	if len(owned) != 5 {
		t.Errorf("%d gateways own something, want 5", len(owned))
	}
}

// Who gets something waits; who had it all the while does not; and who had it, lost it and
// gets it back waits as well.
func TestANewOwnerWaits(t *testing.T) {
	both := []string{"b"}
	r := newRoster("a", false, start)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	var mine, other [16]byte // while b is there
	for i := range 100 {
		if rosterOf("a", "a", "b").owner(bios(i), "") == "a" {
			mine = bios(i)
		} else {
			other = bios(i)
		}
	}
	steps := []struct {
		at          float64
		others      []string
		mine, other bool // whether a may act
	}{
		{1, nil, false, false}, // it has just started
		{9, nil, false, false},
		{10, nil, true, true},
		{20, both, true, false},
		{21, nil, true, false}, // b is gone
		{30.5, nil, true, false},
		{31, nil, true, true},
		{34, both, true, false},
		{35, nil, true, false},
		{36, both, true, false},
		{37, nil, true, false},
		{46.9, nil, true, false},
		{47, nil, true, true},
	}
	for _, s := range steps {
		r = r.next(s.others, at(s.at))
		if got := r.mine(mine, "", at(s.at)); got != s.mine {
			t.Errorf("after %v s, of what it has all the while, a may act: %t, want %t", s.at, got, s.mine)
		}
		if got := r.mine(other, "", at(s.at)); got != s.other {
			t.Errorf("after %v s, of what is b's, a may act: %t, want %t", s.at, got, s.other)
		}
	}
	for i := range 1000 { // and what it remembers does not grow
		r = r.next([]string{fmt.Sprint("gw-", i)}, at(100+float64(i)))
	}
	if len(r.before) > 11 {
		t.Errorf("%d rosters are remembered, want those of the last %v", len(r.before), Settle)
	}
}
