package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A write is what a test of validation tries: the field that it is about, and
// whether the table takes it.
type write struct {
	field string
	what  string
	ok    bool
	put   func(*Tx) (bool, error)
}

func (w write) check(t *testing.T, tx *Tx) {
	t.Helper()
	changed, err := w.put(tx)
	var fe *FieldError
	switch {
	case w.ok && (err != nil || !changed):
		t.Errorf("%s %s: %v, %v; want it taken", w.field, w.what, changed, err)
	case w.ok:
	case !errors.As(err, &fe):
		t.Errorf("%s %s: %v, %v; want a *FieldError", w.field, w.what, changed, err)
	case fe.Field != w.field || fe.Reason == "" || !strings.Contains(err.Error(), w.field):
		t.Errorf("%s %s: error %q names %q", w.field, w.what, err, fe.Field)
	case len(fe.Value) > 100:
		t.Errorf("%s %s: the error repeats %d bytes", w.field, w.what, len(fe.Value))
	}
}

// textCases returns what a text of at most the given bytes may be and may not.
func textCases(field string, most int, put func(tx *Tx, text string) (bool, error)) (out []write) {
	add := func(what, text string, ok bool) {
		out = append(out, write{field, what, ok, func(tx *Tx) (bool, error) { return put(tx, text) }})
	}
	add("as long as allowed", strings.Repeat("x", most), true)
	add("not in English", "Виртуальная машина № 7", true)
	add("too long", strings.Repeat("x", most+1), false)
	add("of invalid UTF-8", "a\xffb", false)
	add("with a control character", "a\nb", most == maxText)
	return out
}

func newTenant(edit func(*Tenant)) func(*Tx) (bool, error) {
	return func(tx *Tx) (bool, error) {
		tenant := Tenant{ID: NewTenantID()}
		tenant.Name = tenant.ID.String()
		edit(&tenant)
		changed, err := tx.PutTenant(tenant)
		if before := tenant.Validate(); (before == nil) != (err == nil) || err != nil && before.Error() != err.Error() {
			return changed, errors.Join(errors.New("Validate says otherwise"), before, err)
		}
		return changed, err
	}
}

func newSVM(edit func(*SVM)) func(*Tx) (bool, error) {
	return func(tx *Tx) (bool, error) {
		s := SVM{ID: NewSVMID(), SVMConfig: SVMConfig{Address: "10.9.0.7"}}
		edit(&s)
		return tx.PutSVM(s)
	}
}

func newVM(edit func(*VM)) func(*Tx) (bool, error) {
	return func(tx *Tx) (bool, error) {
		vm := VM{BIOS: randomID[BIOSID]()}
		edit(&vm)
		return tx.PutVM(vm)
	}
}

func newAccount(edit func(*Account)) func(*Tx) (bool, error) {
	return func(tx *Tx) (bool, error) {
		a := Account{Name: NewVMID().String(), Hash: "argon2id"}
		edit(&a)
		return tx.PutAccount(a)
	}
}

func TestEveryTextIsBounded(t *testing.T) {
	tenant := func(field string, most int, at func(*Tenant) *string) []write {
		return textCases(field, most, func(tx *Tx, s string) (bool, error) {
			return newTenant(func(x *Tenant) { *at(x) = s })(tx)
		})
	}
	svm := func(field string, most int, at func(*SVM) *string) []write {
		return textCases(field, most, func(tx *Tx, s string) (bool, error) {
			return newSVM(func(x *SVM) { *at(x) = s })(tx)
		})
	}
	vm := func(field string, most int, at func(*VM) *string) []write {
		return textCases(field, most, func(tx *Tx, s string) (bool, error) {
			return newVM(func(x *VM) { *at(x) = s })(tx)
		})
	}
	table := open(t, Config{})
	table.must(t, func(tx *Tx) error {
		for _, cases := range [][]write{
			tenant("name", maxName, func(x *Tenant) *string { return &x.Name }),
			tenant("description", maxText, func(x *Tenant) *string { return &x.Description }),
			tenant("userData", maxText, func(x *Tenant) *string { return &x.UserData }),
			tenant("discovery.tag", maxTag, func(x *Tenant) *string { return &x.Discovery.Tag }),
			tenant("administration.server", maxName, func(x *Tenant) *string { return &x.Administration.Server }),
			tenant("administration.address", maxName, func(x *Tenant) *string { return &x.Administration.Address }),
			tenant("administration.user", maxName, func(x *Tenant) *string { return &x.Administration.User }),
			svm("name", maxName, func(x *SVM) *string { return &x.Name }),
			svm("version", maxName, func(x *SVM) *string { return &x.Version }),
			svm("path.host", maxName, func(x *SVM) *string { return &x.Path.Host }),
			svm("path.cluster", maxName, func(x *SVM) *string { return &x.Path.Cluster }),
			svm("path.zone", maxName, func(x *SVM) *string { return &x.Path.Zone }),
			vm("name", maxName, func(x *VM) *string { return &x.Name }),
			vm("userData", maxText, func(x *VM) *string { return &x.UserData }),
			vm("version", maxName, func(x *VM) *string { return &x.Version }),
			vm("path.host", maxName, func(x *VM) *string { return &x.Path.Host }),
			vm("path.cluster", maxName, func(x *VM) *string { return &x.Path.Cluster }),
			vm("path.zone", maxName, func(x *VM) *string { return &x.Path.Zone }),
			textCases("name", maxName, func(tx *Tx, s string) (bool, error) {
				return newAccount(func(x *Account) { x.Name = s })(tx)
			}),
			textCases("tags", maxTag, func(tx *Tx, s string) (bool, error) {
				return newSVM(func(x *SVM) { x.Tags = []string{"gold", s} })(tx)
			}),
		} {
			for _, w := range cases {
				w.check(t, tx)
			}
		}
		return nil
	})
}

func TestEveryFieldIsChecked(t *testing.T) {
	const bad = 200 // in every enumeration
	at := func(year int) Time { return Time{time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)} }
	tests := []write{
		{"id", "missing", false, newTenant(func(x *Tenant) { x.ID = TenantID{} })},
		{"name", "missing", false, newTenant(func(x *Tenant) { x.Name = "" })},
		{"type", "unknown", false, newTenant(func(x *Tenant) { x.Type = bad })},
		{"discovery.algorithm", "unknown", false, newTenant(func(x *Tenant) { x.Discovery.Algorithm = bad })},
		{"discovery.path", "unknown", false, newTenant(func(x *Tenant) { x.Discovery.Path = bad })},
		{"discovery.load", "unknown", false, newTenant(func(x *Tenant) { x.Discovery.Load = bad })},
		{"discovery.agentVersion", "unreadable", false, newTenant(func(x *Tenant) { x.Discovery.AgentVersion = "twelve" })},
		{"discovery.agentVersion", "readable", true, newTenant(func(x *Tenant) { x.Discovery.AgentVersion = "12.0.0.455" })},
		{"subnets", "of both families", true, newTenant(func(x *Tenant) { x.Subnets = []string{"10.1.0.0/16", "2001:db8::/32"} })},
		{"subnets", "without a length", false, newTenant(func(x *Tenant) { x.Subnets = []string{"10.1.0.0"} })},
		{"subnets", "that are none", false, newTenant(func(x *Tenant) { x.Subnets = []string{"10.1.0.0/16", "all; drop"} })},
		{"subnets", "too many", false, newTenant(func(x *Tenant) { x.Subnets = make([]string, maxList+1) })},

		{"id", "missing", false, newSVM(func(x *SVM) { x.ID = SVMID{} })},
		{"address", "missing", false, newSVM(func(x *SVM) { x.Address = "" })},
		{"tags", "empty", false, newSVM(func(x *SVM) { x.Tags = []string{""} })},
		{"tags", "too many", false, newSVM(func(x *SVM) { x.Tags = make([]string, maxList+1) })},
		{"tenants", "as many as allowed", true, newSVM(func(x *SVM) { x.Tenants = slices.Repeat([]TenantID{{1}}, maxList) })},
		{"tenants", "of no tenant", false, newSVM(func(x *SVM) { x.Tenants = []TenantID{{1}, {}} })},
		{"tenants", "too many", false, newSVM(func(x *SVM) { x.Tenants = slices.Repeat([]TenantID{{1}}, maxList+1) })},
		{"capacity", "none", true, newSVM(func(x *SVM) { x.Capacity = 0 })},
		{"capacity", "the largest", true, newSVM(func(x *SVM) { x.Capacity = maxCapacity })},
		{"capacity", "negative", false, newSVM(func(x *SVM) { x.Capacity = -1 })},
		{"capacity", "too large", false, newSVM(func(x *SVM) { x.Capacity = maxCapacity + 1 })},
		{"hardCap", "the largest", true, newSVM(func(x *SVM) { x.HardCap = maxCapacity })},
		{"hardCap", "negative", false, newSVM(func(x *SVM) { x.HardCap = -1 })},
		{"hardCap", "too large", false, newSVM(func(x *SVM) { x.HardCap = maxCapacity + 1 })},
		{"state", "unknown", false, newSVM(func(x *SVM) { x.State = bad })},
		{"connectedAgents", "the most", true, newSVM(func(x *SVM) { x.ConnectedAgents = maxCapacity })},
		{"connectedAgents", "negative", false, newSVM(func(x *SVM) { x.ConnectedAgents = -1 })},
		{"connectedAgents", "too many", false, newSVM(func(x *SVM) { x.ConnectedAgents = maxCapacity + 1 })},
		{"platform", "unknown", false, newSVM(func(x *SVM) { x.Platform = bad })},
		{"license.state", "unknown", false, newSVM(func(x *SVM) { x.License.State = bad })},
		{"license.key", "unknown", false, newSVM(func(x *SVM) { x.License.Key = bad })},
		{"license.edition", "unknown", false, newSVM(func(x *SVM) { x.License.Edition = bad })},
		{"license.expires", "long ago", true, newSVM(func(x *SVM) { x.License.Expires = at(1971) })},
		{"license.expires", "in the last year", true, newSVM(func(x *SVM) { x.License.Expires = at(9999) })},
		{"license.expires", "in 1970", false, newSVM(func(x *SVM) { x.License.Expires = at(1970) })},
		{"license.expires", "after all years", false, newSVM(func(x *SVM) { x.License.Expires = at(10000) })},
		{"kinds", "none in particular", false, newSVM(func(x *SVM) { x.Kinds = []AgentKind{AgentLinux, AgentUnknown} })},
		{"kinds", "unknown", false, newSVM(func(x *SVM) { x.Kinds = []AgentKind{bad} })},
		{"kinds", "too many", false, newSVM(func(x *SVM) { x.Kinds = make([]AgentKind, maxList+1) })},

		{"biosId", "missing", false, newVM(func(x *VM) { x.BIOS = BIOSID{} })},
		{"tenant", "unknown", false, newVM(func(x *VM) { x.Tenant = TenantID{1} })},
		{"tenant", "none", true, newVM(func(x *VM) { x.Tenant = TenantID{} })},
		{"os", "unknown", false, newVM(func(x *VM) { x.OS = bad })},
		{"kind", "unknown", false, newVM(func(x *VM) { x.Kind = bad })},
		{"version", "unreadable, which counts as unknown", true, newVM(func(x *VM) { x.Version = "latest" })},

		{"name", "missing", false, newAccount(func(x *Account) { x.Name = "" })},
		{"name", "with a colon", false, newAccount(func(x *Account) { x.Name = "a:b" })},
		{"password", "missing", false, newAccount(func(x *Account) { x.Hash = "" })},
		{"password", "with an endless hash", false, newAccount(func(x *Account) { x.Hash = strings.Repeat("x", maxHash+1) })},
		{"role", "unknown", false, newAccount(func(x *Account) { x.Role = bad })},
		{"svms", "too many", false, newAccount(func(x *Account) { x.SVMs = make([]SVMID, maxList+1) })},
	}
	table := open(t, Config{})
	table.must(t, func(tx *Tx) error {
		for _, w := range tests {
			w.check(t, tx)
		}
		return nil
	})
}

func TestAddressesAreIPAddressesOrHostNames(t *testing.T) {
	for _, good := range []string{
		"10.9.0.7", "2001:db8::7", "svm", "svm-1.example", "SVM.example.", "xn--80ak6aa92e.example", "a_b", "9.example",
		strings.Repeat("a", 63) + ".example",
	} {
		write{"address", good, true, newSVM(func(x *SVM) { x.Address = good })}.checkIn(t)
	}
	for _, bad := range []string{
		"fe80::1%eth0", "10.9.0.7:9876", "[2001:db8::7]", "svm example", "-svm", "svm-", "svm..example", ".", ".svm",
		"свм.example", "svm\".example", "<svm>", "svm/1", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127),
	} {
		write{"address", bad, false, newSVM(func(x *SVM) { x.Address = bad })}.checkIn(t)
	}
}

func (w write) checkIn(t *testing.T) {
	t.Helper()
	table := open(t, Config{})
	table.must(t, func(tx *Tx) error {
		w.check(t, tx)
		return nil
	})
}

// A password's hash is in no JSON and in no error.
func TestHashIsNeverShown(t *testing.T) {
	a := Account{Name: "root", Role: RoleAdmin, Hash: "secret"}
	text, err := json.Marshal(a)
	if err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("an account as JSON is %s, %v", text, err)
	}
	_, err = newAccount(func(x *Account) { x.Hash = strings.Repeat("secret", maxHash) })(&Tx{})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}

// What was written reads back the same, from within the change and after it.
func TestObjectsReadBackAsWritten(t *testing.T) {
	table := open(t, Config{})
	table.must(t, func(tx *Tx) error {
		if err := furnish(tx); err != nil {
			return err
		}
		tenant, _ := tx.Tenant(TenantID{1})
		svm, _ := tx.SVM(SVMID{2})
		vm, _ := tx.VM(BIOSID{3})
		account, _ := tx.Account("root")
		token, ok := tx.Token(TenantID{1})
		want := `{"id":"01000000-0000-0000-0000-000000000000","name":"acme","description":"d","type":"complete","status":"active",` +
			`"userData":"u","subnets":["10.1.0.0/16"],"discovery":{"algorithm":"extended","path":"zone","load":"fewest","tag":"gold",` +
			`"protection":true,"agentVersion":"12.0","locked":true},"administration":{"server":"s","address":"a","user":"u"}`
		if text, err := json.Marshal(tenant); err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("the tenant is %s, %v\nwant %s", text, err, want)
		}
		want = `{"id":"02000000-0000-0000-0000-000000000000","name":"svm","address":"svm.example","tags":["gold"],` +
			`"tenants":["01000000-0000-0000-0000-000000000000"],"capacity":500,"hardCap":900,"pinned":true,"version":"6.0",` +
			`"platform":"openstack","path":{"host":"h","cluster":"c","zone":"z"},"largeInfrastructure":true,"license":{"state":"valid",` +
			`"key":"server","edition":"enterprise","expires":"2096-10-02T07:06:40Z"},"encryption":true,"allowUnprotected":true,` +
			`"kinds":["linux"],"connectedAgents":77,"state":"suspect"`
		if text, err := json.Marshal(svm); err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("the SVM is %s, %v\nwant %s", text, err, want)
		}
		got := fmt.Sprintln(vm.Tenant == tenant.ID, vm.Name, vm.UserData, vm.OS, vm.Kind, vm.Version, vm.Path, vm.ID.IsZero())
		if want := "true vm u server linux 12.0.1 {h c z} false\n"; got != want {
			t.Errorf("the VM is %s, want %s", got, want)
		}
		got = fmt.Sprintln(account.Role, len(account.SVMs), account.Hash, token.Current[0], token.Previous[0], ok)
		if want := "svm 1 argon2id 1 2 true\n"; got != want {
			t.Errorf("account and token are %s, want %s", got, want)
		}
		return nil
	})
	if vm, ok := table.VM(BIOSID{3}); !ok || vm.Created.IsZero() || vm.Revision == 0 || vm.Revision >= 1<<53 {
		t.Errorf("the VM is %+v", vm)
	}
	if a, ok := table.Account("root"); !ok || a.Hash != "argon2id" || len(table.Accounts()) != 1 || table.Stats().Accounts != 1 {
		t.Errorf("the account is %+v", a)
	}
}

// A VM keeps its id while it is registered, and creation times stay.
func TestRewritingKeepsIdentity(t *testing.T) {
	clock := newStopped()
	table := open(t, Config{Clock: clock.time})
	table.must(t, furnish)
	vm, _ := table.VM(BIOSID{3})
	tenant, _ := table.Tenant(TenantID{1})
	clock.advance(time.Hour)
	table.vm(t, vm.BIOS, TenantID{}, "moved")
	table.must(t, func(tx *Tx) error {
		_, err := tx.PutTenant(Tenant{ID: tenant.ID, Name: "renamed"})
		return err
	})
	again, _ := table.VM(BIOSID{3})
	renamed, _ := table.Tenant(TenantID{1})
	if again.ID != vm.ID || again.Created != vm.Created || !again.Updated.After(vm.Updated.Time) || again.Revision == vm.Revision {
		t.Errorf("the VM went from %+v to %+v", vm, again)
	}
	if renamed.Created != tenant.Created || renamed.Status != Active || !renamed.Updated.After(tenant.Updated.Time) {
		t.Errorf("the tenant went from %+v to %+v", tenant, renamed)
	}
}
