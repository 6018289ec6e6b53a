package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// cutOff is a gang of two, of ten SVMs, the second of which hears of no reports of the
// first lost ones any more, and whose SVMs have just gone silent there.
type cutOff struct {
	*gang
	alone *gateway
	ids   []store.SVMID
}

// newCutOff lets reports of the first lost of ten SVMs reach only one of two gateways,
// until they are silent at the other.
func newCutOff(t *testing.T, lost int, edit func(n int, s *store.SVM)) cutOff {
	g := newGang(t, 2, nil)
	c := cutOff{gang: g, alone: g.all[1]}
	for n := range 10 {
		c.ids = append(c.ids, g.put(byte(n+1), func(s *store.SVM) {
			if edit != nil {
				edit(n, s)
			}
		}))
	}
	for range 15 {
		c.minute(lost)
	}
	for _, id := range c.ids {
		if state := c.state(id); state == store.Down {
			t.Fatalf("SVM %v is down too early", id)
		}
	}
	g.sweep(2 * time.Second)
	g.beat()
	return c
}

// minute lets a minute pass in which all SVMs report, and all but the first lost ones are
// heard by both gateways.
func (c cutOff) minute(lost int) {
	for n := len(c.ids) - 1; n >= 0; n-- {
		if n < lost {
			c.report(c.all[0], c.ids[n], 0, c.alone)
			continue
		}
		if n == lost {
			c.spread()
		}
		c.report(c.all[0], c.ids[n], 0)
	}
	c.all[0].news = nil // is never heard of
	c.sweep(time.Minute)
}

func (c cutOff) state(id store.SVMID) store.SVMState {
	svm, _ := c.alone.table.SVM(id)
	return svm.State
}

func (c cutOff) held() (n int) {
	c.alone.sel.Wait()
	for _, id := range c.ids {
		if c.alone.sel.Standing(id).Held {
			n++
		}
	}
	return n
}

func TestSVMsThatGoSilentHereAloneAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCutOff(t, 4, nil)
		if c.state(c.ids[0]) != store.Down || c.state(c.ids[4]) == store.Down {
			t.Fatalf("states are %v and %v; want the first down, and the fifth not", c.state(c.ids[0]), c.state(c.ids[4]))
		}
		if got := c.held(); got != 4 || !c.alone.sel.Standing(c.ids[0]).Usable {
			t.Errorf("%d SVMs are held when 4 of 10 went silent, want 4, and usable", got)
		}
		c.sweep(5*time.Minute - 3*time.Second)
		if got := c.held(); got != 4 {
			t.Errorf("%d SVMs are held just before 5 minutes, want 4", got)
		}
		c.sweep(3 * time.Second)
		if got := c.held(); got != 0 || c.alone.sel.Standing(c.ids[0]).Usable {
			t.Errorf("%d SVMs are held after 5 minutes, want none", got)
		}
	})
}

func TestAReportEndsTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCutOff(t, 4, nil)
		c.report(c.all[0], c.ids[0], 0)
		if got := c.held(); got != 3 {
			t.Errorf("%d SVMs are held when one of four has reported, want 3", got)
		}
		got := c.alone.sel.Standing(c.ids[0])
		if !got.Usable || got.Held || got.Open != 8 || !got.Settled {
			t.Errorf("after the hold it is %+v; want it as if nothing had been", got)
		}
	})
}

func TestFewSVMsThatGoSilentAreNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if c := newCutOff(t, 3, nil); c.held() != 0 {
			t.Errorf("%d SVMs are held when 3 of 10 went silent, want none", c.held())
		}
	})
}

func TestThePoolOfATenantIsGuardedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCutOff(t, 2, func(n int, s *store.SVM) {
			if n < 4 {
				s.Tenants = []store.TenantID{{7}}
			}
		})
		if got := c.held(); got != 2 {
			t.Errorf("%d SVMs are held when 2 of a tenant's 4 went silent, want 2", got)
		}
	})
}

func TestSVMsThatAreSilentElsewhereTooAreNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCutOff(t, 10, nil)
		if c.held() != 10 {
			t.Fatalf("%d SVMs are held, want 10", c.held())
		}
		c.sweep(c.ttl) // now they are silent at the other gateway
		if c.held() != 0 {
			t.Fatalf("%d SVMs are held after long, want none", c.held())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCutOff(t, 10, nil)
		epoch, silent := uint64(time.Now().UnixNano()), []discovery.Sighting{{SVM: c.ids[3], Silent: true}, {SVM: c.ids[4]}}
		c.alone.sel.Hear("a third one", epoch, silent)
		if got := c.held(); got != 9 || c.alone.sel.Standing(c.ids[3]).Held {
			t.Errorf("%d SVMs are held when one is silent elsewhere, want 9", got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // all gateways lose them at once
		g := newGang(t, 3, nil)
		ids := []store.SVMID{g.put(1, nil), g.put(2, nil)}
		g.sweep(g.ttl + 5*time.Second)
		g.beat()
		for _, w := range g.all {
			for _, id := range ids {
				if got := w.sel.Standing(id); got.Held || got.Usable {
					t.Errorf("%s: an SVM that is silent everywhere is %+v", w.name, got)
				}
			}
		}
	})
}

func TestAGatewayThatIsAloneHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		id := g.put(1, nil)
		g.sweep(g.ttl + 2*time.Second)
		g.beat()
		if g.all[0].sel.Standing(id).Held {
			t.Error("a single gateway holds an SVM")
		}
	})
	for _, c := range []struct {
		silence time.Duration // of the other gateways, before the last reports of SVMs
		held    int
	}{{0, 10}, {9 * time.Minute, 10}, {11 * time.Minute, 0}} {
		synctest.Test(t, func(t *testing.T) {
			g := newGang(t, 2, nil)
			alone := cutOff{gang: g, alone: g.all[1]}
			for n := range 10 {
				alone.ids = append(alone.ids, g.put(byte(n+1), nil))
			}
			g.sweep(time.Minute)
			g.all[0].sel.Close()
			g.all[1].count.Store(1)
			g.sweep(c.silence)
			for _, id := range alone.ids {
				g.report(g.all[1], id, 0)
			}
			g.sweep(g.ttl + 2*time.Second)
			if got := alone.held(); got != c.held {
				t.Errorf("%d SVMs are held whose last reports came %v after the last word of another gateway, want %d",
					got, c.silence, c.held)
			}
		})
	}
}

func TestWhatAnAdministratorTookAwayIsNotHeld(t *testing.T) {
	for name, take := range map[string]func(tx *store.Tx, s store.SVM) (bool, error){
		"drained": func(tx *store.Tx, s store.SVM) (bool, error) {
			return tx.ConfigureSVM(s.ID, s.SVMConfig, store.Draining)
		},
		"down": func(tx *store.Tx, s store.SVM) (bool, error) {
			return tx.ConfigureSVM(s.ID, s.SVMConfig, store.Down)
		},
		"deleted": func(tx *store.Tx, s store.SVM) (bool, error) { return tx.DeleteSVM(s.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCutOff(t, 5, nil)
				svm, _ := c.alone.table.SVM(c.ids[0])
				index := 0
				c.update(c.alone, func(tx *store.Tx) (bool, error) { return take(tx, svm) })
				if got := c.alone.sel.StandingAt(index); got.Held || got.Usable {
					t.Errorf("held when it was %s: %+v", name, got)
				}
				c.alone.sel.Wait()
				if got := c.alone.sel.StandingAt(index); got.Held {
					t.Errorf("held a pulse after it was %s", name)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // one that is written to be down goes silent with the others
		c := newCutOff(t, 5, func(n int, s *store.SVM) {
			if n == 0 {
				s.State = store.Down
			}
		})
		if c.held() != 4 || c.alone.sel.Standing(c.ids[0]).Held {
			t.Errorf("%d SVMs are held, want the 4 that nobody wrote to be down", c.held())
		}
	})
}
