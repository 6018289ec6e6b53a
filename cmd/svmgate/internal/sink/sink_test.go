package sink

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

func TestEventsAreDeliveredInOrderAndOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		for n := range 30 {
			w.write(n * 10)
			time.Sleep(time.Second)
		}
		if s := w.balance(); s.Backlog != 0 || s.Failing || !slices.Equal(w.target.messages(), w.written) {
			t.Errorf("%+v: took %d, want the %d that were written", s, len(w.target.took), len(w.written))
		}
	})
}

// TestDownForAnHour loses nothing, with restarts in between; tries seldom; and says twice
// what there is to say.
func TestDownForAnHour(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(3)
		time.Sleep(time.Second)
		w.target.says(errDown)
		tries := w.target.tried()
		for range 3600 {
			w.write(1)
			time.Sleep(time.Second)
		}
		if s := w.balance(); s.Backlog != 3600 || !s.Failing || time.Since(s.Oldest).Round(time.Second) != time.Hour {
			t.Errorf("after an hour: %+v", s)
		}
		if n := w.target.tried() - tries; n < 60 || n > 140 {
			t.Errorf("%d tries in an hour, want about one a minute", n)
		}
		if n := strings.Count(w.log.String(), "\n"); n != 1 || !strings.Contains(w.log.String(), errDown.Error()) {
			t.Errorf("the log has %d lines, want one: %s", n, w.log.String())
		}
		w.restart()
		time.Sleep(time.Minute)
		w.write(1)
		w.target.says(nil)
		time.Sleep(time.Minute)
		if s := w.balance(); s.Backlog != 0 || s.Dropped != 0 || !slices.Equal(w.target.messages(), w.written) {
			t.Errorf("%+v: took %d, want all %d", s, len(w.target.took), len(w.written))
		}
		if n := strings.Count(w.log.String(), "delivered again"); n != 1 {
			t.Errorf("the log says %d times that it works again: %s", n, w.log.String())
		}
	})
}

// TestBeyondTheBacklog counts exactly what is dropped, over a restart and a crash.
func TestBeyondTheBacklog(t *testing.T) {
	for name, again := range map[string]func(*world){"": func(*world) {}, "restart": (*world).restart, "crash": (*world).crash} {
		t.Run("with "+name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Backlog = 1000 })
				w.target.says(errDown)
				for range 70 {
					w.write(100)
					time.Sleep(time.Second)
				}
				again(w)
				for range 13 {
					w.write(77)
					time.Sleep(time.Second)
				}
				again(w)
				dropped := uint64(len(w.written) - 1000)
				if s := w.balance(); s.Backlog != 1000 || s.Dropped != dropped {
					t.Errorf("%+v, want 1000 that wait and %d dropped", s, dropped)
				}
				w.target.says(nil)
				time.Sleep(2 * time.Minute)
				if s := w.balance(); s.Dropped != dropped || !slices.Equal(w.target.messages(), w.written[dropped:]) {
					t.Errorf("%+v: took %d, want the last 1000", s, len(w.target.took))
				}
				if n := strings.Count(w.log.String(), "the oldest are dropped"); n < 1 || n > 3 {
					t.Errorf("the log says %d times that events are dropped", n)
				}
			})
		})
	}
}

// TestForgottenEventsAreCounted lets the table forget what waits, while the sink is down
// and while the process is.
func TestForgottenEventsAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.target.says(errDown)
		w.write(500)
		time.Sleep(time.Hour)
		_, err := w.table.ForgetEvents(store.Time{Time: time.Now()}, 1000)
		check(t, err)
		w.write(50)
		time.Sleep(2 * sweepEvery)
		if s := w.balance(); s.Dropped != 500 || s.Backlog != 50 {
			t.Errorf("%+v, want 500 dropped", s)
		}
		w.stop()
		_, err = w.table.ForgetEvents(store.Time{}, 20)
		check(t, err)
		forgotten := uint64(50 - w.table.NumEvents())
		w.start()
		if s := w.balance(); s.Dropped != 500+forgotten {
			t.Errorf("%+v, want %d dropped", s, 500+forgotten)
		}
		w.target.says(nil)
		time.Sleep(time.Minute)
		if s := w.balance(); s.Backlog != 0 || len(w.target.took) != int(50-forgotten) {
			t.Errorf("%+v, took %d", s, len(w.target.took))
		}
	})
}

// TestRandomHistories: whatever happens, the events that were written are those that were
// delivered and those that were counted; only a crash may deliver twice.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(12) {
		inBubble(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			w := newWorld(t, func(c *Config) { c.Backlog = 200 })
			crashed := false
			for range 200 {
				switch r.IntN(10) {
				case 0:
					w.target.says(errDown)
				case 1, 2:
					w.target.says(nil)
				case 3:
					w.restart()
				case 4:
					if r.IntN(5) == 0 && seed%2 == 0 {
						crashed = true
						w.crash()
					}
				case 5:
					_, err := w.table.ForgetEvents(store.Time{Time: time.Now().Add(-time.Minute)}, r.IntN(300))
					check(t, err)
				default:
					w.write(r.IntN(120))
				}
				time.Sleep(time.Duration(r.IntN(20_000)) * time.Millisecond)
			}
			w.target.says(nil)
			time.Sleep(10 * time.Minute)
			s, took := w.stats(), w.target.messages()
			if s.Backlog != 0 {
				t.Fatalf("seed %d: %+v at the end", seed, s)
			}
			once := slices.Compact(slices.Sorted(slices.Values(took)))
			if !crashed && (len(once) != len(took) || len(once)+int(s.Dropped) != len(w.written)) {
				t.Errorf("seed %d: %d taken, %d of them once, %d dropped; want %d", seed, len(took), len(once), s.Dropped, len(w.written))
			}
			if crashed && len(once)+int(s.Dropped) < len(w.written) {
				t.Errorf("seed %d: %d taken, %d dropped; want %d at least", seed, len(once), s.Dropped, len(w.written))
			}
			if int(s.Delivered+s.Dropped) != len(w.written) {
				t.Errorf("seed %d: %+v, want %d in all", seed, s, len(w.written))
			}
		})
	}
}
