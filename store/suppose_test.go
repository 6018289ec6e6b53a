package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// supposed is a table of two tenants, three SVMs and some VMs, to suppose things of.
func supposed(t *testing.T) (tester, []TenantID, []SVMID) {
	t.Helper()
	table := open(t, Config{})
	tenants, svms := []TenantID{{1}, {2}}, []SVMID{{1}, {2}, {3}}
	table.must(t, func(tx *Tx) error {
		for i, id := range tenants {
			if _, err := tx.PutTenant(Tenant{ID: id, Name: fmt.Sprint("tenant-", i), Discovery: DefaultDiscovery()}); err != nil {
				return err
			}
		}
		_, err := tx.SetActive(tenants[0], true)
		for i, id := range svms {
			svm := SVM{ID: id, SVMConfig: SVMConfig{Address: fmt.Sprint("10.0.0.", i+1)}, ConnectedAgents: 10 * i}
			svm.Path = Path{Host: fmt.Sprint("host-", i), Zone: "zone"}
			if _, e := tx.PutSVM(svm); e != nil {
				err = e
			}
		}
		for i := range 300 {
			vm := VM{BIOS: BIOSID{byte(i), byte(i >> 8), 1}, Tenant: tenants[i%2], OS: GuestOS(i % 3), Path: Path{Host: "host-1"}}
			if _, e := tx.PutVM(vm); e != nil {
				err = e
			}
		}
		return err
	})
	return table, tenants, svms
}

func TestSuppose(t *testing.T) {
	table, tenants, svms := supposed(t)
	table.Pick(1, 5)
	var before, after [Buckets]uint64
	table.Digest(&before)
	view := table.View()
	added := SVM{ID: SVMID{9}, SVMConfig: SVMConfig{Address: "10.0.0.9"}, ConnectedAgents: 7}
	added.Path = Path{Host: "host-1", Cluster: "unheard of", Zone: "zone"}
	next, err := table.Suppose(Supposition{
		Down: svms[:1], Add: []SVM{added}, Active: map[TenantID]bool{tenants[0]: false, tenants[1]: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	next.Pick(1, 100)

	for i, want := range []SVMState{Down, Ready, Ready, Ready} {
		if got := next.Load(i).State(); got != want || next.Ready(i) != (want == Ready) {
			t.Errorf("SVM %d is supposed to be %v and is %v, ready: %v", i, want, got, next.Ready(i))
		}
	}
	for i, want := range []int{0, 115, 20, 7} {
		if got := next.Agents(i); got != want {
			t.Errorf("SVM %d has %d agents, want %d", i, got, want)
		}
	}
	for i, want := range []TenantStatus{Inactive, Active} {
		if got := next.View().Tenant(i + 1).Status; got != want {
			t.Errorf("tenant %d is %v, want %v", i, got, want)
		}
	}
	host, is := next.View().SVM(1).Symbols, next.View().SVM(3).Symbols
	if is != (PathSymbols{host[0], 0, host[2]}) {
		t.Errorf("the new SVM is on %v, want the host and zone of %v and a cluster like none", is, host)
	}
	if e := next.View().SVM(3); e.ID != added.ID || e.Index != 3 || e.Tags == nil {
		t.Errorf("the new SVM is %+v", e)
	}

	if table.Digest(&after); after != before || table.View() != view || table.Agents(1) != 15 || table.Load(0).State() != Ready ||
		view.Tenant(1).Status != Active || view.NumSVMs() != 3 {
		t.Error("supposing changes the table")
	}
	for name, write := range map[string]func() error{
		"Update": func() error { return next.Update(func(tx *Tx) error { _, err := tx.DeleteSVM(svms[1]); return err }) },
		"Apply":  func() error { _, err := next.Apply(Batch{}); return err },
	} {
		if err := write(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a supposed table: %v, want %v", name, err, ErrClosed)
		}
	}
}

// A supposed table has the VMs, and keeps those that it had.
func TestSupposedVMs(t *testing.T) {
	table, tenants, _ := supposed(t)
	next, err := table.Suppose(Supposition{})
	if err != nil {
		t.Fatal(err)
	}
	first := map[int]BIOSID{}
	var order []uint64
	next.ScanVMs(func(place int, id BIOSID, slot Slot) bool {
		if found, ok := next.Lookup(&id); !ok || found != slot || first[place] != (BIOSID{}) || place < 0 || place >= next.Places() {
			t.Fatalf("VM %v is at %d of %d: %+v, and looked up %+v", id, place, next.Places(), slot, found)
		}
		first[place] = id
		order = append(order, slot.Hash()>>56)
		return true
	})
	if len(first) != 300 || !slices.IsSorted(order) {
		t.Errorf("%d VMs of 300 were met, in the order of their hashes: %v", len(first), slices.IsSorted(order))
	}
	table.must(t, func(tx *Tx) error { // the table grows
		for i := range 30_000 {
			if _, err := tx.PutVM(VM{BIOS: BIOSID{byte(i), byte(i >> 8), 2}, Tenant: tenants[0]}); err != nil {
				return err
			}
		}
		return nil
	})
	met := 0
	next.ScanVMs(func(place int, id BIOSID, _ Slot) bool {
		if id[2] == 1 {
			met++
		}
		if was, ok := first[place]; ok && was != id {
			t.Fatalf("VM %v is at %d, where %v was", id, place, was)
		}
		return met < 100
	})
	if met != 100 {
		t.Errorf("%d VMs were met, want the scan to end at 100", met)
	}
}

func TestTwin(t *testing.T) {
	table, tenants, _ := supposed(t)
	id := BIOSID{1, 0, 1}
	slot, _ := table.Lookup(&id)
	slot.Assign(2)
	twin := slot.Twin(77)
	twin.Assign(1)
	if twin.Hash() != 77 || twin.Tenant() != slot.Tenant() || twin.OS() != slot.OS() || twin.Path() != slot.Path() {
		t.Errorf("the twin of %+v is %+v", slot, twin)
	}
	if view := table.View(); slot.Assigned() != 2 || view.Tenant(twin.Tenant()).ID != tenants[1] {
		t.Error("what is remembered of the twin is remembered of the VM")
	}
}

func TestWhatCanNotBeSupposed(t *testing.T) {
	table, _, svms := supposed(t)
	good := SVM{ID: SVMID{9}, SVMConfig: SVMConfig{Address: "10.0.0.9"}}
	bad, taken, negative := good, good, good
	bad.Address, taken.ID, negative.ConnectedAgents = "not an address", svms[0], -1
	for name, tt := range map[string]struct {
		s    Supposition
		want error
	}{
		"an unknown SVM goes down":     {Supposition{Down: []SVMID{{7}}}, ErrNotFound},
		"an unknown tenant is active":  {Supposition{Active: map[TenantID]bool{{7}: true}}, ErrNotFound},
		"an SVM comes that is there":   {Supposition{Add: []SVM{taken}}, ErrExists},
		"an SVM comes twice":           {Supposition{Add: []SVM{good, good}}, ErrExists},
		"an SVM without address comes": {Supposition{Add: []SVM{bad}}, nil},
		"an SVM comes with -1 agents":  {Supposition{Add: []SVM{negative}}, nil},
		"an SVM without id comes":      {Supposition{Add: []SVM{{SVMConfig: good.SVMConfig}}}, nil},
	} {
		next, err := table.Suppose(tt.s)
		field := (*FieldError)(nil)
		ok := errors.As(err, &field)
		if tt.want != nil {
			ok = errors.Is(err, tt.want)
		}
		if !ok || next != nil {
			t.Errorf("%s: %v, want %v or a FieldError", name, err, tt.want)
		}
	}
}
