package audit

import (
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// last makes a change and returns the event that it left, if it did.
func last(t *testing.T, table *store.Table, fn func(tx *store.Tx) error) (found *store.Event) {
	t.Helper()
	var newest store.Version
	table.Events(newest, func(e *store.Event) bool { newest = e.Version; return true })
	if err := table.Update(fn); err != nil {
		t.Fatal(err)
	}
	table.Events(newest, func(e *store.Event) bool { found = e; return true })
	return found
}

func TestNote(t *testing.T) {
	type object struct {
		Name     string `json:"name"`
		Text     string `json:"text"`
		Updated  int    `json:"updated"`
		Revision int    `json:"revision"`
	}
	long := strings.Repeat("x", 64<<10)
	var many = map[string]string{}
	for i := range 200 {
		many[strings.Repeat("n", i+1)] = strings.Repeat("v", 1000)
	}
	tests := []struct {
		name          string
		entry         Entry
		none          bool
		before, after string
	}{
		{name: "made", entry: Entry{After: object{Name: "a"}}, after: `{"name":"a","text":""}`},
		{name: "changed", entry: Entry{Before: object{Name: "a", Text: "x"}, After: object{Name: "a", Text: "y"}}, before: `{"text":"x"}`, after: `{"text":"y"}`},
		{name: "removed", entry: Entry{Before: object{Name: "a"}}, before: `{"name":"a","text":""}`},
		{name: "as before", entry: Entry{Before: object{Name: "a"}, After: object{Name: "a"}}, none: true},
		{name: "only said to be written", entry: Entry{Before: object{Updated: 1, Revision: 1}, After: object{Updated: 2, Revision: 2}}, none: true},
		{name: "as before, and told", entry: Entry{Before: object{Name: "a"}, After: object{Name: "a"}, Always: true}, before: `{}`, after: `{}`},
		{name: "of nothing", entry: Entry{Message: "took a backup"}},
		{name: "long", entry: Entry{After: object{Text: long}}, after: `{"name":"","text":"… 65538 bytes"}`},
	}
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.entry.Type = "thing_do"
			got := last(t, table, func(tx *store.Tx) error { return Note(tx, Who{"root", "10.0.0.1"}, tt.entry) })
			switch {
			case tt.none:
				if got != nil {
					t.Errorf("it is told: %+v", got)
				}
			case got == nil || got.Type != "admin.thing_do" || got.Actor != "root" || got.From != "10.0.0.1":
				t.Errorf("%+v, want an event of root", got)
			case string(got.Before) != tt.before || string(got.After) != tt.after:
				t.Errorf("before %s, after %s; want %s and %s", got.Before, got.After, tt.before, tt.after)
			}
		})
	}
	got := last(t, table, func(tx *store.Tx) error {
		return Note(tx, Who{}, Entry{Type: "thing_do", Message: strings.Repeat("ä", 1000) + "\xff", After: many})
	})
	if got == nil || len(got.Message) > store.MaxMessage || len(got.After) > store.MaxEvidence || !strings.HasSuffix(got.Message, "…") {
		t.Errorf("%d bytes of message, %d of evidence", len(got.Message), len(got.After))
	}
}

// TestSwitch has every status before and after, of either type.
func TestSwitch(t *testing.T) {
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for i, kind := range []store.TenantType{store.Complete, store.Simple} {
		id := store.TenantID{byte(i + 1)}
		if err := table.Update(func(tx *store.Tx) error {
			_, err := tx.PutTenant(store.Tenant{ID: id, Name: kind.String(), Type: kind})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			active bool
			want   string
		}{
			{false, "admin.tenant_deactivate"},
			{true, "admin.tenant_activate tenant.activated"},
			{true, "admin.tenant_activate"},
			{false, "admin.tenant_deactivate tenant.deactivated"},
		} {
			var types []string
			var newest store.Version
			table.Events(newest, func(e *store.Event) bool { newest = e.Version; return true })
			if err := table.Update(func(tx *store.Tx) error { return Switch(tx, Who{Account: "root"}, id, step.active) }); err != nil {
				t.Fatal(err)
			}
			table.Events(newest, func(e *store.Event) bool {
				types = append(types, e.Type)
				if e.Tenant != id || e.Actor != "root" {
					t.Errorf("%+v: want the tenant and who it was", e)
				}
				return true
			})
			if got := strings.Join(types, " "); got != step.want {
				t.Errorf("%v, active %v: %q, want %q", kind, step.active, got, step.want)
			}
			if tenant, _ := table.Tenant(id); (tenant.Status == store.Active) != step.active {
				t.Errorf("the tenant is %v", tenant.Status)
			}
		}
	}
}
