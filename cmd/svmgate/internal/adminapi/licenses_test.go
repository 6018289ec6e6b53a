package adminapi

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/store"
)

func (w *world) licenses(query string) (p licensesPage) {
	w.t.Helper()
	w.must(200, "GET", "/v1/licenses"+query, "").json(w.t, &p)
	return p
}

func TestLicenses(t *testing.T) {
	w := newWorld(t)
	soon := time.Now().Add(5*24*time.Hour + time.Hour).UTC().Format(time.RFC3339)
	w.must(200, "PATCH", "/v1/svms/"+ownSVM.String(), `{"pinned":true,"license":{"state":"valid","key":"server","expires":"`+soon+`"}}`)
	w.must(200, "PUT", "/v1/vms/"+w.vm.String(), `{"tenant":"`+w.tenant.String()+`","os":"server"}`)
	w.must(201, "PUT", "/v1/vms/00000000-0000-0000-0000-0000000000c1", `{"tenant":"`+w.tenant.String()+`","os":"desktop"}`)
	w.must(201, "PUT", "/v1/vms/00000000-0000-0000-0000-0000000000c2", `{}`)
	p := w.licenses("")
	if len(p.Counts) != 1 || p.Counts[0] != (license.Count{State: store.LicenseValid, Key: store.KeyServer, SVMs: 1}) {
		t.Errorf("counts %+v", p.Counts)
	}
	if len(p.Endings) != 1 || p.Endings[0].SVM != ownSVM || p.Endings[0].Days != 5 || !p.Endings[0].Warning || p.Warnings != 1 {
		t.Errorf("endings %+v", p.Endings)
	}
	want := license.Cover{VMs: 2, Covered: 1, OtherKey: 1}
	if len(p.Items) != 2 || !p.Items[0].ID.IsZero() || p.Items[1].ID != w.tenant || p.Items[1].Cover != want || len(p.Items[1].Guests) != 2 {
		t.Errorf("tenants %+v, want %+v", p.Items, want)
	}
	if all := (license.Cover{VMs: 3, Covered: 1, OtherKey: 2}); p.All != all {
		t.Errorf("all: %+v, want %+v", p.All, all)
	}
	if since := time.Since(p.At.Time); since < 0 || since > time.Minute {
		t.Errorf("counted %s ago", since)
	}
}

// Pages after the first are of the count that the first made; a first page counts anew.
func TestLicensesByPage(t *testing.T) {
	w := newWorld(t)
	w.must(201, "PUT", "/v1/vms/00000000-0000-0000-0000-0000000000c2", `{}`)
	first := w.licenses("?limit=1")
	w.must(201, "PUT", "/v1/vms/00000000-0000-0000-0000-0000000000c3", `{"tenant":"`+w.tenant.String()+`"}`)
	second := w.licenses("?limit=1&after=" + url.QueryEscape(first.Next))
	ids := []store.TenantID{first.Items[0].ID, second.Items[0].ID}
	if !slices.Equal(ids, []store.TenantID{{}, w.tenant}) || second.Next != "" || second.All != first.All {
		t.Errorf("pages %+v, %+v", first, second)
	}
	if again := w.licenses(""); again.All.VMs != first.All.VMs+1 {
		t.Errorf("a first page counts %d VMs, want %d", again.All.VMs, first.All.VMs+1)
	}
	if a := w.do("GET", "/v1/licenses?after=x", ""); a.status != 400 {
		t.Errorf("after=x: %d %s", a.status, a.body)
	}
}
