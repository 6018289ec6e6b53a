package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// twins returns ids of which neighbours have the same hash32, and some others.
func twins(pairs int) []BIOSID {
	var out []BIOSID
	first := map[uint32]BIOSID{}
	for n := 0; len(out) < 2*pairs; n++ {
		id := numberedBIOS(n)
		if other, ok := first[hash32(&id)]; ok {
			out = append(out, id, other)
		}
		first[hash32(&id)] = id
	}
	for n := range 200 {
		out = append(out, numberedBIOS(n))
	}
	return out
}

// Listings agree with a sorted map while VMs come, move and go: by tenant and of
// all, from anywhere, and with the hints of a tenant no more than twice its VMs.
func TestListingsAgreeWithAMap(t *testing.T) {
	ids := twins(3)
	const tenants = 4
	var table vmTable
	model := map[BIOSID]uint32{} // tenant
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for op := range 20_000 {
		id := ids[r.IntN(len(ids))]
		// Now many VMs, now few: lists have to shrink, too.
		if grow := op/2000%2 == 0; r.IntN(10) < 2 == grow {
			delete(model, id)
			if slot, _ := table.find(&id); slot != nil {
				table.setFacts(slot, 0)
			}
		} else {
			model[id] = uint32(r.IntN(tenants))
			table.setFacts(table.claim(&id), packFacts(model[id], 0, 0, 0, 0))
		}
		if op%10 > 0 || op < 1000 { // lists are not made before somebody asks
			continue
		}
		after, limit := BIOSID{}, r.IntN(100)
		if r.IntN(4) > 0 {
			after = ids[r.IntN(len(ids))]
		}
		tenant := uint32(r.IntN(tenants))
		var all, of []BIOSID
		for id, n := range model {
			if placeOf(id).compare(placeOf(after)) <= 0 {
				continue
			}
			if all = append(all, id); n == tenant {
				of = append(of, id)
			}
		}
		for _, list := range []struct {
			name      string
			got, want []BIOSID
		}{
			{"of all", table.page(after, limit), all},
			{"of a tenant", table.pageOf(tenant, after, limit), of},
		} {
			slices.SortFunc(list.want, func(a, b BIOSID) int { return placeOf(a).compare(placeOf(b)) })
			if want := list.want[:min(limit, len(list.want))]; !slices.Equal(list.got, want) {
				t.Fatalf("op %d: up to %d %s after %v:\n got %v\nwant %v", op, limit, list.name, after, list.got, want)
			}
		}
		for i := range table.lists.of {
			list, live := &table.lists.of[i], 0
			for _, n := range model {
				if n == uint32(i) {
					live++
				}
			}
			if list.live != live || len(list.hints) > 2*live+64 {
				t.Fatalf("tenant %d has %d VMs: its list counts %d and has %d hints", i, live, list.live, len(list.hints))
			}
		}
	}
}

// The order of a listing says nothing about who else is there.
func TestTheOrderOfAListingIsThatOfTheHash(t *testing.T) {
	a, b := open(t, Config{}), open(t, Config{})
	for n := range 500 {
		a.vm(t, numberedBIOS(n), TenantID{}, "vm")
		b.vm(t, numberedBIOS(499-n), TenantID{}, "vm")
	}
	for n := range 3000 { // between them, and through several sizes of the table
		b.vm(t, numberedBIOS(1000+n), TenantID{}, "other")
	}
	others := func(vm VM) bool { return vm.Name == "other" }
	same := func(a, b VM) bool { return a.BIOS == b.BIOS }
	for _, tenant := range []*TenantID{nil, {}} {
		of := slices.DeleteFunc(b.VMs(BIOSID{}, tenant, 1<<20), others)
		if !slices.EqualFunc(a.VMs(BIOSID{}, tenant, 1<<20), of, same) || len(of) != 500 {
			t.Errorf("two tables list 500 VMs of tenant %v in two orders", tenant)
		}
	}
}

// While a writer adds, moves and deletes VMs, listings in other goroutines see
// each VM that stays exactly once.
func TestListingsAreWholeWhileAWriterIsAtWork(t *testing.T) {
	t.Parallel()
	const steady, rounds = 300, 40
	table := open(t, Config{})
	acme, globex := table.tenant(t, "acme"), table.tenant(t, "globex")
	put := func(tx *Tx, n int, tenant TenantID) error {
		_, err := tx.PutVM(VM{BIOS: numberedBIOS(n), Tenant: tenant, Name: fmt.Sprint(n)})
		return err
	}
	table.must(t, func(tx *Tx) (err error) {
		for n := range steady {
			err = cmp.Or(err, put(tx, n, acme))
		}
		return err
	})
	var done atomic.Bool
	walked := make(chan error)
	for _, tenant := range []*TenantID{&acme, nil} {
		go func() {
			var err error
			for !done.Load() && err == nil {
				err = table.walk(tenant, 50, steady)
			}
			walked <- err
		}()
	}
	for round := range rounds {
		table.must(t, func(tx *Tx) error {
			for n := range 200 {
				if err := put(tx, steady+200*round+n, acme); err != nil {
					return err
				}
			}
			for n := range 200 * min(round, 1) {
				switch last := steady + 200*(round-1) + n; n % 3 {
				case 0:
					tx.DeleteVM(numberedBIOS(last))
				case 1:
					put(tx, last, globex)
				}
			}
			return nil
		})
	}
	done.Store(true)
	for range 2 {
		if err := <-walked; err != nil {
			t.Error(err)
		}
	}
}

// walk lists by pages, and fails unless the first n VMs are there, once each.
func (x tester) walk(tenant *TenantID, limit, n int) error {
	times := map[BIOSID]int{}
	for after := (BIOSID{}); ; {
		page := x.VMs(after, tenant, limit)
		if len(page) == 0 {
			break
		}
		for _, vm := range page {
			times[vm.BIOS]++
		}
		after = page[len(page)-1].BIOS
	}
	for i := range n {
		if got := times[numberedBIOS(i)]; got != 1 {
			return fmt.Errorf("VM %d was listed %d times", i, got)
		}
	}
	return nil
}

// Deleting a tenant deletes what it has by then in the same change, and no more.
func TestDeletingATenantCountsWhatTheChangeDid(t *testing.T) {
	table := open(t, Config{})
	acme, globex := table.tenant(t, "acme"), table.tenant(t, "globex")
	put := func(tx *Tx, n int, tenant TenantID) {
		if _, err := tx.PutVM(VM{BIOS: numberedBIOS(n), Tenant: tenant, Name: "vm"}); err != nil {
			t.Error(err)
		}
	}
	table.must(t, func(tx *Tx) error {
		for n := range 10 {
			put(tx, n, []TenantID{acme, globex}[n%2])
		}
		return nil
	})
	table.must(t, func(tx *Tx) error {
		put(tx, 0, globex) // leaves
		put(tx, 1, acme)   // comes
		put(tx, 2, acme)   // stays
		put(tx, 10, acme)  // is new
		tx.DeleteVM(numberedBIOS(4))
		_, err := tx.DeleteTenant(acme)
		return err
	})
	for n := range 11 {
		if _, ok := table.VM(numberedBIOS(n)); ok != (n == 0 || n < 10 && n%2 == 1 && n != 1) {
			t.Errorf("VM %d is there: %v", n, ok)
		}
	}
}

// A walk by pages returns each VM once, and those of one tenant only if asked,
// whatever the size of a page and while other VMs come and go.
func TestPagesReturnEachVMOnce(t *testing.T) {
	const vms = 3000
	table := open(t, Config{})
	acme, globex := table.tenant(t, "acme"), table.tenant(t, "globex")
	put := func(tx *Tx, n int) error {
		vm := VM{BIOS: randomID[BIOSID](), Name: fmt.Sprint("steady ", n), Tenant: []TenantID{acme, globex, {}}[n%3]}
		_, err := tx.PutVM(vm)
		return err
	}
	table.must(t, func(tx *Tx) error {
		for n := range vms {
			if err := put(tx, n); err != nil {
				return err
			}
		}
		return nil
	})
	none, unknown := TenantID{}, TenantID{99}
	tests := []struct {
		name        string
		tenant      *TenantID
		limit, want int
		busy        bool
	}{
		{"all, one by one, at first", nil, 1, vms, false},
		{"all, by seven", nil, 7, vms, false},
		{"all at once", nil, vms, vms, false},
		{"more than there are", nil, 2 * vms, vms, false},
		{"of a tenant", &acme, 10, vms / 3, false},
		{"of no tenant", &none, 10, vms / 3, false},
		{"of an unknown tenant", &unknown, 10, 0, false},
		{"none at a time", nil, 0, 0, false},
		{"while VMs come and go", nil, 100, vms, true},
		{"of a tenant while VMs come and go", &globex, 100, vms / 3, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := map[BIOSID]bool{}
			steady := 0
			for after := (BIOSID{}); ; {
				page := table.VMs(after, tt.tenant, tt.limit)
				if len(page) > tt.limit {
					t.Fatalf("a page of %d VMs, at most %d were asked for", len(page), tt.limit)
				}
				if len(page) == 0 {
					break
				}
				for _, vm := range page {
					if seen[vm.BIOS] {
						t.Fatalf("VM %v is returned twice", vm.BIOS)
					}
					if tt.tenant != nil && vm.Tenant != *tt.tenant {
						t.Fatalf("VM %v is of tenant %v", vm.BIOS, vm.Tenant)
					}
					seen[vm.BIOS] = true
					if strings.HasPrefix(vm.Name, "steady") {
						steady++
					}
				}
				after = page[len(page)-1].BIOS
				if tt.busy {
					come := randomID[BIOSID]()
					table.vm(t, come, globex, "passing")
					if come[0]%2 == 0 {
						table.deleteVM(t, come)
					}
				}
			}
			if steady != tt.want {
				t.Errorf("the walk returned %d of the VMs that were there all the time, want %d", steady, tt.want)
			}
		})
	}
}
