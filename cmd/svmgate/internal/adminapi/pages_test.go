package adminapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// walk reads a list page by page and returns the keys of its items in order.
func (g *gateway) walk(path, key string, limit int) (keys []string, pages int) {
	g.t.Helper()
	after := ""
	for {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		var page struct {
			Items []map[string]any
			Next  string
		}
		g.must(200, "GET", fmt.Sprintf("%s%slimit=%d%s", path, sep, limit, after), "").json(g.t, &page)
		pages++
		for _, item := range page.Items {
			keys = append(keys, item[key].(string))
		}
		if page.Next == "" {
			return keys, pages
		}
		if len(page.Items) != limit {
			g.t.Fatalf("a page of %d with a next one, want %d", len(page.Items), limit)
		}
		if after == "&after="+page.Next {
			g.t.Fatalf("%s repeats a page", path)
		}
		after = "&after=" + page.Next
	}
}

// TestWalkOfVMs reads 2,500 VMs in pages: each must be seen once, for all and for
// one tenant, and in the same order whatever the page.
func TestWalkOfVMs(t *testing.T) {
	w := newWorld(t)
	want := []string{w.vm.String()}
	var own []string
	check(t, w.table.Update(func(tx *store.Tx) error {
		for i := range 2499 {
			vm := store.VM{BIOS: store.BIOSID{byte(i % 251), byte(i >> 8), byte(i), 1}}
			if i%5 == 0 {
				vm.Tenant = w.tenant
				own = append(own, vm.BIOS.String())
			}
			want = append(want, vm.BIOS.String())
			if _, err := tx.PutVM(vm); err != nil {
				return err
			}
		}
		return nil
	}))
	own = append(own, w.vm.String())
	slices.Sort(want)
	slices.Sort(own)
	inOrder := map[string][]string{}
	for _, tt := range []struct {
		path  string
		limit int
		want  []string
		pages int
	}{
		{"/v1/vms", 1000, want, 3},
		{"/v1/vms", 100, want, 25},
		{"/v1/vms", 500, want, 5},
		{"/v1/vms?tenant=" + w.tenant.String(), 100, own, 6},
		{"/v1/vms?tenant=00000000-0000-0000-0000-0000000000dd", 100, nil, 1},
	} {
		got, pages := w.walk(tt.path, "biosId", tt.limit)
		if first := inOrder[tt.path]; first != nil && !slices.Equal(got, first) {
			t.Errorf("%s by %d: another order than by another limit", tt.path, tt.limit)
		}
		inOrder[tt.path] = slices.Clone(got)
		slices.Sort(got)
		if !slices.Equal(got, tt.want) || pages != tt.pages {
			t.Errorf("%s by %d: %d VMs in %d pages, want %d in %d", tt.path, tt.limit, len(got), pages, len(tt.want), tt.pages)
		}
	}
	if none, _ := w.walk("/v1/vms?tenant=00000000-0000-0000-0000-000000000000", "biosId", 1000); len(none) != 2500-len(own) {
		t.Errorf("%d VMs of no tenant, want %d", len(none), 2500-len(own))
	}
}

// TestWalkOfTheRest walks the other lists with every limit from 1 to past their
// ends.
func TestWalkOfTheRest(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.must(201, "POST", "/v1/tenants", fmt.Sprintf(`{"name":"t%d"}`, i))
		w.must(201, "PUT", fmt.Sprintf("/v1/svms/0000000%d-0000-0000-0000-000000000000", i+1), `{"address":"10.0.0.1"}`)
	}
	for _, l := range []struct {
		path, key string
		want      int
	}{{"/v1/tenants", "id", 5}, {"/v1/svms", "id", 5}, {"/v1/users", "name", 4}} {
		for limit := 1; limit <= l.want+1; limit++ {
			keys, _ := w.walk(l.path, l.key, limit)
			if len(keys) != l.want || !slices.IsSorted(keys) || len(slices.Compact(keys)) != l.want {
				t.Errorf("%s by %d: %v, want %d different ones in order", l.path, limit, keys, l.want)
			}
		}
	}
	// What was the last object of a page may be gone when the next is asked for.
	var page list[store.Tenant]
	w.must(200, "GET", "/v1/tenants?limit=2", "").json(t, &page)
	w.must(204, "DELETE", "/v1/tenants/"+page.Items[1].ID.String(), "")
	var rest list[store.Tenant]
	w.must(200, "GET", "/v1/tenants?after="+page.Next, "").json(t, &rest)
	if len(rest.Items) != 3 {
		t.Errorf("%d tenants after one that is gone, want 3", len(rest.Items))
	}
}

func TestEmptyListsAreNotNull(t *testing.T) {
	g := newGateway(t)
	for _, path := range []string{"/v1/tenants", "/v1/svms", "/v1/vms", "/v1/tenants?name=nobody"} {
		if got := strings.TrimSpace(g.must(200, "GET", path, "").body); got != `{"items":[],"next":""}` {
			t.Errorf("%s: %s, want no items and no next", path, got)
		}
	}
}
