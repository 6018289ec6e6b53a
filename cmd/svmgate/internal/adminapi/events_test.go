package adminapi

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// emit writes events in one change.
func emit(t testing.TB, table *store.Table, events ...store.Event) {
	t.Helper()
	if err := table.Update(func(tx *store.Tx) error {
		for _, e := range events {
			if e.ID.IsZero() {
				e.ID = store.NewEventID()
			}
			if _, err := tx.Emit(e); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// allEvents are the events of a table, as it has them.
func allEvents(table *store.Table) (all []store.Event) {
	table.Events(store.Version{}, func(e *store.Event) bool { all = append(all, *e); return true })
	return all
}

// TestEventsAreListedOldestFirst walks with every page size: each event once, in order.
func TestEventsAreListedOldestFirst(t *testing.T) {
	g := newGateway(t)
	if got := strings.TrimSpace(g.must(200, "GET", "/v1/events", "").body); got != `{"items":[],"next":""}` {
		t.Errorf("no events: %s", got)
	}
	var want []string
	for i := range 7 {
		e := store.Event{ID: store.NewEventID(), Type: "svm.down", SVM: ownSVM, Message: fmt.Sprint("event ", i)}
		want = append(want, e.ID.String())
		emit(t, g.table, e)
	}
	for limit := 1; limit <= 8; limit++ {
		got, pages := g.walk("/v1/events", "id", limit)
		if !slices.Equal(got, want) || pages != (7+limit-1)/limit {
			t.Errorf("by %d: %v in %d pages, want %v", limit, got, pages, want)
		}
	}
}

// TestEventIsShownAsPromised holds the shape of an event.
func TestEventIsShownAsPromised(t *testing.T) {
	g := newGateway(t)
	tenant := store.TenantID{15: 7}
	emit(t, g.table, store.Event{
		ID: store.EventID{15: 1}, Type: "admin.tenant_changed", Tenant: tenant, Message: `changed <"acme">`,
		Actor: "root", From: "10.0.0.1", Before: []byte(`{"name":"a"}`), After: []byte(`{"name":"acme"}`),
	}, store.Event{ID: store.EventID{15: 2}, Type: "svm.up", SVM: ownSVM})
	at := allEvents(g.table)[0].Time.UTC().Format("2006-01-02T15:04:05.999Z")
	want := `{"items":[{"id":"00000000-0000-0000-0000-000000000001","time":"` + at + `","type":"admin.tenant_changed",` +
		`"tenant":"00000000-0000-0000-0000-000000000007","vm":"","svm":"","message":"changed <\"acme\">",` +
		`"actor":"root","from":"10.0.0.1","before":{"name":"a"},"after":{"name":"acme"}},` +
		`{"id":"00000000-0000-0000-0000-000000000002","time":"` + at + `","type":"svm.up",` +
		`"tenant":"","vm":"","svm":"00000000-0000-0000-0000-0000000000a1","message":""}],"next":""}` + "\n"
	if got := g.must(200, "GET", "/v1/events", "").body; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if a := g.as("watcher", "GET", "/v1/events", ""); a.status != 200 {
		t.Errorf("a viewer gets %d, want 200", a.status)
	}
	for _, account := range []string{"appliance", "integration"} {
		if a := g.as(account, "GET", "/v1/events", ""); a.status != 403 {
			t.Errorf("%s gets %d, want 403", account, a.status)
		}
	}
}

// TestFilters compares every filter with a model, in pages of every size.
func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, err := store.Open(store.Config{})
		check(t, err)
		defer table.Close()
		r := rand.New(rand.NewPCG(1, 1))
		types := []string{"tenant.activated", "tenant.deactivated", "svm.down", "svm.up", "admin.svm_changed", "tenants.other"}
		begin := time.Now()
		for range 200 {
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
			emit(t, table, store.Event{
				Type: types[r.IntN(len(types))], Tenant: store.TenantID{15: byte(r.IntN(3))}, VM: store.BIOSID{15: byte(r.IntN(3))},
				SVM: store.SVMID{15: byte(r.IntN(3))},
			})
		}
		all := allEvents(table)
		one := func(n byte) *[16]byte { return &[16]byte{15: n} }
		a := &API{table: table}
		for name, f := range map[string]eventFilter{
			"all":           {},
			"a type":        {types: []string{"svm.down"}},
			"types":         {types: []string{"svm.", "tenant.activated"}},
			"no such type":  {types: []string{"svm"}},
			"a tenant":      {tenant: (*store.TenantID)(one(1))},
			"no tenant":     {tenant: (*store.TenantID)(one(0))},
			"a VM":          {vm: (*store.BIOSID)(one(2))},
			"an SVM's type": {svm: (*store.SVMID)(one(2)), types: []string{"svm.up"}},
			"a time":        {from: begin.Add(time.Minute), to: begin.Add(2 * time.Minute)},
			"from":          {from: all[100].Time.Time},
			"to":            {to: all[100].Time.Time},
			"from the past": {from: time.Unix(-5, 0)},
			"to the past":   {to: time.Unix(5, 0)},
		} {
			var want []store.EventID
			for _, e := range all {
				prefix := func(t string) bool {
					return t == e.Type || strings.HasSuffix(t, ".") && strings.HasPrefix(e.Type, t)
				}
				if (f.types == nil || slices.ContainsFunc(f.types, prefix)) && (f.tenant == nil || *f.tenant == e.Tenant) &&
					(f.vm == nil || *f.vm == e.VM) && (f.svm == nil || *f.svm == e.SVM) &&
					!e.Time.Before(f.from) && (f.to.IsZero() || e.Time.Before(f.to)) {
					want = append(want, e.ID)
				}
			}
			for _, limit := range []int{1, 7, 1000} {
				var got []store.EventID
				pages := 0
				for after, next := (store.Version{}), "-"; next != ""; {
					page, _ := a.eventPage(f.start(after), &f, limit)
					for _, e := range page.Items {
						got = append(got, e.ID)
					}
					if len(page.Items) > limit {
						t.Fatalf("%s by %d: a page of %d", name, limit, len(page.Items))
					}
					pages++
					next = page.Next
					after, _ = parseCursor(next)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s by %d: %d events, want %d", name, limit, len(got), len(want))
				}
				if most := max(1, (len(want)+limit-1)/limit); strings.HasPrefix(name, "to") && pages > most {
					t.Errorf("%s by %d: %d pages, want %d at most: what comes later need not be looked at", name, limit, pages, most)
				}
			}
		}
	})
}

// TestAFilterThatNothingPassesCostsABoundedPage reads past more events than one request
// looks at.
func TestAFilterThatNothingPassesCostsABoundedPage(t *testing.T) {
	g := newGateway(t)
	events := make([]store.Event, scanLimit+1)
	for i := range events {
		events[i] = store.Event{Type: "svm.up"}
	}
	events[scanLimit].Type = "svm.down"
	emit(t, g.table, events...)
	var page list[store.Event]
	g.must(200, "GET", "/v1/events?type=svm.down", "").json(t, &page)
	if len(page.Items) != 0 || page.Next == "" {
		t.Fatalf("%d events and next %q, want none and a next page", len(page.Items), page.Next)
	}
	g.must(200, "GET", "/v1/events?type=svm.down&after="+page.Next, "").json(t, &page)
	if len(page.Items) != 1 || page.Next != "" {
		t.Errorf("%d events and next %q, want one and no next page", len(page.Items), page.Next)
	}
}

func TestParametersOfEvents(t *testing.T) {
	g := newGateway(t)
	for _, query := range []string{
		"type=", "type=svm.,", "tenant=x", "vm=", "svm=acme", "from=yesterday", "to=2026-11-22", "from=", "after=AAAA", "after=!",
		"limit=0", "limit=1001", "name=x", "from=2026-11-22T13:58:31+01:00",
	} {
		if a := g.do("GET", "/v1/events?"+query, ""); a.status != 400 {
			t.Errorf("%s: %d, want 400", query, a.status)
		}
	}
	for _, query := range []string{
		"type=no.such", "type=a.,b", "vm=%7B564d7e2a-0000-4000-8000-000000000001%7D", "from=2026-11-22T13:58:31%2B01:00", "after=", "limit=1000",
		"to=" + url.QueryEscape(time.Now().Format(time.RFC3339Nano)),
	} {
		g.must(200, "GET", "/v1/events?"+query, "")
	}
}
