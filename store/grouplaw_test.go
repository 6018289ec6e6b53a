package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A step is a change of a test, and what its caller learned.
type step struct {
	text string
	do   func(tx *Tx) (bool, error)
	end  error // if not nil, the change is given up with it after all it did
	told bool
	news bool
	err  error
}

var errGivenUp = errors.New("given up")

func (s *step) change() *change {
	return &change{told: s.told, fn: func(tx *Tx) (err error) {
		if s.news, err = s.do(tx); err == nil {
			err = s.end
		}
		return err
	}}
}

// anyStep draws a change of few things, so that the changes of a group meet.
func anyStep(t *rapid.T) *step {
	tenant, svm := TenantID{byte(rapid.IntRange(1, 3).Draw(t, "tenant"))}, SVMID{byte(rapid.IntRange(1, 2).Draw(t, "svm"))}
	bios := BIOSID{byte(rapid.IntRange(1, 6).Draw(t, "vm"))}
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
	host := fmt.Sprint("host ", rapid.IntRange(0, 20).Draw(t, "host")) // sooner or later a new one
	vm := VM{BIOS: bios, ID: VMID(bios), Tenant: tenant, Name: name, Path: Path{Host: host, Cluster: name}, Version: host[5:] + ".1"}
	s := &step{told: rapid.Bool().Draw(t, "told")}
	if rapid.IntRange(0, 5).Draw(t, "end") == 0 {
		s.end = errGivenUp
	}
	s.text = rapid.SampledFrom([]string{
		"vm", "vm", "vm", "vm", "vm", "vm of nobody", "no vm", "two vms", "tenant", "no tenant", "on", "off", "token", "svm", "no svm", "report", "merge",
	}).Draw(t, "step")
	switch s.text {
	case "vm":
		s.do = func(tx *Tx) (bool, error) { return tx.PutVM(vm) }
	case "vm of nobody":
		vm.Tenant = TenantID{}
		s.do = func(tx *Tx) (bool, error) { return tx.PutVM(vm) }
	case "two vms":
		s.do = func(tx *Tx) (bool, error) {
			first, err := tx.PutVM(vm)
			vm.BIOS[1], vm.Name = 1, vm.Name+"'"
			second, more := tx.PutVM(vm)
			vm.BIOS[1], vm.Name = 0, name
			return first || second, errors.Join(err, more)
		}
	case "no vm":
		s.do = func(tx *Tx) (bool, error) { return tx.DeleteVM(bios) }
	case "tenant":
		s.do = func(tx *Tx) (bool, error) { return tx.PutTenant(Tenant{ID: tenant, Name: name}) }
	case "no tenant":
		s.do = func(tx *Tx) (bool, error) {
			list := tx.vmsOf(tenant) // in an order of their own, and versions come in that order
			slices.SortFunc(list, func(a, b BIOSID) int { return compareID(a, b) })
			for _, bios := range list {
				_, _ = tx.DeleteVM(bios)
			}
			return tx.DeleteTenant(tenant)
		}
	case "on", "off":
		s.do = func(tx *Tx) (bool, error) { return tx.SetActive(tenant, s.text == "on") }
	case "token":
		s.do = func(tx *Tx) (bool, error) { return tx.SetToken(Token{Tenant: tenant, Current: [32]byte{bios[0]}}) }
	case "svm":
		s.do = func(tx *Tx) (bool, error) { return tx.ConfigureSVM(svm, SVMConfig{Address: name}, Ready) }
	case "no svm":
		s.do = func(tx *Tx) (bool, error) { return tx.DeleteSVM(svm) }
	case "report":
		s.do = func(tx *Tx) (bool, error) {
			return tx.ReportSVM(svm, SVMFacts{Path: Path{Host: name}}, int(bios[0]))
		}
	case "merge":
		place := placementRow{Path: vm.Path, Version: vm.Version}
		row := vmRow{Tenant: vm.Tenant, ID: vm.ID, Name: vm.Name}
		r := Record{Key: Key{KindPlacement, bios}, Value: place.encode()}
		if s.told {
			r = Record{Key: Key{KindVM, bios}, Value: row.encode()}
		}
		if bios[0]%2 == 0 {
			r.Value = append(r.Value, "and what a newer release adds"...)
		}
		s.do = func(tx *Tx) (bool, error) { return true, tx.merge(r, false) }
	}
	return s
}

// sizes are how much a table has numbered, visible or not.
func (d *dictionary) sizes() [6]int {
	return [6]int{len(d.tenants), len(d.names), len(d.paths), len(d.versions), len(d.texts), len(d.nodes)}
}

// Changes that are made as one group are changes that are made one after another,
// to the last byte, whether some are given up or not. If the disk refuses the
// group, nothing is made of it but of what is not for the disk; whoever has seen
// anything of it is refused, too.
func TestGroupIsItsChangesOneAfterAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		journal, clock := &memoryJournal{}, newStopped()
		group := openTable(t, "")
		group.journal, group.clock = journal, newClock("a", clock.time)
		single := openTable(t, "")
		single.clock = newClock("a", clock.time)
		var told, kept []Record
		cancel := group.Subscribe(func(news *News) {
			for _, r := range news.Records {
				told = append(told, r)
				r.Value = bytes.Clone(r.Value)
				kept = append(kept, r)
			}
		})
		for range rapid.IntRange(1, 6).Draw(t, "groups") {
			n := rapid.IntRange(1, 40).Draw(t, "changes")
			steps := rapid.SliceOfN(rapid.Custom(anyStep), n, n).Draw(t, "steps")
			journal.fail = rapid.SampledFrom([]error{nil, nil, fmt.Errorf("no space: %w", ErrReadOnly)}).Draw(t, "disk")
			if rapid.IntRange(0, 3).Draw(t, "nobody listens") == 0 {
				cancel()
			}
			clock.advance(1e6)
			single.clock.last = group.clock.last // a group that was refused has used versions up
			if journal.fail == nil {
				checkGroup(t, group, single, steps)
			} else {
				checkRefused(t, group, single, steps)
			}
		}
		if !slices.EqualFunc(told, kept, sameRecord) {
			t.Fatal("a record that a subscriber was told of changed afterwards")
		}
		journal.fail = nil
		again, err := Open(Config{Journal: journal})
		if err != nil {
			t.Fatal(err)
		}
		if diff := diff(group.lasting(), tester{again}.lasting()); diff != "" {
			t.Fatalf("a restart changes the table (-before +after)\n%s", diff)
		}
	})
}

func sameRecord(a, b Record) bool {
	return a.Key == b.Key && a.Version == b.Version && bytes.Equal(a.Value, b.Value)
}

// run makes steps as one group.
func (x tester) run(steps []*step) {
	waiting := make([]*change, len(steps))
	for i, s := range steps {
		waiting[i] = s.change()
	}
	x.turn <- struct{}{}
	defer func() { <-x.turn }()
	for rest := waiting; len(rest) > 0; {
		rest = x.group(rest)
	}
	for i, s := range steps {
		s.err = waiting[i].err
	}
}

// alone makes a step by itself.
func (x tester) alone(s *step) { s.err = x.Update(s.change().fn) }

func checkGroup(t *rapid.T, group, single tester, steps []*step) {
	group.run(steps)
	for i, s := range steps {
		once := *s
		single.alone(&once)
		if once.news != s.news || fmt.Sprint(once.err) != fmt.Sprint(s.err) {
			t.Fatalf("step %d, %s: %v, %v; by itself %v, %v", i, s.text, s.news, s.err, once.news, once.err)
		}
	}
	single.mustEqual(t, group)
}

func checkRefused(t *rapid.T, group, single tester, steps []*step) {
	before, numbered := group.lasting(), group.symbols.sizes()
	journal := &memoryJournal{}
	wish := openTable(t, "") // where the disk refuses nothing
	wish.journal = journal
	wish.hear(t, group)
	wish.clock = newClock("a", group.clock.physical)
	wish.clock.last = group.clock.last
	group.run(steps)
	relies := false
	for i, s := range steps {
		once, written, loads := *s, len(journal.records), wish.passing()
		wish.alone(&once)
		lasting := len(journal.records) > written
		passing := !lasting && !slices.EqualFunc(loads, wish.passing(), sameRecord)
		relies = relies || lasting
		if want := fmt.Sprint(once.err); relies && !passing {
			if !errors.Is(s.err, ErrReadOnly) {
				t.Fatalf("step %d, %s, which the disk refused: %v", i, s.text, s.err)
			}
		} else if fmt.Sprint(s.err) != want {
			t.Fatalf("step %d, %s, which was not for the disk: %v; by itself %s", i, s.text, s.err, want)
		}
	}
	if diff := diff(before, group.lasting()); diff != "" {
		t.Fatalf("a group that the disk refused left a trace (-before +after)\n%s", diff)
	}
	if is := group.symbols.sizes(); is != numbered {
		t.Fatalf("a group that the disk refused was numbered: %v, before %v", is, numbered)
	}
	single.apply(t, group.passing()...)
	single.mustEqual(t, group)
}

// passing are what is not for the disk.
func (x tester) passing() []Record { return slices.DeleteFunc(x.all(), lasts) }
