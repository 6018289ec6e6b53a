package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What is told of something is read as it was written, until the VM or SVM goes.
func TestObservationGoesWithWhatIsObserved(t *testing.T) {
	x := open(t, Config{})
	acme := x.tenant(t, "acme")
	x.vm(t, BIOSID{1}, acme, "one")
	x.vm(t, BIOSID{2}, acme, "two")
	x.svm(t, SVMID{3}, Ready, true)
	for i := range byte(4) {
		want := Observation{ID: [16]byte{i + 1}, State: i, Times: 1 << 31, Cause: 1<<64 - 1, Repeated: milliTime(1 << 40)}
		x.must(t, func(tx *Tx) error {
			changed, err := tx.PutObservation(want)
			again, _ := tx.PutObservation(want)
			if got, ok := tx.Observation(want.ID); !changed || again || got != want || !ok {
				t.Errorf("%v, %v, %+v, %v", changed, again, got, ok)
			}
			return err
		})
		if got, ok := x.Observation(want.ID); got != want || !ok {
			t.Errorf("Observation = %+v, %v, want %+v", got, ok, want)
		}
	}
	if err := x.Update(func(tx *Tx) error { _, err := tx.PutObservation(Observation{State: 1}); return err }); err == nil {
		t.Error("nothing is observed")
	}
	x.deleteVM(t, BIOSID{1})
	x.deleteTenant(t, acme)
	x.must(t, func(tx *Tx) error { _, err := tx.DeleteSVM(SVMID{3}); return err })
	for i := range byte(4) {
		if _, ok := x.Observation([16]byte{i + 1}); ok != (i == 3) {
			t.Errorf("of %d there is an observation: %v", i+1, ok)
		}
	}
	if n := x.Forget(1 << 47); n == 0 || x.Stats().Observations != 1 {
		t.Errorf("%d tombstones are forgotten, %d observations left", n, x.Stats().Observations)
	}
	x.mustCount(t, "after Forget")
}

// A slot says that something is amiss with its VM if and only if the observation does,
// whatever comes first, and however often the VM comes and goes, slots are rebuilt, and
// the table is opened anew. It remembers SVMs all the same.
func TestSlotFollowsTheObservation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := &memoryJournal{}
		x := openTable(t, "a")
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Record {
			for {
				r := worldRecord.Draw(t, "record")
				if r.Key.Kind == KindVM || r.Key.Kind == KindPlacement || r.Key.Kind == KindObservation {
					return r
				}
			}
		}), 1, 40).Draw(t, "records")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for len(records) > 0 {
			n := rapid.IntRange(1, len(records)).Draw(t, "batch")
			x.apply(t, records[:n]...)
			j.records = append(j.records, records[:n]...)
			records = records[n:]
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0:
				x.Forget(1 << 47)
			case 1:
				for i := range x.vms.shards {
					if arr := x.vms.shards[i].slots.Load(); arr != nil {
						x.vms.shards[i].rebuild(arr.homes+uint64(r.IntN(3)), arr.tail())
					}
				}
			}
			x.mustFollow(t)
		}
		r.Shuffle(len(j.records), func(a, b int) { j.records[a], j.records[b] = j.records[b], j.records[a] })
		again, err := Open(Config{Journal: j})
		if err != nil {
			t.Fatal(err)
		}
		tester{again}.mustFollow(t)
	})
}

func (x tester) mustFollow(t failer) {
	t.Helper()
	for _, vm := range x.VMs(BIOSID{}, nil, 100) {
		slot, _ := x.Lookup(&vm.BIOS)
		o, _ := x.Observation(vm.BIOS)
		if slot.Amiss() != (o.State != 0) {
			t.Fatalf("VM %v: %v, observed %+v", vm.BIOS, slot.Amiss(), o)
		}
		was := slot.Assigned()
		if slot.Assign(MaxSVMs-1) != was || slot.Assigned() != MaxSVMs-1 || slot.Amiss() != (o.State != 0) {
			t.Fatalf("VM %v: remembered %d, amiss %v", vm.BIOS, slot.Assigned(), slot.Amiss())
		}
		if slot.Assign(-1) != MaxSVMs-1 || slot.Assigned() != -1 || slot.Amiss() != (o.State != 0) {
			t.Fatalf("VM %v: remembered %d, amiss %v", vm.BIOS, slot.Assigned(), slot.Amiss())
		}
	}
}

// A start from a snapshot and a log brings the bits of the slots, too.
func TestSlotsFollowAfterARestart(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: openDir(t, dir)})
	amiss := func(id BIOSID, state uint8) {
		x.must(t, func(tx *Tx) error { _, err := tx.PutObservation(Observation{ID: id, State: state}); return err })
	}
	acme, vms := x.tenant(t, "acme"), []BIOSID{{1}, {2}, {3}, {4}}
	late := func(id BIOSID) { // registered elsewhere, of which the observation was heard first
		y := open(t, Config{Node: "y"})
		tenant, _ := x.Record(Key{KindTenant, acme})
		y.apply(t, tenant)
		y.vm(t, id, acme, "vm")
		for _, kind := range []Kind{KindVM, KindPlacement} {
			r, _ := y.Record(Key{kind, id})
			x.apply(t, r)
		}
	}
	amiss(vms[2], 3)
	for _, id := range vms[:2] {
		x.vm(t, id, acme, "vm")
	}
	late(vms[2])
	amiss(vms[0], 1)
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	amiss(vms[0], 0)
	amiss(vms[1], 2)
	amiss(vms[3], 2)
	late(vms[3])
	for range 2 {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = open(t, Config{Journal: openDir(t, dir)})
		var got []bool
		for _, id := range vms {
			slot, _ := x.Lookup(&id)
			got = append(got, slot.Amiss())
		}
		if want := []bool{false, true, true, true}; !slices.Equal(got, want) {
			t.Errorf("amiss: %v, want %v", got, want)
		}
		if err := x.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestANewVMIsWell: what is told of a VM by a gateway that has not heard that it is
// unregistered is not of the VM that is registered with its id later.
func TestANewVMIsWell(t *testing.T) {
	x := open(t, Config{})
	id, acme := BIOSID{1}, x.tenant(t, "acme")
	x.vm(t, id, acme, "first")
	x.must(t, func(tx *Tx) error { _, err := tx.DeleteVM(id); return err })
	x.must(t, func(tx *Tx) error { _, err := tx.PutObservation(Observation{ID: id, State: 2}); return err })
	x.vm(t, id, acme, "second")
	slot, _ := x.Lookup(&id)
	if _, ok := x.Observation(id); ok || slot.Amiss() {
		t.Errorf("the second VM has the observation of the first; amiss %v", slot.Amiss())
	}
}
