package express

import "testing"

// A connection that is alone never gives way; one that is not does, soon, and no longer
// once it is alone again.
func TestGivesWayToOthersOnly(t *testing.T) {
	l := new(Listener)
	a, b := &conn{l: l, number: 1}, &conn{l: l, number: 2}
	turn := func(cs ...*conn) {
		for range 2 * lookAround {
			for _, c := range cs {
				c.giveWay()
			}
		}
	}
	check := func(when string, wantA, wantB bool) {
		t.Helper()
		if a.others != wantA || b.others != wantB {
			t.Errorf("%s: the first gives way: %v, the second: %v; want %v, %v", when, a.others, b.others, wantA, wantB)
		}
	}
	a.giveWay()
	check("after the first answer", false, false)
	turn(a)
	check("one asks", false, false)
	turn(a, b)
	check("both ask", true, true)
	turn(b)
	check("the other went", true, false)
}
