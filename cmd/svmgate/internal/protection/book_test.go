package protection

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// keptBy has a table keep its records in a journal.
func keptBy(j store.Journal) func(*store.Config) {
	return func(c *store.Config) { c.Journal = j }
}

func TestNew(t *testing.T) {
	table := newTable(t, 0)
	for _, cfg := range []Config{{}, {Table: table, Keep: -1}, {Table: table, Keep: store.MaxDays + 1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New(%+v) is content", cfg)
		}
	}
}

// What an agent says is on disk a moment later; what is not new is not written.
func TestSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &failing{}
		table := newTable(t, 3, keptBy(disk))
		b := newBook(t, table)
		defer run(b)()
		before := disk.appends.Load()
		for range 12 {
			for n := range 3 {
				b.Said(aVM(n), n < 2, time.Now())
			}
			time.Sleep(5 * time.Minute)
		}
		if wrote := disk.appends.Load() - before; wrote != 1 {
			t.Errorf("%d changes were written, want 1", wrote)
		}
		if got, want := b.days(Query{}), "vm 0 2000-01-01 2000-01-01\nvm 1 2000-01-01 2000-01-01\n"; got != want {
			t.Errorf("protected were\n%swant\n%s", got, want)
		}
		if s := b.Stats(); s.Said != 36 || s.Written != 2 || s.Known != 3 || s.Waiting+int(s.Dropped)+int(s.Failures) != 0 {
			t.Errorf("counted were %+v", s)
		}
	})
}

// Who waits for company to the disk does not wait for long, and those who are enough not
// at all.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &failing{}
		b := newBook(t, newTable(t, 3*batch, keptBy(disk)))
		defer run(b)()
		synctest.Wait()
		before := disk.appends.Load()
		wrote := func(want int64) {
			t.Helper()
			synctest.Wait()
			if got := disk.appends.Load() - before; got != want {
				t.Errorf("%d changes were written, want %d", got, want)
			}
		}
		b.Said(aVM(0), true, time.Now())
		time.Sleep(gather - time.Millisecond)
		wrote(0)
		time.Sleep(time.Millisecond)
		wrote(1)
		for n := range batch {
			b.Said(aVM(batch+n), true, time.Now())
			if n == 0 || n == batch-2 {
				synctest.Wait() // while it gathers
			}
		}
		wrote(2)
	})
}

func TestOff(t *testing.T) {
	table := newTable(t, 2)
	on := newBook(t, table)
	_, _, err := on.Take([]Session{{aVM(1), time.Now(), time.Now()}})
	check(t, err)
	off, err := New(Config{Table: table})
	check(t, err)
	off.Said(aVM(0), true, time.Now())
	if _, _, err := off.Take([]Session{{aVM(0), time.Now(), time.Now()}}); !errors.Is(err, ErrOff) || off.Collecting() {
		t.Errorf("a session: %v", err)
	}
	if got := off.report(t, Query{}); got != "" || off.Stats() != (Stats{}) {
		t.Errorf("it reports %q, and counts %+v", got, off.Stats())
	}
	if got := on.report(t, Query{}); strings.Count(got, "\n") != 1 {
		t.Errorf("what was collected before is %q", got)
	}
}

// What the disk refuses is written later, in order; what waits meanwhile has a bound.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &failing{}
		b := newBook(t, newTable(t, 2, keptBy(disk)))
		defer run(b)()
		disk.full.Store(true)
		b.Said(aVM(0), true, time.Now())
		time.Sleep(time.Minute)
		if s := b.Stats(); s.Failures < 3 || b.days(Query{}) != "" {
			t.Errorf("while the disk is full: %+v", s)
		}
		b.Said(aVM(1), true, time.Now())
		disk.full.Store(false)
		time.Sleep(longestPause + gather)
		if got := b.days(Query{}); strings.Count(got, "\n") != 2 {
			t.Errorf("protected were %q", got)
		}
	})
}

func TestWaitingHasABound(t *testing.T) {
	b := newBook(t, newTable(t, 2))
	for range MaxWaiting - 1 {
		b.queue.put(evidence{})
	}
	now := time.Now()
	b.Said(aVM(0), true, now)
	b.Said(aVM(1), true, now)
	b.Said(aVM(1), true, now)
	if s := b.Stats(); s.Waiting != MaxWaiting || s.Dropped != 2 {
		t.Errorf("%d wait, %d were dropped; want %d and 2", s.Waiting, s.Dropped, MaxWaiting)
	}
	b.queue.take(nil)
	b.Said(aVM(0), true, now)
	b.Said(aVM(1), true, now)
	if all := b.queue.take(nil); len(all) != 1 || all[0].vm != aVM(1) {
		t.Errorf("%v wait, want only what was dropped", all)
	}
}

// What waits at the end is written.
func TestStop(t *testing.T) {
	const times = 50 // it may be about to write them
	b := newBook(t, newTable(t, times))
	for n := range times {
		stop := run(b)
		b.Said(aVM(n), true, time.Now())
		stop()
	}
	if got := strings.Count(b.days(Query{}), "\n"); got != times {
		t.Errorf("%d were written, want %d", got, times)
	}
}

// A VM that is unregistered before its day is written is not written; once it is
// registered again, the next statement counts.
func TestVMThatIsGone(t *testing.T) {
	table := newTable(t, 2)
	b := newBook(t, table)
	flush := func() { b.writeAll(t.Context(), b.queue.take(nil)) }
	vm, _ := table.VM(aVM(1))
	b.Said(aVM(1), true, time.Now())
	b.Said(aVM(0), true, time.Now())
	put(t, table, func(tx *store.Tx) error { _, err := tx.DeleteVM(aVM(1)); return err })
	flush()
	b.Said(aVM(1), true, time.Now())
	if s := b.Stats(); strings.Count(b.days(Query{}), "\n") != 1 || s.Unwritten != 1 || s.Strangers != 1 || s.Waiting != 0 {
		t.Errorf("protected were %q; %+v", b.days(Query{}), s)
	}
	put(t, table, func(tx *store.Tx) error { _, err := tx.PutVM(vm); return err })
	b.Said(aVM(1), true, time.Now())
	flush()
	if got := b.days(Query{}); strings.Count(got, "\n") != 2 {
		t.Errorf("protected were %q", got)
	}
}

// A day that is yet to come, by the table's clock, is not written, and does not hide
// that it is a day once it has come.
func TestDayThatIsYetToCome(t *testing.T) {
	now := at("2026-03-01T23:59:00Z")
	clock := func() time.Time { return now }
	b, err := New(Config{Table: newTable(t, 2, func(c *store.Config) { c.Clock = clock }), Collect: true, Clock: clock})
	check(t, err)
	for _, want := range []string{"", "vm 1 2026-03-02 2026-03-02\n"} {
		b.Said(aVM(1), true, at("2026-03-02T00:00:10Z"))
		b.writeAll(t.Context(), b.queue.take(nil))
		if got := b.days(Query{}); got != want {
			t.Errorf("at %s protected were %q, want %q", now, got, want)
		}
		now = now.Add(time.Minute)
	}
}

// Days that are not kept any more are forgotten, and so are agents that are silent.
func TestForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, 2)
		b, err := New(Config{Table: table, Collect: true, Keep: 3})
		check(t, err)
		defer run(b)()
		b.Said(aVM(1), true, time.Now()) // on 2000-01-01
		time.Sleep(70 * time.Hour)       // the last day that has it
		if got, s := b.days(Query{}), b.Stats(); got != "vm 1 2000-01-01 2000-01-01\n" || s.Known != 0 {
			t.Errorf("after 70 hours protected were %q, and %d agents are remembered", got, s.Known)
		}
		if _, ok := table.Protection(acme, aVM(1)); !ok {
			t.Error("it was forgotten too early")
		}
		time.Sleep(3 * time.Hour)
		if _, ok := table.Protection(acme, aVM(1)); ok || b.days(Query{}) != "" {
			t.Error("it was not forgotten")
		}
	})
}

// Of more VMs than are remembered each statement is written anew, which changes nothing.
func TestKnownHasABound(t *testing.T) {
	b := newBook(t, newTable(t, 2))
	slot, _ := b.cfg.Table.Lookup(ref(aVM(1)))
	s := &b.shards[slot.Hash()%shards]
	for n := range MaxKnown / shards {
		s.known[aVM(n+100)] = known{}
	}
	for range 2 {
		b.Said(aVM(1), true, time.Now())
	}
	if _, known := s.known[aVM(1)]; known || b.Stats().Waiting != 2 {
		t.Errorf("it is remembered: %v; %d wait", known, b.Stats().Waiting)
	}
	b.writeAll(t.Context(), b.queue.take(nil))
	if s := b.Stats(); s.Written != 1 {
		t.Errorf("%d were written, want 1", s.Written)
	}
}

func ref[T any](v T) *T { return &v }
