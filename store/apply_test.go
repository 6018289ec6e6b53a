package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// memoryJournal keeps records in memory. It fails with fail, and waits for gate.
type memoryJournal struct {
	records []Record
	appends int
	fail    error
	gate    chan struct{}
}

func (j *memoryJournal) Replay(fn func(Record) error) error {
	for _, r := range j.records {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func (j *memoryJournal) Append(records []Record) error {
	j.appends++
	if j.gate != nil {
		<-j.gate
	}
	if j.fail != nil {
		return j.fail
	}
	j.records = append(j.records, records...)
	return nil
}

func (j *memoryJournal) Close() error { return nil }

// furnish writes one object of every kind, each with something in every field.
func furnish(tx *Tx) error {
	_, err := furnished(tx)
	return err
}

// furnished is furnish; it reports which writes changed something.
func furnished(tx *Tx) (changed []string, err error) {
	note := func(what string) func(bool, error) {
		return func(c bool, e error) {
			if c {
				changed = append(changed, what)
			}
			err = errors.Join(err, e)
		}
	}
	acme, svm := TenantID{1}, SVMID{2}
	note("tenant")(tx.PutTenant(Tenant{
		ID: acme, Name: "acme", Description: "d", Type: Complete, UserData: "u", Subnets: []string{"10.1.0.0/16"},
		Discovery:      Discovery{Algorithm: Extended, Path: PathZone, Load: Fewest, Tag: "gold", Protection: true, AgentVersion: "12.0", Locked: true},
		Administration: Administration{Server: "s", Address: "a", User: "u"},
	}))
	note("activation")(tx.SetActive(acme, true))
	note("token")(tx.SetToken(Token{
		Tenant: acme, Current: [32]byte{1}, Previous: [32]byte{2}, PreviousUntil: time.Now().Add(time.Hour).Truncate(time.Hour),
	}))
	note("svm")(tx.PutSVM(SVM{
		ID: svm,
		SVMConfig: SVMConfig{
			Name: "svm", Address: "svm.example", Tags: []string{"gold"}, Tenants: []TenantID{acme},
			Capacity: 500, HardCap: 900, Pinned: true,
		},
		SVMFacts: SVMFacts{
			Version: "6.0", Platform: OpenStack, Path: Path{"h", "c", "z"}, LargeInfra: true,
			License:    License{State: LicenseValid, Key: KeyServer, Edition: EditionEnterprise, Expires: milliTime(4e12)},
			Encryption: true, AllowUnprotected: true, Kinds: []AgentKind{AgentLinux},
		},
		ConnectedAgents: 77, State: Suspect,
	}))
	note("vm")(tx.PutVM(VM{
		BIOS: BIOSID{3}, Tenant: acme, Name: "vm", UserData: "u", OS: OSServer, Kind: AgentLinux, Version: "12.0.1",
		Path: Path{"h", "c", "z"},
	}))
	note("account")(tx.PutAccount(Account{Name: "root", Role: RoleSVM, SVMs: []SVMID{svm}, Hash: "argon2id"}))
	note("event")(tx.Emit(Event{
		ID: EventID{4}, Type: "admin.tenant_update", Tenant: acme, VM: BIOSID{3}, SVM: svm, Message: "changed",
		Actor: "root", From: "10.0.0.1", Before: []byte(`{}`), After: []byte(`{"name":"acme"}`),
	}))
	note("observation")(tx.PutObservation(Observation{ID: BIOSID{3}, State: 2, Times: 3, Cause: 4, Repeated: milliTime(5e11)}))
	note("protection")(tx.Protect(BIOSID{3}, DayOf(tx.Now())-1, DayOf(tx.Now())))
	return changed, err
}

func TestApplyIsAllOrNothing(t *testing.T) {
	diskFull := fmt.Errorf("%w: disk full", ErrReadOnly)
	bad := Record{Key: Key{KindTenant, [16]byte{9}}, Value: []byte{1, 200}}
	tests := []struct {
		name string
		harm func(*Table, *memoryJournal)
		last Record
		want error
	}{
		{"a record that can not be read", nil, bad, errCorrupt},
		{"the journal fails", func(_ *Table, j *memoryJournal) { j.fail = diskFull }, Record{}, ErrReadOnly},
		{"too many SVMs", func(t *Table, _ *memoryJournal) {
			for i := range MaxSVMs - 1 {
				t.svmIndex[SVMID{9, byte(i), byte(i >> 8)}] = i
			}
		}, Record{}, ErrFull},
		{"too many agent versions", func(t *Table, _ *memoryJournal) {
			t.symbols.versions = make([]ProductVersion, MaxVersions+1)
		}, Record{}, ErrFull},
		{"too many names of path levels", func(t *Table, _ *memoryJournal) { t.symbols.most = 6 }, Record{}, ErrFull},
		{"too many bytes of VMs", func(t *Table, _ *memoryJournal) {
			for i := range t.vms.shards {
				t.vms.shards[i].garbage -= maxArena + 1
			}
			t.vms.largest.Store(maxArena)
		}, Record{}, ErrFull},
		{"the table is closed", func(t *Table, _ *memoryJournal) { t.Close() }, Record{}, ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			journal := &memoryJournal{}
			table := open(t, Config{Journal: journal})
			table.must(t, furnish)
			before, kept := table.picture(), len(journal.records)
			if tt.harm != nil {
				tt.harm(table.Table, journal)
			}
			table.Subscribe(func(*News) { t.Error("there is news of what did not happen") })

			svm1, svm2 := svmConfigRow{SVMConfig: SVMConfig{Name: "1"}}, svmConfigRow{SVMConfig: SVMConfig{Name: "2"}}
			tenant, vm := tenantRow{Name: "new"}, vmRow{Name: "new"}
			place := placementRow{Path: Path{"H", "C", "Z"}, Version: "99.99"}
			batch := []Record{
				{Key: Key{KindTenant, [16]byte{5}}, Value: tenant.encode()},
				{Key: Key{KindSVMConfig, [16]byte{6}}, Value: svm1.encode()},
				{Key: Key{KindSVMConfig, [16]byte{7}}, Value: svm2.encode()},
				{Key: Key{KindVM, [16]byte{8}}, Value: vm.encode()},
				{Key: Key{KindPlacement, [16]byte{8}}, Value: place.encode()},
				{Key: Key{KindTenant, [16]byte{1}}}, // deletes acme
			}
			if tt.last.Value != nil {
				batch = append(batch, tt.last)
			}
			if _, err := table.Apply(Batch{Records: batch}); !errors.Is(err, tt.want) {
				t.Fatalf("Apply = %v, want %v", err, tt.want)
			}
			if diff := diff(before, table.picture()); diff != "" || len(journal.records) != kept {
				t.Errorf("the journal has %d records more, and the table changed:\n%s", len(journal.records)-kept, diff)
			}
			if _, ok := table.Lookup(&BIOSID{8}); ok {
				t.Error("Lookup finds a VM that was refused")
			}
		})
	}
}

// Bounds count things, not the records that speak of them.
func TestBoundsCountEachThingOnce(t *testing.T) {
	table := open(t, Config{})
	for i := range MaxSVMs - 3 {
		table.svmIndex[SVMID{9, byte(i), byte(i >> 8)}] = 0
	}
	table.must(t, func(tx *Tx) error {
		for i := range 3 {
			if _, err := tx.PutSVM(SVM{ID: SVMID{1, byte(i)}, SVMConfig: SVMConfig{Address: "svm"}}); err != nil {
				return err
			}
		}
		return nil
	})
	err := table.Update(func(tx *Tx) error {
		_, err := tx.ConfigureSVM(SVMID{2}, SVMConfig{Address: "svm"}, Ready)
		return err
	})
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), fmt.Sprint(MaxSVMs)) {
		t.Errorf("one SVM too many: %v, want ErrFull that names %d", err, MaxSVMs)
	}
}

func TestUpdateThatFailsLeavesNothing(t *testing.T) {
	journal := &memoryJournal{}
	table := open(t, Config{Journal: journal})
	table.must(t, furnish)
	before, kept := table.picture(), len(journal.records)
	no := errors.New("no")
	err := table.Update(func(tx *Tx) error {
		for _, step := range []func() (bool, error){
			func() (bool, error) { return tx.DeleteTenant(TenantID{1}) },
			func() (bool, error) { return tx.DeleteSVM(SVMID{2}) },
			func() (bool, error) { return tx.DeleteAccount("root") },
			func() (bool, error) { return tx.PutTenant(Tenant{ID: TenantID{4}, Name: "acme"}) },
			func() (bool, error) { return tx.PutVM(VM{BIOS: BIOSID{5}, Tenant: TenantID{4}}) },
		} {
			if changed, err := step(); !changed || err != nil {
				t.Errorf("a step changed: %v, %v", changed, err)
			}
		}
		return no
	})
	if err != no { //nolint:errorlint // the very error is promised
		t.Errorf("Update = %v, want what the function returned", err)
	}
	if diff := diff(before, table.picture()); diff != "" || len(journal.records) != kept {
		t.Errorf("the journal has %d records more, and the table changed:\n%s", len(journal.records)-kept, diff)
	}
}

func TestWritingWhatIsThereChangesNothing(t *testing.T) {
	journal := &memoryJournal{}
	table := open(t, Config{Journal: journal})
	want := []string{"tenant", "activation", "token", "svm", "vm", "account", "event", "observation", "protection"}
	for i := range 3 {
		before, revision := len(journal.records), table.Stats().Revision
		table.must(t, func(tx *Tx) error {
			changed, err := furnished(tx)
			if !slices.Equal(changed, want) {
				t.Errorf("writing for the %d. time changed %q, want %q", i+1, changed, want)
			}
			return err
		})
		if n := len(journal.records) - before; i > 0 && (n != 0 || table.Stats().Revision != revision) {
			t.Errorf("writing for the %d. time journalled %d records; revision %d, then %d", i+1, n, revision, table.Stats().Revision)
		}
		want = nil
	}
}

func TestChangeReadsWhatItWrote(t *testing.T) {
	table := open(t, Config{})
	acme, globex := table.tenant(t, "acme"), table.tenant(t, "globex")
	table.vm(t, BIOSID{1}, acme, "vm")
	put := func(tx *Tx, id TenantID, name string) error {
		_, err := tx.PutTenant(Tenant{ID: id, Name: name})
		return err
	}
	table.must(t, func(tx *Tx) error {
		if err := put(tx, acme, "globex"); !errors.Is(err, ErrExists) {
			t.Errorf("a name in use: %v, want ErrExists", err)
		}
		// Names can be exchanged by way of a third.
		if err := errors.Join(put(tx, acme, "x"), put(tx, globex, "acme"), put(tx, acme, "globex")); err != nil {
			t.Error(err)
		}
		if got, ok := tx.TenantByName("acme"); !ok || got.ID != globex {
			t.Errorf("within the change acme is %v, %v", got.ID, ok)
		}
		if _, ok := tx.TenantByName("x"); ok {
			t.Error("a name that was given up is taken")
		}
		if _, err := tx.PutVM(VM{BIOS: BIOSID{2}, Tenant: acme}); err != nil {
			t.Error(err)
		}
		if _, err := tx.DeleteTenant(acme); err != nil {
			t.Error(err)
		}
		for _, bios := range []BIOSID{{1}, {2}} {
			if _, ok := tx.VM(bios); ok {
				t.Errorf("VM %v outlived its tenant", bios)
			}
		}
		return put(tx, NewTenantID(), "globex")
	})
	if got := table.Stats(); got.Tenants != 2 || got.VMs != 0 {
		t.Errorf("Stats = %+v; want 2 tenants, no VM", got)
	}
}

func TestWhatIsUnknownIsNotFound(t *testing.T) {
	table := open(t, Config{})
	table.must(t, func(tx *Tx) error {
		for name, step := range map[string]func() (bool, error){
			"activate tenant": func() (bool, error) { return tx.SetActive(TenantID{1}, true) },
			"delete tenant":   func() (bool, error) { return tx.DeleteTenant(TenantID{1}) },
			"token":           func() (bool, error) { return tx.SetToken(Token{Tenant: TenantID{1}}) },
			"report":          func() (bool, error) { return tx.ReportSVM(SVMID{1}, SVMFacts{}, 0) },
			"delete SVM":      func() (bool, error) { return tx.DeleteSVM(SVMID{1}) },
			"delete VM":       func() (bool, error) { return tx.DeleteVM(BIOSID{1}) },
			"delete account":  func() (bool, error) { return tx.DeleteAccount("root") },
		} {
			if changed, err := step(); changed || !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v, %v; want ErrNotFound", name, changed, err)
			}
		}
		return nil
	})
	if err := table.Update(func(tx *Tx) error {
		return errors.Join(tx.RegisterVM(VM{BIOS: BIOSID{1}}), tx.RegisterVM(VM{BIOS: BIOSID{1}}))
	}); !errors.Is(err, ErrExists) {
		t.Errorf("registering twice: %v, want ErrExists", err)
	}
}

func TestNewsComesAfterTheChangeIsVisibleAndBeforeItIsAcknowledged(t *testing.T) {
	table := open(t, Config{})
	acknowledged := false
	var got []*News
	cancel := table.Subscribe(func(n *News) {
		got = append(got, n)
		if acknowledged {
			t.Error("the change was acknowledged before its news")
		}
		if _, ok := table.Lookup(&BIOSID{3}); !ok || n.View != table.View() || len(table.Tenants()) == 0 {
			t.Error("the news comes before the change is visible")
		}
	})
	table.must(t, furnish)
	acknowledged = true
	if len(got) != 1 || got[0].From != "" || len(got[0].Records) != len(table.all()) {
		t.Fatalf("there was news %v; want all records, once", got)
	}
	// What is no news is not told, and what comes from a peer says so.
	acknowledged = false
	table.apply(t, got[0].Records...)
	row := tenantRow{Name: "other"}
	r := Record{Key: Key{KindTenant, [16]byte{7}}, Value: row.encode()}
	if _, err := table.Apply(Batch{Records: []Record{r}, From: "peer"}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[1].From != "peer" || got[1].Records[0].Version.IsZero() {
		t.Fatalf("there was news %v; want one more, stamped, from the peer", got)
	}
	cancel()
	table.tenant(t, "after")
	if len(got) != 2 {
		t.Error("there is news after it was cancelled")
	}
}

// Whoever finds a VM by Lookup finds its tenant in what observers have made of
// the views that they were shown.
func TestObserversSeeATenantBeforeItsVMsAreVisible(t *testing.T) {
	table := open(t, Config{})
	var derived atomic.Pointer[View]
	cancel := table.Observe(func(c *ViewChange) { derived.Store(c.View) })
	defer cancel()
	if derived.Load() != table.View() {
		t.Fatal("an observer is not shown the present view")
	}
	const rounds = 2000
	bios := func(n int64) BIOSID { return BIOSID{1, byte(n), byte(n >> 8)} }
	var round atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			n := round.Load()
			if n == rounds {
				return
			}
			id := bios(n)
			slot, ok := table.Lookup(&id)
			if !ok {
				continue
			}
			view := derived.Load()
			if slot.Tenant() >= view.NumTenants() || view.Tenant(slot.Tenant()) == nil {
				t.Errorf("round %d: the VM is visible, its tenant is not", n)
				return
			}
			if view.Path(slot.Path()) == (PathSymbols{}) || view.Version(slot.Version()).IsZero() {
				t.Errorf("round %d: the VM is visible, its placement is not", n)
				return
			}
		}
	})
	for n := range int64(rounds) {
		table.must(t, func(tx *Tx) error {
			id := TenantID{2, byte(n), byte(n >> 8)}
			_, err := tx.PutVM(VM{BIOS: bios(n), Name: "early"}) // refers to none yet
			if err == nil {
				_, err = tx.PutTenant(Tenant{ID: id, Name: fmt.Sprint(n)})
			}
			if err == nil {
				place := Path{Host: fmt.Sprint(n)}
				_, err = tx.PutVM(VM{BIOS: bios(n), Tenant: id, Version: fmt.Sprintf("1.%d", n), Path: place})
			}
			return err
		})
		round.Store(n + 1)
	}
	wg.Wait()
}

// An observer is told of each tenant and SVM once a change, however many records
// and VMs speak of it.
func TestObserversAreToldOfEachThingOnce(t *testing.T) {
	table := open(t, Config{})
	var changes []*ViewChange
	table.Observe(func(c *ViewChange) { changes = append(changes, c) })
	vm := vmRow{Tenant: TenantID{9}}
	table.must(t, furnish)
	table.apply(t, Record{Key: Key{KindVM, [16]byte{1}}, Value: vm.encode()}, Record{Key: Key{KindVM, [16]byte{2}}, Value: vm.encode()})
	var got [][2]int
	for _, c := range changes {
		got = append(got, [2]int{len(c.Tenants), len(c.SVMs)})
	}
	if want := [][2]int{{1, 0}, {1, 1}, {1, 0}}; !slices.Equal(got, want) {
		t.Errorf("changes name %v tenants and SVMs, want %v", got, want)
	}
}

func TestLoadsAreNotJournalledAndFactsAre(t *testing.T) {
	journal := &memoryJournal{}
	table := open(t, Config{Journal: journal})
	table.svm(t, SVMID{1}, Ready, false)
	before := len(journal.records)
	table.report(t, SVMID{1}, SVMFacts{Version: "6.0"}, 5)
	table.report(t, SVMID{1}, SVMFacts{Version: "6.0"}, 6)
	table.report(t, SVMID{1}, SVMFacts{Version: "6.1"}, 6)
	var kinds []Kind
	for _, r := range journal.records[before:] {
		kinds = append(kinds, r.Key.Kind)
	}
	if want := []Kind{KindSVMFacts, KindSVMFacts}; !slices.Equal(kinds, want) {
		t.Errorf("three reports journalled %v, want %v", kinds, want)
	}
	if s, _ := table.SVM(SVMID{1}); s.ConnectedAgents != 6 || s.Version != "6.1" {
		t.Errorf("the SVM has %d agents and version %s; want 6 and 6.1", s.ConnectedAgents, s.Version)
	}
}

// A full disk must not take SVMs down: a report that says nothing new needs no
// journal.
func TestReportsGoOnWhileTheJournalFails(t *testing.T) {
	journal := &memoryJournal{}
	table := open(t, Config{Journal: journal})
	table.svm(t, SVMID{1}, Ready, false)
	table.report(t, SVMID{1}, SVMFacts{Version: "6.0"}, 5)
	journal.fail = ErrReadOnly
	table.report(t, SVMID{1}, SVMFacts{Version: "6.0"}, 6)
	if s, _ := table.SVM(SVMID{1}); s.ConnectedAgents != 6 {
		t.Errorf("the SVM has %d agents, want 6", s.ConnectedAgents)
	}
}
