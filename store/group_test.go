package store

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// slowJournal lets a test decide when and how each Append ends.
type slowJournal struct {
	started chan []Record
	end     chan error
}

func newSlowJournal() *slowJournal {
	return &slowJournal{started: make(chan []Record, 1), end: make(chan error)}
}

func (*slowJournal) Replay(func(Record) error) error { return nil }
func (*slowJournal) Close() error                    { return nil }
func (j *slowJournal) Append(records []Record) error {
	j.started <- records
	return <-j.end
}

func (x tester) putTenant(id byte, name string) error {
	return x.Update(func(tx *Tx) error { _, err := tx.PutTenant(Tenant{ID: TenantID{id}, Name: name}); return err })
}

// Whoever comes while the disk is busy is written by the next fsync, all of them
// by one.
func TestChangesThatWaitAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		var all sync.WaitGroup
		begin := func(id byte) {
			all.Go(func() {
				if err := x.putTenant(id, fmt.Sprint("tenant ", id)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		begin(1)
		for id := range byte(100) {
			begin(id + 2)
		}
		if n := len(<-j.started); n != 1 {
			t.Errorf("the first group has %d records, want 1", n)
		}
		if _, visible := x.Tenant(TenantID{1}); visible {
			t.Error("a change is visible before it is on disk")
		}
		j.end <- nil
		if n := len(<-j.started); n != 100 {
			t.Errorf("the second group has %d records, want 100", n)
		}
		j.end <- nil
		all.Wait()
		if n := x.Stats().Tenants; n != 101 {
			t.Errorf("%d tenants, want 101", n)
		}
	})
}

// Changes of one group see each other: a name is given once, and what is undone
// leaves no trace.
func TestChangesOfAGroupSeeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		errs := make([]error, 4)
		refused := errors.New("refused")
		var all sync.WaitGroup
		for i, fn := range []func() error{
			func() error { return x.putTenant(9, "the first, alone") },
			func() error { return x.putTenant(1, "acme") },
			func() error {
				return x.Update(func(tx *Tx) error {
					// It overwrites what the one before staged, and adds; and is undone.
					_, err := tx.PutTenant(Tenant{ID: TenantID{1}, Name: "umbrella"})
					for id := range byte(20) {
						_, more := tx.PutTenant(Tenant{ID: TenantID{id + 20}, Name: fmt.Sprint("shell ", id)})
						err = errors.Join(err, more)
					}
					return errors.Join(err, refused)
				})
			},
			func() error { return x.putTenant(2, "acme") },
		} {
			all.Go(func() { errs[i] = fn() })
			synctest.Wait()
		}
		for range 2 {
			<-j.started
			j.end <- nil
		}
		all.Wait()
		if errs[1] != nil || !errors.Is(errs[2], refused) || !errors.Is(errs[3], ErrExists) {
			t.Errorf("errors %v; want the second of acme refused, and the change that failed", errs)
		}
		names := ""
		for _, tenant := range x.Tenants() {
			names += tenant.Name + ";"
		}
		if names != "acme;the first, alone;" {
			t.Errorf("tenants are %q", names)
		}
	})
}

// When the disk refuses a group, all of it is refused and none is visible; only
// an SVM's load, which is not kept there, counts. The next group is a new chance.
func TestGroupThatIsNotWrittenLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		go func() { <-j.started; j.end <- nil }()
		x := open(t, Config{Journal: j})
		x.svm(t, SVMID{1}, Ready, false)
		go func() { <-j.started; j.end <- nil }()
		x.report(t, SVMID{1}, SVMFacts{}, 1)

		full := fmt.Errorf("no space: %w", ErrReadOnly)
		var first, second, report error
		var all sync.WaitGroup
		all.Go(func() { first = x.putTenant(1, "a") })
		synctest.Wait()
		all.Go(func() { second = x.putTenant(2, "b") })
		all.Go(func() {
			report = x.Update(func(tx *Tx) error { _, err := tx.ReportSVM(SVMID{1}, SVMFacts{}, 77); return err })
		})
		synctest.Wait()
		for range 2 {
			<-j.started
			j.end <- full
		}
		all.Wait()
		if !errors.Is(first, ErrReadOnly) || !errors.Is(second, ErrReadOnly) || report != nil {
			t.Errorf("errors %v, %v, %v; want the writes refused and the report taken", first, second, report)
		}
		if n := x.Stats().Tenants; n != 0 {
			t.Errorf("%d tenants are visible that are not on disk", n)
		}
		if svm, _ := x.SVM(SVMID{1}); svm.ConnectedAgents != 77 {
			t.Errorf("the SVM has %d agents; want 77 by its last report", svm.ConnectedAgents)
		}
		go func() { <-j.started; j.end <- nil }()
		if err := x.putTenant(1, "a"); err != nil {
			t.Error(err)
		}
	})
}

// A panic is the caller's who made it; the changes beside it are made.
func TestPanicBelongsToItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		var all sync.WaitGroup
		var caught any
		all.Go(func() { _ = x.putTenant(1, "leads") })
		synctest.Wait()
		all.Go(func() { _ = x.putTenant(2, "leads the next") })
		synctest.Wait()
		all.Go(func() {
			defer func() { caught = recover() }()
			_ = x.Update(func(tx *Tx) error {
				_, _ = tx.PutTenant(Tenant{ID: TenantID{3}, Name: "half"})
				panic("ouch")
			})
		})
		synctest.Wait()
		for range 2 {
			<-j.started
			j.end <- nil
		}
		all.Wait()
		if text, _ := caught.(string); !strings.HasPrefix(text, "ouch\n") || !strings.Contains(text, "group_test.go") {
			t.Errorf("the caller recovered %v; want ouch and where", caught)
		}
		if n := x.Stats().Tenants; n != 2 {
			t.Errorf("%d tenants, want the two of the others", n)
		}
	})
}

// A function that ends the goroutine that runs it takes the changes of its group
// with it: nobody is told that they were made, and the table goes on.
func TestGoroutineThatEndsAcknowledgesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		var all sync.WaitGroup
		never := errors.New("did not return")
		errs := []error{never, never, never}
		for i, fn := range []func(tx *Tx) error{
			func(tx *Tx) error { _, err := tx.PutTenant(Tenant{ID: TenantID{1}, Name: "a"}); return err },
			func(tx *Tx) error { _, err := tx.PutTenant(Tenant{ID: TenantID{2}, Name: "b"}); return err },
			func(*Tx) error { runtime.Goexit(); return nil },
		} {
			all.Go(func() { errs[i] = x.Update(fn) })
			synctest.Wait()
		}
		<-j.started
		j.end <- nil
		all.Wait()
		if errs[0] != nil || !errors.Is(errs[1], never) || !errors.Is(errs[2], errAbandoned) {
			t.Errorf("errors %v; want the first made, the second ended and the third abandoned", errs)
		}
		go func() { <-j.started; j.end <- nil }()
		if err := x.putTenant(3, "c"); err != nil || x.Stats().Tenants != 2 {
			t.Errorf("afterwards: %v, %d tenants", err, x.Stats().Tenants)
		}
	})
}

// Undoing a change leaves a stage as it was, however many rows it has.
func TestStageUndoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stage
		want := map[Key]uint64{}
		clock := uint64(0)
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			s.begin()
			next := map[Key]uint64{}
			for range rapid.IntRange(0, 6).Draw(t, "records") {
				clock++
				key := Key{KindTenant, [16]byte{rapid.Byte().Draw(t, "id") % 16}}
				s.put(Record{Key: key, Version: Version{Clock: clock}})
				next[key] = clock
			}
			made := s.change()
			if len(made) != len(next) {
				t.Fatalf("the change has %d records, want %d", len(made), len(next))
			}
			for _, r := range made {
				if next[r.Key] != r.Version.Clock {
					t.Fatalf("the change has %v at %d, want %d", r.Key, r.Version.Clock, next[r.Key])
				}
			}
			if rapid.Bool().Draw(t, "undo") {
				s.rollback()
				continue
			}
			for key, at := range next {
				want[key] = at
			}
		}
		for id := range byte(16) {
			r, ok := s.find(Key{KindTenant, [16]byte{id}})
			if at, has := want[r.Key]; ok != (at > 0) || has && at != r.Version.Clock {
				t.Fatalf("id %d is found %v at %d", id, ok, r.Version.Clock)
			}
		}
		if len(s.rows) != len(want) {
			t.Fatalf("%d rows, want %d", len(s.rows), len(want))
		}
	})
}

// together makes changes as one group, whose append ends as given.
func together(t *testing.T, x tester, j *slowJournal, end error, changes ...func() error) []error {
	t.Helper()
	errs := make([]error, len(changes))
	var all sync.WaitGroup
	all.Go(func() { _ = x.putTenant(200, "leads") })
	synctest.Wait()
	for i, fn := range changes {
		all.Go(func() { errs[i] = fn() })
		synctest.Wait()
	}
	for _, err := range []error{nil, end} {
		<-j.started
		j.end <- err
	}
	all.Wait()
	return errs
}

// What a change was refused for because of another that was then not written is
// not true, and nobody is told so.
func TestRefusalsOfAGroupThatIsNotWrittenAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		go func() { <-j.started; j.end <- nil }()
		if err := x.putTenant(7, "doomed"); err != nil {
			t.Fatal(err)
		}
		remove := func() error {
			return x.Update(func(tx *Tx) error { _, err := tx.DeleteTenant(TenantID{7}); return err })
		}
		errs := together(t, x, j, fmt.Errorf("no space: %w", ErrReadOnly),
			func() error {
				return x.Update(func(tx *Tx) error { _, err := tx.DeleteTenant(TenantID{99}); return err })
			},
			remove, remove,
			func() error { return x.putTenant(1, "acme") }, func() error { return x.putTenant(2, "acme") })
		if !errors.Is(errs[0], ErrNotFound) {
			t.Errorf("what was refused before anything was staged: %v, want not found", errs[0])
		}
		for i, err := range errs[1:] {
			if !errors.Is(err, ErrReadOnly) {
				t.Errorf("change %d: %v, want that it was not written", i+1, err)
			}
		}
		if x.Stats().Tenants != 2 {
			t.Errorf("%d tenants; want the doomed one and the leader's", x.Stats().Tenants)
		}
	})
}

// What one change of a group has taken is taken for the others: a token, a name,
// however it came.
func TestWhatAGroupHasTakenIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		for id := byte(1); id < 3; id++ {
			go func() { <-j.started; j.end <- nil }()
			if err := x.putTenant(id, fmt.Sprint("tenant ", id)); err != nil {
				t.Fatal(err)
			}
		}
		token := func(id, sum byte) func() error {
			return func() error {
				return x.Update(func(tx *Tx) error {
					_, err := tx.SetToken(Token{Tenant: TenantID{id}, Current: [32]byte{sum}})
					return err
				})
			}
		}
		merge := func(id byte, name string) func() error {
			return func() error {
				row := tenantRow{Name: name}
				_, err := x.Apply(Batch{Records: []Record{{Key: Key{KindTenant, [16]byte{id}}, Value: row.encode()}}})
				return err
			}
		}
		errs := together(t, x, j, nil,
			token(1, 9), token(2, 9), // taken
			token(1, 8), token(2, 9), // given up
			merge(3, "acme"), func() error { return x.putTenant(4, "acme") }, // taken
			merge(3, "umbrella"), func() error { return x.putTenant(4, "acme") }, // given up
		)
		for i, refused := range []bool{1: true, 5: true, 7: false} {
			if (errs[i] != nil) != refused {
				t.Errorf("change %d: %v, want refused %v", i, errs[i], refused)
			}
		}
	})
}

// What a newer release adds to a VM's record is gone once this one writes the VM:
// so writing it is news even if all that this release knows stays the same.
func TestPutVMOverWhatANewerReleaseWrote(t *testing.T) {
	x := open(t, Config{})
	vm := VM{BIOS: BIOSID{1}, ID: VMID{1}, Name: "vm", Path: Path{Host: "h"}, Version: "12.0"}
	row := vmRow{ID: vm.ID, Name: vm.Name}
	place := placementRow{Path: vm.Path, Version: vm.Version}
	for kind, value := range map[Kind][]byte{KindVM: row.encode(), KindPlacement: place.encode()} {
		x.apply(t, Record{Key: Key{KindVM, vm.BIOS}, Value: row.encode()}, Record{Key: Key{KindPlacement, vm.BIOS}, Value: place.encode()})
		x.apply(t, Record{Key: Key{kind, vm.BIOS}, Value: append(value, "newer"...)})
		for _, want := range []bool{true, false} {
			x.must(t, func(tx *Tx) error {
				if news, err := tx.PutVM(vm); news != want || err != nil {
					t.Errorf("PutVM over a newer %v = %v, %v; want %v", kind, news, err, want)
				}
				return nil
			})
		}
	}
}
