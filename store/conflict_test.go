package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// conflicts notes the conflicts that a table tells of.
func (x tester) conflicts(t testing.TB) *[]Conflict {
	t.Helper()
	told := new([]Conflict)
	t.Cleanup(x.Subscribe(func(n *News) { *told = append(*told, n.Conflicts...) }))
	return told
}

// Every gateway that merges what is in conflict tells of it once, in the same
// words, whatever it hears first and however often.
func TestConflictsAreToldOnceInAnyOrder(t *testing.T) {
	bios := BIOSID{1}
	tests := []struct {
		name string
		do   func(t *testing.T, a, b tester, one, two TenantID, later func())
		want []Conflict // but for the versions
	}{
		{"an activation undone", func(t *testing.T, a, b tester, one, _ TenantID, later func()) {
			a.activate(t, one, false)
			later()
			b.activate(t, one, true)
		}, []Conflict{{Type: TenantConflict}}},
		{"an activation of a tenant that was active there all along", func(t *testing.T, a, b tester, one, _ TenantID, later func()) {
			a.activate(t, one, true)
			a.activate(t, one, false)
			later()
			b.activate(t, one, true)
		}, []Conflict{{Type: TenantConflict}}},
		{"a deactivation later than the activation", func(t *testing.T, a, b tester, one, _ TenantID, later func()) {
			b.activate(t, one, true)
			later()
			a.activate(t, one, false)
		}, nil},
		{"an activation that holds", func(t *testing.T, a, b tester, one, _ TenantID, later func()) {
			a.activate(t, one, false)
			later()
			b.hear(t, a)
			b.activate(t, one, true)
		}, nil},
		{"two registrations", func(t *testing.T, a, b tester, one, two TenantID, later func()) {
			a.vm(t, bios, one, "first")
			later()
			b.vm(t, bios, two, "second")
		}, []Conflict{{Type: VMConflict, VM: bios, Name: "second"}}},
		{"two registrations for one tenant", func(t *testing.T, a, b tester, one, _ TenantID, later func()) {
			a.vm(t, bios, one, "first")
			later()
			b.vm(t, bios, one, "second")
		}, nil},
		{"a move", func(t *testing.T, a, b tester, one, two TenantID, later func()) {
			a.vm(t, bios, one, "first")
			b.hear(t, a)
			later()
			b.vm(t, bios, two, "moved")
		}, nil},
		{"a registration after an unregistration", func(t *testing.T, a, b tester, one, two TenantID, later func()) {
			a.vm(t, bios, one, "first")
			b.hear(t, a)
			later()
			b.deleteVM(t, bios)
			b.vm(t, bios, two, "again")
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, clock, exchange := pair(t)
			one, two := a.tenant(t, "one"), a.tenant(t, "two")
			exchange()
			c, d := open(t, Config{Node: "c", Clock: clock.time}), open(t, Config{Node: "d", Clock: clock.time})
			tt.do(t, a, b, one, two, func() { clock.advance(time.Second) })
			clock.advance(time.Second)
			told := []*[]Conflict{a.conflicts(t), b.conflicts(t), c.conflicts(t), d.conflicts(t)}
			fromA, fromB := a.all(), b.all()
			for range 2 {
				a.apply(t, fromB...)
				b.apply(t, fromA...)
				c.apply(t, fromA...)
				c.apply(t, fromB...)
				d.apply(t, slices.Concat(fromB, fromA)...)
			}
			a.hear(t, b, c, d)
			b.hear(t, d, c, a)
			for i := range told {
				if diff := cmp.Diff(*told[0], *told[i]); diff != "" {
					t.Errorf("gateways %d and %d tell different things:\n%s", 0, i, diff)
				}
			}
			got := slices.Clone(*told[0])
			for i := range got {
				if got[i].Lost.Clock == 0 || got[i].Held.Clock == 0 || got[i].Lost.Compare(got[i].Held) <= 0 {
					t.Errorf("of %+v the one that holds is not earlier", got[i])
				}
				got[i].Lost, got[i].Held = Version{}, Version{}
			}
			want := slices.Clone(tt.want)
			for i := range want {
				want[i].Tenant = one
				if want[i].Type == VMConflict {
					want[i].Tenant, want[i].Holder = two, one
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// Gateways that hear each other are never in conflict, whatever they do.
func TestNoConflictWithoutAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := newStopped()
		gateways := []tester{openTable(t, "a"), openTable(t, "b"), openTable(t, "c")}
		for i := range gateways {
			gateways[i].Table.clock.physical = clock.time
		}
		do := func(x tester, fn func(*Tx) error) {
			var news []Record
			cancel := x.Subscribe(func(n *News) { news = append(news, n.Records...) })
			if err := x.Update(fn); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrExists) {
				t.Fatal(err)
			}
			cancel()
			for _, o := range gateways {
				n, err := o.Apply(Batch{Records: slices.Concat(news, x.all())})
				if err != nil || n.Conflicts != nil {
					t.Fatalf("%+v, %v", n.Conflicts, err)
				}
			}
		}
		tenants := []TenantID{{1}, {2}}
		for i, id := range tenants {
			do(gateways[0], func(tx *Tx) error { _, err := tx.PutTenant(Tenant{ID: id, Name: string('a' + rune(i))}); return err })
		}
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			clock.advance(time.Duration(rapid.IntRange(-2, 2).Draw(t, "ms")) * time.Millisecond)
			id, bios := rapid.SampledFrom(tenants).Draw(t, "tenant"), BIOSID{byte(rapid.IntRange(1, 2).Draw(t, "VM"))}
			do(rapid.SampledFrom(gateways).Draw(t, "at"), func(tx *Tx) (err error) {
				switch rapid.IntRange(0, 4).Draw(t, "what") {
				case 0, 1:
					_, err = tx.SetActive(id, rapid.Bool().Draw(t, "active"))
				case 2:
					_, err = tx.PutVM(VM{BIOS: bios, Tenant: id})
				case 3:
					_, err = tx.DeleteVM(bios)
				case 4:
					err = tx.RegisterVM(VM{BIOS: bios, Tenant: id})
				}
				return err
			})
		}
	})
}

// A conflict that came with a change that the disk refused is told when the
// change is made.
func TestConflictOfAChangeThatFailedIsToldLater(t *testing.T) {
	j := &memoryJournal{}
	x := open(t, Config{Journal: j})
	told := x.conflicts(t)
	row := func(tenant byte, clock uint64) Record {
		at := Version{Clock: worldEpoch + clock, Node: uint64(tenant)}
		row := vmRow{Since: at, Tenant: TenantID{tenant}}
		return Record{Key: Key{KindVM, [16]byte{1}}, Version: at, Value: row.encode()}
	}
	x.apply(t, row(1, 2))
	j.fail = ErrReadOnly
	if _, err := x.Apply(Batch{Records: []Record{row(2, 1)}}); !errors.Is(err, ErrReadOnly) || len(*told) != 0 {
		t.Fatalf("Apply = %v, told %+v", err, *told)
	}
	j.fail = nil
	if n, err := x.Apply(Batch{Records: []Record{row(2, 1)}}); err != nil || len(n.Conflicts) != 1 || len(*told) != 1 {
		t.Errorf("Apply = %+v, %v; told %+v", n, err, *told)
	}
	// And one that loses is told of though it changes nothing.
	n, err := x.Apply(Batch{Records: []Record{row(3, 3)}})
	if err != nil || len(n.Records) != 0 || len(*told) != 2 || (*told)[1].Tenant != (TenantID{3}) {
		t.Errorf("Apply = %+v, %v; told %+v", n, err, *told)
	}
}

func TestToldConflictsAreBounded(t *testing.T) {
	var s conflictsTold
	for i := range uint64(3 * toldConflicts) {
		if !s.add(i) || s.add(i) {
			t.Fatalf("conflict %d is not told once", i)
		}
	}
	if len(s.has) != toldConflicts || len(s.ring) != toldConflicts {
		t.Errorf("%d and %d are remembered", len(s.has), len(s.ring))
	}
}
