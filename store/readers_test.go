package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// numberedBIOS returns the BIOS ID of a test's nth VM.
func numberedBIOS(n int) (id BIOSID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return id
}

// variant returns the nth VM as it is in one of two states, which differ in all
// that a question sees.
func variant(n, state int, tenants []TenantID) VM {
	i := 2*n + state
	version := variantVersions[i%len(variantVersions)]
	return VM{
		BIOS: numberedBIOS(n), ID: VMID{1}, Tenant: tenants[i%len(tenants)], Name: "vm",
		OS: GuestOS(i % 3), Kind: AgentKind((i + 1) % 3), Version: version, Path: Path{Host: "on " + version},
	}
}

var variantVersions = []string{"12.0", "12.1", "12.2", "12.3", "12.4", "5.1", "5.2"}

// seen is what a question sees of a VM.
func (x tester) seen(t *testing.T, bios BIOSID) (VM, bool) {
	slot, ok := x.Lookup(&bios)
	if !ok {
		return VM{}, false
	}
	view := x.View() // not older than the slot
	vm := VM{BIOS: bios, OS: slot.OS(), Kind: slot.Kind()}
	for _, text := range variantVersions { // not String, which allocates
		if v, _ := ParseProductVersion(text); v == view.Version(slot.Version()) {
			vm.Version = text
		}
	}
	if slot.Tenant() >= view.NumTenants() || view.Tenant(slot.Tenant()) == nil {
		t.Errorf("VM %v has tenant %d, which the view has not", bios, slot.Tenant())
		return VM{}, false
	}
	vm.Tenant = view.Tenant(slot.Tenant()).ID
	return vm, true
}

func (vm *VM) looksLike(o *VM) bool {
	return vm.Tenant == o.Tenant && vm.OS == o.OS && vm.Kind == o.Kind && vm.Version == o.Version
}

// While a writer adds 100,000 VMs and changes others, readers find every VM that
// was acknowledged, and it is in one of its states, never a mix of them.
func TestLookupsAreRightWhileAWriterIsAtWork(t *testing.T) {
	t.Parallel()
	const batch, changing = 10_000, 200
	vms := 100_000
	if testing.Short() {
		vms = 20_000
	}
	table := open(t, Config{})
	tenants := make([]TenantID, 9)
	for i := range tenants {
		tenants[i] = table.tenant(t, fmt.Sprint(i))
	}
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	read := func() {
		r := rand.New(rand.NewPCG(rand.Uint64(), 0))
		for {
			known := int(acknowledged.Load())
			if known == vms {
				return
			}
			n := r.IntN(known + batch)
			got, ok := table.seen(t, numberedBIOS(n))
			a, b := variant(n, 0, tenants), variant(n, 1, tenants)
			switch {
			case !ok && n < known:
				t.Errorf("VM %d of %d acknowledged is not found", n, known)
				return
			case ok && !got.looksLike(&a) && !(n < changing && got.looksLike(&b)):
				t.Errorf("VM %d is seen as %+v: want %+v, or %+v if it is below %d", n, got, a, b, changing)
				return
			}
		}
	}
	for range max(1, runtime.GOMAXPROCS(0)-1) {
		wg.Go(read)
	}
	for n := 0; n < vms; n += batch {
		table.must(t, func(tx *Tx) error {
			for i := range batch {
				if _, err := tx.PutVM(variant(n+i, 0, tenants)); err != nil {
					return err
				}
			}
			for i := range changing {
				if _, err := tx.PutVM(variant(i, (n/batch)%2, tenants)); err != nil {
					return err
				}
			}
			return nil
		})
		acknowledged.Store(int64(n + batch))
	}
	wg.Wait()
	if got := table.Stats().VMs; got != vms {
		t.Errorf("the table has %d VMs, want %d", got, vms)
	}
}

// Questions wait for nobody: neither for a change in the making nor for a disk.
// Administrators' reads do not wait for the disk either.
func TestReadersDoNotWaitForWriters(t *testing.T) {
	journal := &memoryJournal{}
	table := open(t, Config{Journal: journal})
	table.must(t, furnish)
	ask := func() error {
		if _, ok := table.Lookup(&BIOSID{3}); !ok || table.View().NumTenants() != 2 {
			return errors.New("a question finds nothing")
		}
		if id, ok := table.TenantByToken([32]byte{1}); !ok || id != (TenantID{1}) {
			return errors.New("a token is not found")
		}
		return nil
	}
	readAll := func() error {
		vm, ok := table.VM(BIOSID{3})
		if _, tenant := table.Tenant(vm.Tenant); !ok || !tenant || len(table.VMs(BIOSID{}, nil, 9)) != 1 {
			return errors.New("an administrator finds nothing")
		}
		return ask()
	}
	table.must(t, func(*Tx) error { return inTime(readAll) })

	table.mu.Lock() // a change being committed
	err := inTime(ask)
	table.mu.Unlock()
	if err != nil {
		t.Errorf("while a change is committed: %v", err)
	}

	journal.gate = make(chan struct{})
	started, done := journal.appends, make(chan error)
	go func() {
		done <- table.Update(func(tx *Tx) error { _, err := tx.DeleteVM(BIOSID{3}); return err })
	}()
	if err := inTime(readAll); err != nil {
		t.Errorf("while the journal writes: %v", err)
	}
	journal.gate <- struct{}{}
	if err := <-done; err != nil || journal.appends != started+1 {
		t.Fatal(err)
	}
	if _, ok := table.Lookup(&BIOSID{3}); ok {
		t.Error("the deletion was acknowledged and the VM is found")
	}
}

// inTime runs fn elsewhere and fails if it does not return.
func inTime(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("a reader waits")
	}
}

func TestQuestionsAllocateNothing(t *testing.T) {
	table := open(t, Config{})
	table.must(t, furnish)
	known, unknown := BIOSID{3}, BIOSID{4}
	sum, wrong := [32]byte{1}, sha256.Sum256(nil)
	n := testing.AllocsPerRun(1000, func() {
		slot, ok := table.Lookup(&known)
		if _, other := table.Lookup(&unknown); !ok || other {
			t.Fatal("Lookup is wrong")
		}
		view := table.View()
		tenant := view.Tenant(slot.Tenant())
		slot.Assign(slot.Assigned() + 1)
		table.Pick(view.SVM(0).Index, 1)
		id, ok := table.TenantByToken(sum)
		if _, other := table.TenantByToken(wrong); !ok || other || tenant.ID != id {
			t.Fatal("TenantByToken is wrong")
		}
	})
	if n != 0 {
		t.Errorf("a question allocates %v times, want 0", n)
	}
}

// A view is a picture: it does not change, whatever happens to the table.
func TestViewsDoNotChange(t *testing.T) {
	table := open(t, Config{})
	table.must(t, furnish)
	view := table.View()
	tenant, svm, revision := *view.Tenant(1), view.SVM(0).SVM, view.Revision()
	table.deleteTenant(t, tenant.ID)
	table.must(t, func(tx *Tx) error { _, err := tx.DeleteSVM(svm.ID); return err })
	table.tenant(t, "other")
	if view.NumTenants() != 2 || view.NumSVMs() != 1 || view.Tenant(1) == nil || view.SVM(0) == nil || view.Revision() != revision {
		t.Errorf("the view changed: %+v", view)
	}
	now := table.View()
	if now.Revision() <= revision || now.Tenant(1) != nil || now.SVM(0) != nil || now.NumTenants() != 3 {
		t.Errorf("the new view is %+v", now)
	}
}

func TestAssignmentsAreRememberedWithTheVM(t *testing.T) {
	table := open(t, Config{})
	table.vm(t, BIOSID{1}, TenantID{}, "vm")
	slot, _ := table.Lookup(&BIOSID{1})
	if got := slot.Assigned(); got != -1 {
		t.Errorf("a new VM is assigned to %d, want -1", got)
	}
	if before := slot.Assign(0); before != -1 {
		t.Errorf("Assign returns %d, want -1", before)
	}
	again, _ := table.Lookup(&BIOSID{1})
	if got, before := again.Assigned(), again.Assign(7); got != 0 || before != 0 || slot.Assigned() != 7 {
		t.Errorf("remembered were %d and %d, then %d; want 0, 0 and 7", got, before, slot.Assigned())
	}
}
