package sink

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// from takes what another gateway wrote into the table, which was so long ago.
func (w *world) from(ago time.Duration, events ...store.Event) {
	w.t.Helper()
	peer, err := store.Open(store.Config{Node: "there", Clock: func() time.Time { return time.Now().Add(-ago) }})
	check(w.t, err)
	check(w.t, peer.Update(func(tx *store.Tx) error {
		for _, e := range events {
			if _, err := tx.Emit(e); err != nil {
				return err
			}
		}
		return nil
	}))
	w.merge(peer)
}

// merge takes all events of another table.
func (w *world) merge(from *store.Table) {
	w.t.Helper()
	var records []store.Record
	from.Records(func(r store.Record) bool {
		if r.Key.Kind == store.KindEvent {
			records = append(records, r)
		}
		return true
	})
	_, err := w.table.Apply(store.Batch{Records: records, From: "there"})
	check(w.t, err)
}

func TestOthersDeliverTheirOwn(t *testing.T) {
	for name, forget := range map[string]bool{"": false, ", and it is forgotten": true} {
		t.Run("what they wrote before"+name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.target.says(errDown)
				w.write(200)
				all := map[string]store.Event{}
				w.table.Events(store.Version{}, func(e *store.Event) bool { all[e.Message] = *e; return true })
				same := all["event 150"] // it is not its turn yet
				w.from(-time.Second, store.Event{ID: store.NewEventID(), Type: "svm.down"})
				w.from(time.Second, store.Event{ID: same.ID, Type: same.Type, Message: "earlier"})
				time.Sleep(sweepEvery + time.Second)
				want, dropped := slices.Delete(slices.Clone(w.written), 150, 151), uint64(0)
				if forget {
					_, err := w.table.ForgetEvents(store.Time{Time: time.Now()}, 100)
					check(t, err)
					want, dropped = nil, 199
				}
				w.target.says(nil)
				time.Sleep(2 * time.Minute)
				if s := w.stats(); s.Dropped != dropped || s.Backlog != 0 || !slices.Equal(w.target.messages(), want) {
					t.Errorf("%+v: took %d, want %d", s, len(w.target.took), len(want))
				}
			})
		})
	}
}

// TestNewsComeInAnyOrder: what one change wrote is delivered in the order of versions.
func TestNewsComeInAnyOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Targets = nil })
		w.stop()
		var news store.News
		cancel := w.table.Subscribe(func(n *store.News) { news.Records = append(news.Records, n.Records...) })
		w.cfg.Targets = []Target{w.target}
		w.sinks = Open(w.cfg)
		w.sinks.cancel()
		w.write(500)
		cancel()
		w.end = func() {}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); w.sinks.Run(ctx) }()
		slices.Reverse(news.Records)
		w.sinks.note(&news)
		if w.balance(); !slices.Equal(w.target.messages(), w.written) {
			t.Errorf("took %d, want %d in their order", len(w.target.took), len(w.written))
		}
		end()
		<-ended
	})
}

func TestNewSinkBeginsNow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Targets = nil })
		w.write(5)
		w.stop()
		w.cfg.Targets = []Target{w.target}
		w.start()
		w.crash() // nothing was delivered, and nothing kept since it was opened
		w.written = nil
		w.write(3)
		time.Sleep(time.Second)
		if w.balance(); !slices.Equal(w.target.messages(), w.written) {
			t.Errorf("took %q, want %q", w.target.messages(), w.written)
		}
		// One that is taken out for a while is new as well.
		w.stop()
		w.cfg.Targets = nil
		w.start()
		w.write(4)
		w.stop()
		w.cfg.Targets = []Target{w.target}
		w.start()
		w.target.took, w.written = nil, nil
		w.write(1)
		if w.balance(); !slices.Equal(w.target.messages(), w.written) {
			t.Errorf("took %q, want %q", w.target.messages(), w.written)
		}
	})
}

func TestRefusedEventsAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.target.wants = func(e *store.Event) error {
			if strings.HasSuffix(e.Message, "7") {
				return &RefusedError{errors.New("not a seven")}
			}
			return nil
		}
		w.write(250)
		if s := w.balance(); s.Refused != 25 || s.Delivered != 225 || s.Failing {
			t.Errorf("%+v, want 25 refused", s)
		}
		if n := strings.Count(w.log.String(), "not a seven"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

func TestTargetIsLeftAloneAsLongAsItWants(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.target.says(&LaterError{errDown, 10 * time.Minute})
		w.write(1)
		time.Sleep(10 * time.Minute)
		if n := w.target.tried(); n != 1 {
			t.Errorf("%d tries in 10 minutes, want one", n)
		}
		w.target.says(&LaterError{errDown, 1000 * time.Hour})
		time.Sleep(2 * time.Second)
		w.target.says(nil)
		time.Sleep(mostLater + mostPause)
		if s := w.balance(); s.Backlog != 0 {
			t.Errorf("%+v an hour later", s)
		}
	})
}

// TestTheEndDelivers what waits if that works, and does not wait if it does not.
func TestTheEndDelivers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.target.slow = 100 * time.Millisecond
		w.write(1000)
		begin := time.Now()
		w.stop()
		if took := time.Since(begin); len(w.target.took) != 1000 || took > 1100*time.Millisecond {
			t.Errorf("took %d in %s", len(w.target.took), took)
		}
		w.target.slow = time.Hour
		w.start()
		w.write(10)
		begin = time.Now()
		w.stop()
		if took := time.Since(begin); took != drainTimeout {
			t.Errorf("it ends after %s, want %s", took, drainTimeout)
		}
		w.target.slow = 0
		w.target.says(errDown)
		w.start()
		begin = time.Now()
		w.stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("with a sink that is down it ends after %s", took)
		}
		if strings.Contains(w.log.String(), "deadline") || strings.Contains(w.log.String(), "canceled") {
			t.Errorf("the log tells of a failure that is none: %s", w.log.String())
		}
	})
}

// TestTableThatIsFilledAnew: what comes back from others was not lost, and what does not
// was.
func TestTableThatIsFilledAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.target.says(errDown)
		w.write(10)
		time.Sleep(time.Minute)
		w.write(10)
		w.stop()
		old := w.table
		_, err := old.ForgetEvents(store.Time{Time: time.Now().Add(-time.Second)}, 100)
		check(t, err)
		w.table, err = store.Open(store.Config{Node: "here"})
		check(t, err)
		w.cfg.Table, w.cfg.Anew = w.table, true
		Open(w.cfg).cancel() // and then a crash
		ctx, cancel := context.WithCancel(t.Context())
		w.sinks = Open(w.cfg)
		if s := w.sinks.Stats()[0]; s.Dropped != 0 {
			t.Errorf("before the table is filled: %+v", s)
		}
		w.merge(old)
		w.write(1)
		ended := make(chan struct{})
		go func() { defer close(ended); w.sinks.Run(ctx) }()
		if s := w.balance(); s.Dropped != 10 || s.Backlog != 11 {
			t.Errorf("%+v, want 10 dropped", s)
		}
		w.target.says(nil)
		time.Sleep(time.Minute)
		if w.balance(); !slices.Equal(w.target.messages(), w.written[10:]) {
			t.Errorf("took %q, want %q", w.target.messages(), w.written[10:])
		}
		cancel()
		<-ended
		check(t, old.Close())
	})
}

// TestAClockThatWasAhead: after it was set right and the table was taken anew, versions
// are lower than the cursor.
func TestAClockThatWasAhead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		ahead, err := store.Open(store.Config{Node: "here", Clock: func() time.Time { return time.Now().Add(time.Hour) }})
		check(t, err)
		right := w.table
		w.stop()
		w.table, w.cfg.Table = ahead, ahead
		w.start()
		w.write(5)
		w.restart() // while it is ahead, nothing is delivered twice
		w.stop()
		w.table, w.cfg.Table, w.cfg.Anew = right, right, true
		w.start()
		w.write(5)
		if w.balance(); !slices.Equal(w.target.messages(), w.written) {
			t.Errorf("took %q, want %q", w.target.messages(), w.written)
		}
		check(t, ahead.Close())
	})
}

func TestDamagedCursorsAreNew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, text := range []string{"{", `{"sinks":{"receiver":{"cursor":"7"}}}`, "\x00"} {
			w := newWorld(t)
			w.write(2)
			w.stop()
			w.cfg.Keep.(*Memory).text = []byte(text)
			w.target.took = nil
			w.start()
			w.write(1)
			w.stats()
			if got := w.target.messages(); !slices.Equal(got, w.written[2:]) || !strings.Contains(w.log.String(), "can not be read") {
				t.Errorf("%q: took %q, log %s", text, got, w.log.String())
			}
			w.stop()
		}
	})
}

// TestCursorsOutlastTheProcess in a file that is its owner's.
func TestCursorsOutlastTheProcess(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		path := t.TempDir() + "/sinks.json"
		w := newWorld(t, func(c *Config) { c.Keep = File(path) })
		w.write(3)
		time.Sleep(keepEvery + keepEvery/2)
		text, err := File(path).Load()
		check(t, err)
		if !strings.Contains(string(text), `"delivered": 3`) {
			t.Errorf("kept: %s", text)
		}
		w.restart()
		w.write(3)
		if w.balance(); !slices.Equal(w.target.messages(), w.written) {
			t.Errorf("took %q", w.target.messages())
		}
		w.stop()
		w.cfg.Keep = File(t.TempDir() + "/no/such/directory")
		w.start()
		w.write(1)
		time.Sleep(time.Minute)
		if n := strings.Count(w.log.String(), "can not be kept"); n != 1 {
			t.Errorf("said %d times that cursors can not be kept", n)
		}
	})
}
