package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClocksOfOldMessages sends a node again what its peers asked it an hour ago:
// whoever hears encrypted traffic can do that, and it must not set clocks back.
func TestClocksOfOldMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a", Bootstrap: true}, nil)
		b := w.add(Config{Name: "b"}, nil)
		c := w.add(Config{Name: "c"}, nil)
		old := map[string][]byte{"b": b.summary().append(nil), "c": c.summary().append(nil)}
		time.Sleep(time.Hour)
		for range 30 {
			for peer, body := range old {
				if _, err := a.answerDigest(peer, body); err != nil {
					t.Fatal(err)
				}
			}
			if off := time.Since(a.repair.clock.Now()); off.Abs() > time.Second {
				t.Fatalf("the clock is off by %v, though all clocks are right", off)
			}
			time.Sleep(time.Second)
		}
	})
}
