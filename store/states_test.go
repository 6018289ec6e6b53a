package store

import (
	"testing"
	"time"
)

const ttl = 15 * time.Minute // the default

func (x tester) wantState(t *testing.T, when string, id SVMID, want SVMState) {
	t.Helper()
	s, ok := x.SVM(id)
	e := x.View().SVM(0)
	if !ok || s.State != want || x.Load(e.Index).State() != want {
		t.Errorf("%s the SVM is %v to administrators and %v to questions, want %v", when, s.State, x.Load(e.Index).State(), want)
	}
	if got := x.Ready(e.Index); got != (want == Ready) {
		t.Errorf("%s Ready says %v of an SVM that is %v", when, got, want)
	}
}

// Of an SVM with a hard cap a question has to know the load.
func TestReadyMeansWithoutHardCap(t *testing.T) {
	table, id := open(t, Config{}), SVMID{1}
	table.svm(t, id, Ready, true)
	for _, hard := range []int{10, 0} {
		table.must(t, func(tx *Tx) error {
			_, err := tx.ConfigureSVM(id, SVMConfig{Address: "10.9.0.8", HardCap: hard, Pinned: true}, Ready)
			return err
		})
		if got := table.Ready(0); got != (hard == 0) {
			t.Errorf("with a hard cap of %d Ready says %v", hard, got)
		}
	}
}

func TestStateOfAnSVM(t *testing.T) {
	tests := []struct {
		name                             string
		written                          SVMState
		pinned, reports                  bool
		now, shortly, silent, heardAgain SVMState
	}{
		{"ready follows reports", Ready, false, true, Ready, Ready, Down, Ready},
		{"never reported is down", Ready, false, false, Down, Down, Down, Ready},
		{"pinned needs no reports", Ready, true, false, Ready, Ready, Ready, Ready},
		{"pinned down stays down", Down, true, true, Down, Down, Down, Down},
		{"down as written follows reports", Down, false, true, Ready, Ready, Down, Ready},
		{"draining holds", Draining, false, true, Draining, Draining, Draining, Draining},
		{"draining holds for pinned ones", Draining, true, false, Draining, Draining, Draining, Draining},
		{"suspect holds while it reports", Suspect, false, true, Suspect, Suspect, Down, Suspect},
		{"suspect holds for pinned ones", Suspect, true, false, Suspect, Suspect, Suspect, Suspect},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, id := open(t, Config{}), SVMID{1}
			table.svm(t, id, tt.written, tt.pinned)
			if tt.reports {
				table.report(t, id, SVMFacts{Version: "6.0"}, 10)
			}
			table.wantState(t, "at first", id, tt.now)
			table.Sweep(table.since(ttl - time.Second))
			table.wantState(t, "shortly before its time", id, tt.shortly)
			table.Sweep(table.since(ttl + time.Minute))
			table.wantState(t, "after its time", id, tt.silent)
			table.report(t, id, SVMFacts{Version: "6.0"}, 10)
			table.wantState(t, "after a report", id, tt.heardAgain)
		})
	}
}

func TestTTLIsASetting(t *testing.T) {
	table, id := open(t, Config{SVMTTL: time.Hour}), SVMID{1}
	table.svm(t, id, Ready, false)
	table.report(t, id, SVMFacts{}, 0)
	table.Sweep(table.since(59 * time.Minute))
	table.wantState(t, "before an hour", id, Ready)
	table.Sweep(table.since(61 * time.Minute))
	table.wantState(t, "after an hour", id, Down)
}

// A report is all that it takes to be up; a configuration does not count as one.
func TestConfiguringAnSVMIsNotAReport(t *testing.T) {
	table, id := open(t, Config{}), SVMID{1}
	table.svm(t, id, Ready, false)
	table.report(t, id, SVMFacts{Version: "6.0"}, 10)
	table.Sweep(table.since(ttl + time.Minute))
	table.must(t, func(tx *Tx) error {
		_, err := tx.ConfigureSVM(id, SVMConfig{Address: "10.9.0.8"}, Ready)
		return err
	})
	table.Sweep(table.since(ttl + time.Minute))
	table.wantState(t, "after it was configured", id, Down)
}

// An SVM that is forgotten and made again has yet to report.
func TestForgottenSVMIsForgotten(t *testing.T) {
	table, id := open(t, Config{}), SVMID{1}
	table.svm(t, id, Ready, false)
	table.report(t, id, SVMFacts{Version: "6.0"}, 10)
	table.Pick(0, 5)
	table.must(t, func(tx *Tx) error { _, err := tx.DeleteSVM(id); return err })
	if _, ok := table.SVM(id); ok || table.View().SVM(0) != nil || table.Stats().SVMs != 0 {
		t.Error("a forgotten SVM is found")
	}
	table.svm(t, id, Ready, false)
	table.wantState(t, "made again,", id, Down)
	if s, _ := table.SVM(id); s.ConnectedAgents != 0 || !s.LastReport.IsZero() || table.Agents(0) != 0 || s.Version != "" {
		t.Errorf("made again, the SVM is %+v; want no trace of the old one", s)
	}
}

// After a restart an SVM counts as just heard, so that nobody is unprotected for
// want of a report; one that never reported does not.
func TestRestartCountsAsJustHeard(t *testing.T) {
	journal := &memoryJournal{}
	before := open(t, Config{Journal: journal})
	before.svm(t, SVMID{1}, Ready, false)
	before.report(t, SVMID{1}, SVMFacts{Version: "6.0"}, 10)
	before.svm(t, SVMID{2}, Ready, false)
	after := open(t, Config{Journal: journal})
	for i, want := range []SVMState{Ready, Down} {
		if s, _ := after.SVM(SVMID{byte(i + 1)}); s.State != want {
			t.Errorf("after a restart SVM %d is %v, want %v", i+1, s.State, want)
		}
	}
	after.Sweep(after.since(ttl + time.Minute))
	after.wantState(t, "if no report follows", SVMID{1}, Down)
}

func TestAReportStartsTheCountOfPicksAnew(t *testing.T) {
	table, id := open(t, Config{}), SVMID{1}
	table.must(t, func(tx *Tx) error {
		_, err := tx.PutSVM(SVM{ID: id, SVMConfig: SVMConfig{Address: "svm", HardCap: 12}, ConnectedAgents: 10})
		return err
	})
	for _, step := range []struct{ picks, want int }{{1, 11}, {1, 12}, {-1, 11}} {
		table.Pick(0, int32(step.picks))
		if got := table.Agents(0); got != step.want {
			t.Errorf("after a pick of %d: %d agents, want %d", step.picks, got, step.want)
		}
	}
	table.report(t, id, SVMFacts{}, 3)
	if got, picks := table.Agents(0), table.Picks(0); got != 3 || picks != 1 {
		t.Errorf("after a report of 3: %d agents and %d picks, want 3 and 1", got, picks)
	}
}

func TestLicencesExpire(t *testing.T) {
	table, id := open(t, Config{}), SVMID{1}
	var told []bool
	cancel := table.Observe(func(c *ViewChange) {
		for _, i := range c.SVMs {
			told = append(told, c.View.SVM(i).Licensed)
		}
	})
	defer cancel()
	expires := time.Now().Add(time.Hour)
	facts := func(state LicenseState, expires time.Time) SVMFacts {
		return SVMFacts{License: License{State: state, Expires: Time{expires}}}
	}
	want := func(when string, licensed bool) {
		t.Helper()
		if got := table.View().SVM(0).Licensed; got != licensed {
			t.Errorf("%s the SVM is licensed: %v, want %v", when, got, licensed)
		}
		if n := len(told); n == 0 || told[n-1] != licensed {
			t.Errorf("%s observers were told %v, want %v last", when, told, licensed)
		}
	}
	table.svm(t, id, Ready, true)
	want("without a key", false)
	table.report(t, id, facts(LicenseValid, expires), 0)
	want("with a key", true)
	table.Sweep(expires.Add(-time.Second))
	want("before its expiry", true)
	table.Sweep(expires.Add(time.Second))
	want("after its expiry", false)
	revision := table.View().Revision()
	table.Sweep(expires.Add(time.Minute))
	if got := table.View().Revision(); got != revision {
		t.Errorf("nothing changed, and the revision went from %d to %d", revision, got)
	}
	table.report(t, id, facts(LicenseValid, expires.Add(24*time.Hour)), 0)
	table.Sweep(expires.Add(time.Minute))
	want("renewed", true)
	table.report(t, id, facts(LicenseValid, time.Now().Add(-time.Second)), 0)
	want("with a key that is past", false)
	table.report(t, id, facts(LicenseValid, time.Time{}), 0)
	want("with a key that never expires", true)
	table.report(t, id, facts(LicenseDenied, time.Time{}), 0)
	want("in the denylist", false)
}

func TestReplacedTokenIsValidForAnOverlap(t *testing.T) {
	table := open(t, Config{})
	acme, globex := table.tenant(t, "acme"), table.tenant(t, "globex")
	end := time.Now().Add(time.Hour)
	old, fresh, other := [32]byte{1}, [32]byte{2}, [32]byte{3}
	want := func(when string, sum [32]byte, id TenantID) {
		t.Helper()
		if got, ok := table.TenantByToken(sum); got != id || ok == id.IsZero() {
			t.Errorf("%s token %d is of %v, want %v", when, sum[0], got, id)
		}
	}
	set := func(token Token) {
		t.Helper()
		table.must(t, func(tx *Tx) error { _, err := tx.SetToken(token); return err })
	}
	set(Token{Tenant: acme, Current: old})
	set(Token{Tenant: globex, Current: other})
	want("at first", old, acme)
	set(Token{Tenant: acme, Current: fresh, Previous: old, PreviousUntil: end})
	for _, sum := range [][32]byte{old, fresh} {
		want("in the overlap", sum, acme)
	}
	table.Sweep(end.Add(-time.Second))
	want("shortly before its end", old, acme)
	table.Sweep(end)
	want("at its end", old, TenantID{})
	want("after it", fresh, acme)
	want("after it", other, globex)
	want("without one", [32]byte{}, TenantID{})
	table.deleteTenant(t, acme)
	want("after the tenant was deleted", fresh, TenantID{})
	want("after another was deleted", other, globex)
}

func TestDeletingATenantTakesWhatIsIts(t *testing.T) {
	table := open(t, Config{})
	acme, globex := table.tenant(t, "acme"), table.tenant(t, "globex")
	table.activate(t, acme, true)
	for i := range byte(50) {
		table.vm(t, BIOSID{1, i}, acme, "vm")
		table.vm(t, BIOSID{2, i}, globex, "vm")
	}
	table.vm(t, BIOSID{2, 7}, acme, "moved here")
	table.vm(t, BIOSID{1, 7}, globex, "moved away")
	table.deleteTenant(t, acme)
	if got := table.Stats(); got.VMs != 50 || got.Tenants != 1 {
		t.Errorf("Stats = %+v; want the 50 VMs of the other tenant", got)
	}
	if vms := table.VMs(BIOSID{}, &acme, 100); len(vms) != 0 {
		t.Errorf("the deleted tenant has %d VMs", len(vms))
	}
	_, moved := table.VM(BIOSID{2, 7})
	if _, away := table.VM(BIOSID{1, 7}); moved || !away {
		t.Errorf("the VM that moved to it is there: %v, the one that moved away: %v", moved, away)
	}
	table.must(t, func(tx *Tx) error { _, err := tx.PutTenant(Tenant{ID: acme, Name: "acme"}); return err })
	if tenant, _ := table.Tenant(acme); tenant.Status != Inactive || table.Stats().VMs != 50 {
		t.Errorf("made again, the tenant is %v, and the table has %d VMs", tenant.Status, table.Stats().VMs)
	}
}
