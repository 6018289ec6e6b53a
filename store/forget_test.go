package store

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// buried is a table with one of each that was deleted, and a moment after that.
func buried(t *testing.T, cfg Config) (x tester, clock *stopped, floor int64) {
	clock = newStopped()
	cfg.Clock = clock.time
	x = open(t, cfg)
	doomed := x.tenant(t, "doomed")
	x.must(t, func(tx *Tx) error {
		_, err := tx.SetToken(Token{Tenant: doomed, Current: [32]byte{1}})
		return err
	})
	x.vm(t, BIOSID{1}, doomed, "vm")
	x.svm(t, SVMID{1}, Ready, true)
	x.report(t, SVMID{1}, SVMFacts{}, 3)
	x.must(t, func(tx *Tx) error { _, err := tx.PutAccount(Account{Name: "eve", Hash: "h"}); return err })
	clock.advance(time.Second)
	x.deleteTenant(t, doomed)
	x.must(t, func(tx *Tx) error {
		if _, err := tx.DeleteAccount("eve"); err != nil {
			return err
		}
		_, err := tx.DeleteSVM(SVMID{1})
		return err
	})
	clock.advance(time.Second)
	return x, clock, clock.now.UnixMilli()
}

func TestForget(t *testing.T) {
	x, clock, floor := buried(t, Config{})
	alive := x.tenant(t, "alive")
	x.vm(t, BIOSID{2}, alive, "vm")
	x.vm(t, BIOSID{3}, alive, "deleted later")
	x.deleteVM(t, BIOSID{3})
	all := x.all()
	dead := slices.DeleteFunc(slices.Clone(all), func(r Record) bool { return !r.Deleted() || r.Version.Millis() >= floor })
	kinds := map[Kind]bool{}
	for _, r := range dead {
		kinds[r.Key.Kind] = true
	}
	if len(kinds) != 8 {
		t.Fatalf("tombstones are of %v", kinds)
	}
	before := x.picture()
	if n := x.Forget(floor); n != len(dead) {
		t.Errorf("%d were forgotten, want %d", n, len(dead))
	}
	x.mustCount(t, "after forgetting")
	if got := x.all(); len(got) != len(all)-len(dead) {
		t.Errorf("%d records stay, want %d", len(got), len(all)-len(dead))
	}
	after := x.picture()
	after.Records = before.Records
	if diff := diff(before, after); diff != "" {
		t.Errorf("forgetting can be seen:\n%s", diff)
	}

	// They are not taken again, and neither is one of its kind; not even counted.
	news, err := x.Apply(Batch{Records: dead})
	if err != nil || len(news.Records) != 0 || x.Forget(floor) != 0 {
		t.Errorf("Apply of what was forgotten = %v, %v", news.Records, err)
	}
	if x.Forget(0) != 0 {
		t.Error("a floor below the last one forgets something")
	}
	if news, _ := x.Apply(Batch{Records: dead}); len(news.Records) != 0 {
		t.Errorf("after a lower floor they are taken again: %v", news.Records)
	}
	// But one that deletes something is: it is news.
	old := Record{Key: Key{200, [16]byte{9}}, Version: Version{Clock: 1 << counterBits, Node: 1}, Value: []byte("old")}
	x.apply(t, old)
	old.Version.Clock++
	old.Value = nil
	if news, _ := x.Apply(Batch{Records: []Record{old}}); len(news.Records) != 1 || x.record(old.Key).Version != old.Version {
		t.Error("an old tombstone does not delete what is here")
	}
	if n := x.Forget(floor); n != 1 {
		t.Errorf("then %d were forgotten, want that one", n)
	}
	// And what is made again lives.
	clock.advance(time.Second)
	x.vm(t, BIOSID{1}, alive, "again")
	if vm, ok := x.VM(BIOSID{1}); !ok || vm.Name != "again" {
		t.Error("a VM that was forgotten can not be registered again")
	}
	x.mustCount(t, "in the end")
}

// A snapshot after that has no more of them; what is in the log comes back.
func TestForgetAndRestart(t *testing.T) {
	dir := t.TempDir()
	x, clock, floor := buried(t, Config{Journal: openDir(t, dir)})
	n := x.Forget(floor)
	restart := func() {
		t.Helper()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = open(t, Config{Journal: openDir(t, dir), Clock: clock.time})
	}
	restart()
	const loads = 1 // the tombstone of an SVM's load is not journalled
	if got := x.Forget(floor); got != n-loads {
		t.Errorf("after a restart %d were forgotten, want %d", got, n-loads)
	}
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	restart()
	if got := x.Stats().Tombstones; got != 0 {
		t.Errorf("there are %d tombstones after a snapshot without them", got)
	}
	x.mustCount(t, "after a restart")
}

// A backup that was begun before does not mind.
func TestForgetWhileABackupIsTaken(t *testing.T) {
	x := open(t, Config{})
	id := x.tenant(t, "acme")
	x.vm(t, BIOSID{1}, id, "vm")
	x.must(t, func(tx *Tx) error { // more than is written at once
		for i := range 600 {
			if _, err := tx.PutVM(VM{BIOS: numberedBIOS(i), UserData: strings.Repeat("x", 4000)}); err != nil {
				return err
			}
		}
		return nil
	})
	var file bytes.Buffer
	w := &hookedWriter{w: &file, hook: func() {
		x.deleteVM(t, BIOSID{1})
		x.Forget(time.Now().Add(time.Hour).UnixMilli())
	}}
	if err := x.Backup(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckBackup(bytes.NewReader(file.Bytes()), int64(file.Len()), nil); err != nil || w.hook != nil {
		t.Errorf("CheckBackup = %v", err)
	}
}

// A change that was begun before, and follows what was to be forgotten, is made
// first.
func TestForgetWhileAChangeIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		write := func(fn func(*Tx) error, meanwhile func()) {
			done := make(chan error)
			go func() { done <- x.Update(fn) }()
			<-j.started
			meanwhile()
			j.end <- nil
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		put := func(tx *Tx) error {
			_, tenant := tx.PutTenant(Tenant{ID: TenantID{1}, Name: "acme"})
			_, vm := tx.PutVM(VM{BIOS: BIOSID{1}, Tenant: TenantID{1}, Name: "vm"})
			return errors.Join(tenant, vm)
		}
		write(put, func() {})
		write(func(tx *Tx) error { _, err := tx.DeleteTenant(TenantID{1}); return err }, func() {})
		time.Sleep(time.Second)
		forgot := make(chan int)
		write(put, func() {
			go func() { forgot <- x.Forget(time.Now().UnixMilli()) }()
			synctest.Wait()
		})
		if n := <-forgot; n != 0 {
			t.Errorf("%d were forgotten, want none: a tenant and a VM stand in their place", n)
		}
		if vm, ok := x.VM(BIOSID{1}); !ok || vm.Name != "vm" {
			t.Errorf("the VM is %+v", vm)
		}
		x.mustCount(t, "in the end")
	})
}

// hookedWriter calls hook once, at the first write.
type hookedWriter struct {
	w    *bytes.Buffer
	hook func()
}

func (w *hookedWriter) Write(p []byte) (int, error) {
	if w.hook != nil {
		w.hook()
		w.hook = nil
	}
	return w.w.Write(p)
}

// VMs that come and go for ever take no more room than those that are there, as
// long as what is gone is forgotten.
func TestForgottenVMsGiveTheirRoomBack(t *testing.T) {
	clock := newStopped()
	x := open(t, Config{Clock: clock.time})
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	const vms = 2000
	room := 0
	for round := range rounds {
		each := func(fn func(tx *Tx, id BIOSID) error) {
			x.must(t, func(tx *Tx) error {
				for i := range vms {
					if err := fn(tx, numberedBIOS(round*vms+i)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		each(func(tx *Tx, id BIOSID) error { _, err := tx.PutVM(VM{BIOS: id, Name: "vm"}); return err })
		each(func(tx *Tx, id BIOSID) error { _, err := tx.DeleteVM(id); return err })
		clock.advance(time.Second)
		if n := x.Forget(clock.now.UnixMilli()); n != 2*vms {
			t.Fatalf("%d tombstones were forgotten, want %d", n, 2*vms)
		}
		bytes := 0
		for i := range x.vms.shards {
			bytes += x.vms.shards[i].slotBytes() + cap(x.vms.shards[i].arena)
		}
		if round == 1 {
			room = bytes
		}
		if round > 1 && bytes > 3*room {
			t.Fatalf("after %d rounds the table takes %d bytes; after 2 it took %d", round+1, bytes, room)
		}
	}
}

// Whatever comes and goes and is forgotten, every VM that is there is found.
func TestForgettingHidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := newStopped()
		x := openTable(t, "a")
		x.Table.clock.physical = clock.time
		there := map[BIOSID]bool{}
		steps := rapid.SliceOfN(rapid.IntRange(-1, 60), 1, 300).Draw(t, "steps")
		for _, step := range steps {
			clock.advance(time.Millisecond)
			id := collider(step)
			switch {
			case step < 0:
				x.Forget(clock.now.UnixMilli())
				continue
			case there[id]:
				if err := x.Update(func(tx *Tx) error { _, err := tx.DeleteVM(id); return err }); err != nil {
					t.Fatal(err)
				}
			default:
				if err := x.Update(func(tx *Tx) error { _, err := tx.PutVM(VM{BIOS: id}); return err }); err != nil {
					t.Fatal(err)
				}
			}
			there[id] = !there[id]
		}
		for id, want := range there {
			if _, ok := x.Lookup(&id); ok != want {
				t.Fatalf("VM %v is found: %v, want %v", id, ok, want)
			}
		}
		x.mustCount(t, "in the end")
	})
}

// collider returns ids of one shard, so that they stand in each other's way.
func collider(n int) BIOSID {
	for i := 0; ; i++ {
		id := numberedBIOS(i)
		if hashBIOS(&id)>>56 == 7 {
			if n <= 0 {
				return id
			}
			n--
		}
	}
}
