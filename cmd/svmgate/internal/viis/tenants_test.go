package viis

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

func TestReadTenants(t *testing.T) {
	w := newWorld(t)
	id := w.tenant(1, func(x *store.Tenant) { x.Name, x.UserData = "acme", "<x>" })
	for _, form := range []string{id.String(), strings.ToUpper(id.String()), strings.ReplaceAll(id.String(), "-", ""), "%7B" + id.String() + "%7D"} {
		a := w.must(200, "GET", "/tenants/"+form, "")
		if !strings.HasPrefix(a.body, declared+`<tenant id="`+id.String()+`" `) || !strings.Contains(a.body, "<name>acme</name><description></description><userData><![CDATA[<x>]]></userData><status>Inactive</status>") {
			t.Errorf("tenant %s is %s", form, a.body)
		}
		if a.header.Get("Content-Type") != contentType {
			t.Errorf("Content-Type %q", a.header.Get("Content-Type"))
		}
	}
	for _, path := range []string{"/tenants/17", "/tenants/" + aBIOS, "/tenants/00000000-0000-0000-0000-000000000000"} {
		w.refused(404, codeTenantNotFound, "GET", path, "")
		w.refused(404, codeTenantNotFound, "GET", path+"/vms", "")
	}
}

func TestListOfTenants(t *testing.T) {
	w := newWorld(t)
	if a := w.must(200, "GET", "/tenants", ""); a.body != declared+"<tenants></tenants>" {
		t.Errorf("no tenants: %s", a.body)
	}
	for i := range byte(3) {
		w.tenant(i+1, func(x *store.Tenant) { x.Name = fmt.Sprint("tenant ", i) })
	}
	a := w.must(200, "GET", "/tenants?limit=1&what=ever", "")
	if strings.Count(a.body, "<tenant ") != 3 || strings.Index(a.body, ">tenant 0<") > strings.Index(a.body, ">tenant 2<") || a.header.Get("Content-Length") == "" {
		t.Errorf("three tenants: %v %s", a.header, a.body)
	}
}

// TestLongLists: what does not fit into a buffer comes in chunks, whole and once.
func TestLongLists(t *testing.T) {
	w := newWorld(t)
	const many, vms = 400, 3*vmPage + 7
	w.put(func(tx *store.Tx) error {
		for i := range many {
			if _, err := tx.PutTenant(store.Tenant{ID: store.TenantID{1, 14: byte(i >> 8), 15: byte(i)}, Name: fmt.Sprint("tenant ", i), UserData: strings.Repeat("x", 1000)}); err != nil {
				return err
			}
		}
		return nil
	})
	id := w.tenant(1)
	w.put(func(tx *store.Tx) error {
		for i := range vms {
			if err := tx.RegisterVM(store.VM{BIOS: store.BIOSID{1, 14: byte(i >> 8), 15: byte(i)}, Tenant: id, Name: fmt.Sprint("vm ", i)}); err != nil {
				return err
			}
		}
		return tx.RegisterVM(store.VM{BIOS: store.BIOSID{2}, Name: "of nobody"})
	})
	for _, tt := range []struct {
		path, name string
		want       int
	}{{"/tenants", "tenant", many + 1}, {"/tenants/" + id.String() + "/vms", "vm", vms}} {
		a := w.must(200, "GET", tt.path, "")
		if n := strings.Count(a.body, "<"+tt.name+" id="); n != tt.want || !strings.HasSuffix(a.body, "></"+tt.name+"s>") {
			t.Errorf("%s has %d, want %d, and ends with %s", tt.path, n, tt.want, a.body[len(a.body)-20:])
		}
		for i := range tt.want - 1 {
			if n := strings.Count(a.body, fmt.Sprintf("<name>%s %d</name>", tt.name, i)); n != 1 {
				t.Fatalf("%s has number %d %d times", tt.path, i, n)
			}
		}
		if a.header.Get("Content-Length") != "" || strings.Contains(a.body, "of nobody") {
			t.Errorf("%s: %v", tt.path, a.header)
		}
		if head := w.do("HEAD", tt.path, ""); head.status != 200 || head.body != "" {
			t.Errorf("HEAD %s: %d %q", tt.path, head.status, head.body)
		}
	}
}

func TestCreateTenant(t *testing.T) {
	w := newWorld(t)
	a := w.must(202, "POST", "/tenants", "<tenant><name>acme</name><description>d</description><userData>u</userData><preferredViisAddress>192.0.2.7</preferredViisAddress>"+account+"</tenant>")
	got := w.asked.created
	if got.Tenant.Name != "acme" || got.Tenant.Description != "d" || got.Tenant.UserData != "u" || got.Tenant.Type != store.Complete || string(got.Password) != "secret!" ||
		got.Tenant.Administration != (store.Administration{User: "boss", IntegrationServer: "192.0.2.7"}) || w.asked.by != "multitenancy" {
		t.Errorf("asked for %+v by %s", got, w.asked.by)
	}
	tasks := w.table.Tasks()
	if len(tasks) != 1 || a.header.Get("Location") != Base+"/tasks/"+tasks[0].ID.String() ||
		!strings.HasPrefix(a.body, declared+`<task id="`+tasks[0].ID.String()+`" `) || !strings.Contains(a.body, "<state>Running</state><type>CreateTenant</type>") {
		t.Errorf("%v %s", a.header, a.body)
	}
	w.knows("a new tenant", store.Key{Kind: store.KindTask, ID: tasks[0].ID})
	for _, body := range []string{
		"<tenant><name>ac\tme</name><type>Simple</type></tenant>", "<tenant><name>a&#x85;b</name><type>Simple</type></tenant>",
		strings.Replace("<tenant><name>acme</name>"+account+"</tenant>", "boss", "bo\nss", 1),
	} {
		if a := w.refused(400, codeBadRequest, "POST", "/tenants", body); !strings.Contains(a.body, "name&gt; must not contain control characters") {
			t.Errorf("it says %s", a.body)
		}
	}
	if n := len(w.table.Tasks()); n != 1 {
		t.Errorf("there are %d tasks, want that of the first tenant alone", n)
	}
}

// TestPreferredAddress: without one in the body it is the host that the call came to.
func TestPreferredAddress(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ body, host, want string }{
		{"", "", "gw-1.example:7271"},
		{"", "192.0.2.1", "192.0.2.1"},
		{"", "[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"", "-is.example", ""},
		{"<preferredViisAddress/>", "", "gw-1.example:7271"},
		{"<preferredViisAddress> is.example </preferredViisAddress>", "", "is.example"},
	} {
		fields := []string{"X-Forwarded-Host", "evil.example"} // from no trusted proxy
		if tt.host != "" {
			fields = append(fields, "Host", tt.host)
		}
		w.must(202, "POST", "/tenants", simpleWith(tt.body), fields...)
		if got := w.asked.created.Tenant.Administration.IntegrationServer; got != tt.want {
			t.Errorf("%s at %q: %q, want %q", tt.body, tt.host, got, tt.want)
		}
	}
}

func TestActivation(t *testing.T) {
	w := newWorld(t)
	id := store.TenantID{15: 9} // of nobody: that is for the task to say
	for verb, active := range map[string]bool{"activate": true, "deactivate": false} {
		a := w.must(202, "POST", "/tenants/"+id.String()+"/"+verb, "")
		if w.asked.id != id || w.asked.active != active || !strings.Contains(a.body, "<type>ChangeTenantActivation</type>") || a.header.Get("Location") == "" {
			t.Errorf("%s: asked for %v of %s; %s", verb, w.asked.active, w.asked.id, a.body)
		}
		w.must(202, "POST", "/tenants/"+id.String()+"/"+verb, "anything", "Content-Type", "text/plain")
		w.refused(404, codeTenantNotFound, "POST", "/tenants/17/"+verb, "")
	}
}

func TestDeleteTenant(t *testing.T) {
	w := newWorld(t)
	id := w.tenant(1)
	path := "/tenants/" + id.String()
	for query, want := range map[string]bool{
		"": false, "?removeTenantArtifacts=true": true, "?removeTenantArtifacts=false": false, "?removeTenantArtifacts=True": true, "?REMOVEtenantartifacts=TRUE": true, "?other=true": false,
	} {
		w.asked.artifacts = !want
		a := w.must(202, "DELETE", path+query, "")
		if w.asked.id != id || w.asked.artifacts != want || !strings.Contains(a.body, "<type>DeleteTenant</type>") {
			t.Errorf("DELETE %s: artifacts %v, want %v", query, w.asked.artifacts, want)
		}
	}
	w.asked.id = store.TenantID{}
	for _, query := range []string{"removeTenantArtifacts=", "removeTenantArtifacts", "removeTenantArtifacts=1", "removeTenantArtifacts=true&removeTenantArtifacts=true", "removeTenantArtifacts=true&removetenantartifacts=false"} {
		w.refused(400, codeBadRequest, "DELETE", path+"?"+query, "")
	}
	w.refused(404, codeTenantNotFound, "DELETE", "/tenants/17", "")
	if !w.asked.id.IsZero() {
		t.Error("it was deleted all the same")
	}
}

// TestDeletionTellsOfVMs: who deletes a tenant may register its VMs elsewhere, next, and
// at another gateway.
func TestDeletionTellsOfVMs(t *testing.T) {
	w := newWorld(t)
	id := w.tenant(1)
	bios := store.BIOSID{15: 0xB1}
	w.put(func(tx *store.Tx) error { return tx.RegisterVM(store.VM{BIOS: bios, Tenant: id}) })
	w.must(202, "DELETE", "/tenants/"+id.String(), "")
	w.knows("a deletion", append([]store.Key{{Kind: store.KindTask, ID: w.table.Tasks()[0].ID}}, vmKeys(nil, bios)...)...)
	w.must(202, "DELETE", "/tenants/00000000-0000-0000-0000-000000000000", "")
	if keys := w.peers.told(); len(keys) != 1 {
		t.Errorf("the deletion of nobody tells of %v", keys)
	}
}
