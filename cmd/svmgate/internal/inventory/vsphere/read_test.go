package vsphere

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory/vsphere/simvc"
	"github.com/svmgate/svmgate/store"
)

func start(t testing.TB, p simvc.Provider) *simvc.VCenter {
	t.Helper()
	v, err := simvc.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func bios(i int) string     { return fmt.Sprintf("4221a0c4-1111-4000-8000-%012d", i) }
func instance(i int) string { return fmt.Sprintf("5021a0c4-2222-4000-8000-%012d", i) }

// small is 2 clusters of 2 hosts in one datacenter, a host of its own in
// another, and 12 machines that show all that can be wrong.
func small() simvc.Provider {
	p := simvc.Provider{Datacenters: []simvc.Datacenter{
		{Name: "ams1", Clusters: []simvc.Cluster{
			{Name: "prod", Hosts: []string{"esx1", "esx2"}}, {Name: "test", Hosts: []string{"esx3", "esx4"}},
		}},
		{Name: "fra1", Hosts: []string{"esx9"}},
	}}
	add := func(m simvc.Machine) {
		i := len(p.Machines) + 1
		if m.UUID == "" {
			m.UUID = bios(i)
		}
		m.Instance = instance(i)
		p.Machines = append(p.Machines, m)
	}
	add(simvc.Machine{Name: "svm-esx1", Host: "esx1", GuestID: "sles15_64Guest", Address: "10.9.0.1"})
	add(simvc.Machine{Name: "scanner", Host: "esx3", Address: "10.9.0.3", Tags: []string{"Role/SVM"}})
	add(simvc.Machine{Name: "svm-silent", Host: "esx9"})
	add(simvc.Machine{Name: "web", Host: "esx1", Folder: "Tenants/acme", GuestID: "ubuntu64Guest"})
	add(simvc.Machine{Name: "desk", Host: "esx2", Folder: "Tenants/acme/desks", GuestID: "windows9_64Guest"})
	add(simvc.Machine{Name: "a/b", Host: "esx9", Folder: "Tenants/R%D", GuestID: "windows2019srv_64Guest"})
	add(simvc.Machine{Name: "tagged", Host: "esx4", GuestID: "darwin23_64Guest", Tags: []string{"Tenant/umbrella", "Role/Web"}})
	add(simvc.Machine{Name: "nobody's", Host: "esx4"})
	add(simvc.Machine{Name: "golden", Host: "esx1", Folder: "Tenants/acme", Template: true})
	add(simvc.Machine{Name: "clone1", Host: "esx1", Folder: "Tenants/acme", UUID: bios(99)})
	add(simvc.Machine{Name: "clone2", Host: "esx2", Folder: "Tenants/acme", UUID: strings.ToUpper(bios(99))})
	add(simvc.Machine{Name: "torn", Host: "esx4", Tags: []string{"Tenant/umbrella", "Tenant/acme"}})
	return p
}

func smallRules() Rules {
	return Rules{
		SVMName: regexp.MustCompile(`^svm-`), SVMTag: "Role/SVM",
		TenantFolder: regexp.MustCompile(`^/[^/]+/vm/Tenants/([^/]+)`), TenantTag: "Tenant",
	}
}

func read(t testing.TB, v *simvc.VCenter, rules Rules) *Found {
	t.Helper()
	found, err := Read(t.Context(), Config{URL: v.URL, CAFile: v.CAFile, PageSize: 5}, rules)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func lines(t testing.TB, items []inventory.Item) []string {
	t.Helper()
	var b bytes.Buffer
	if err := inventory.Write(&b, inventory.NDJSON, items); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(b.String()), "\n")
}

// TestRead: every rule, on one small vCenter, in several pages.
func TestRead(t *testing.T) {
	v := start(t, small())
	found := read(t, v, smallRules())
	id := func(i int) string { return store.SVMID(inventory.DerivedID("vsphere", instance(i))).String() }
	want := []string{
		`{"tenant":{"name":"R%D"}}`,
		`{"tenant":{"name":"acme"}}`,
		`{"tenant":{"name":"umbrella"}}`,
		`{"svm":{"id":"` + id(2) + `","name":"scanner","address":"10.9.0.3","path":{"host":"ams1/test/esx3","cluster":"ams1/test","zone":"ams1"}}}`,
		`{"svm":{"id":"` + id(1) + `","name":"svm-esx1","address":"10.9.0.1","path":{"host":"ams1/prod/esx1","cluster":"ams1/prod","zone":"ams1"}}}`,
		`{"svm":{"id":"` + id(3) + `","name":"svm-silent","path":{"host":"fra1/esx9","cluster":"","zone":"fra1"}}}`,
		`{"vm":{"biosId":"` + bios(6) + `","tenant":"R%D","name":"a/b","os":"server","kind":"windows","path":{"host":"fra1/esx9","cluster":"","zone":"fra1"}}}`,
		`{"vm":{"biosId":"` + bios(5) + `","tenant":"acme","name":"desk","os":"desktop","kind":"windows","path":{"host":"ams1/prod/esx2","cluster":"ams1/prod","zone":"ams1"}}}`,
		`{"vm":{"biosId":"` + bios(4) + `","tenant":"acme","name":"web","os":"server","kind":"linux","path":{"host":"ams1/prod/esx1","cluster":"ams1/prod","zone":"ams1"}}}`,
		`{"vm":{"biosId":"` + bios(7) + `","tenant":"umbrella","name":"tagged","os":"","kind":"","path":{"host":"ams1/test/esx4","cluster":"ams1/test","zone":"ams1"}}}`,
	}
	if diff := cmp.Diff(want, lines(t, found.Items)); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	problems := []Problem{
		{"/ams1/vm/Tenants/acme/clone1", "shares its BIOS UUID " + bios(99) + " with /ams1/vm/Tenants/acme/clone2; give each its own; skipped"},
		{"/ams1/vm/Tenants/acme/clone2", "shares its BIOS UUID " + bios(99) + " with /ams1/vm/Tenants/acme/clone1; give each its own; skipped"},
		{"/ams1/vm/torn", "has several tags of category Tenant: acme, umbrella; skipped"},
		{"/fra1/vm/svm-silent", "is an SVM whose guest tools report no address; written without one"},
	}
	if diff := cmp.Diff(problems, found.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if found.Unmapped != 1 {
		t.Errorf("%d VMs were nobody's, want 1", found.Unmapped)
	}

	if n, err := v.Sessions(t.Context()); n != 0 || err != nil {
		t.Errorf("%d sessions are left open, %v; vCenter allows few", n, err)
	}

	// The other rules, on the same vCenter.
	all := lines(t, read(t, v, Rules{Site: "north", Swapped: true}).Items)
	i := slices.IndexFunc(all, func(s string) bool { return strings.Contains(s, `"web"`) })
	if want := `{"vm":{"biosId":"c4a02142-1111-0040-8000-000000000004","name":"web","os":"server","kind":"linux","path":{"host":"north/ams1/prod/esx1","cluster":"north/ams1/prod","zone":"north/ams1"}}}`; len(all) != 9 || all[i] != want {
		t.Errorf("without rules %d items, want 9, and\n%s, want\n%s", len(all), all[i], want)
	}
	rules := smallRules()
	rules.Unmapped, rules.Pinned = true, true
	all = lines(t, read(t, v, rules).Items)
	if want := `{"vm":{"biosId":"` + bios(8) + `","tenant":"","name":"nobody's","os":"","kind":"","path":{"host":"ams1/test/esx4","cluster":"ams1/test","zone":"ams1"}}}`; !slices.Contains(all, want) {
		t.Errorf("with Unmapped: %q, want %s among them", all, want)
	}
	if n := strings.Count(strings.Join(all, "\n"), `"pinned":true`); n != 3 {
		t.Errorf("%d SVMs are pinned, want 3", n)
	}
}

// TestOneMoveIsOneChange: an unchanged vCenter gives the same bytes, and after a
// VM moved host only its record differs and only it changes in the table.
func TestOneMoveIsOneChange(t *testing.T) {
	v := start(t, small())
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	load := func() ([]string, inventory.Result) {
		items := slices.DeleteFunc(read(t, v, smallRules()).Items, func(i inventory.Item) bool { return i.SVM != nil && i.SVM.Address == nil })
		var b bytes.Buffer
		if err := inventory.Write(&b, inventory.YAML, items); err != nil {
			t.Fatal(err)
		}
		text := strings.Split(b.String(), "\n")
		r, err := inventory.Load(table, &b, inventory.YAML, inventory.Options{})
		if err != nil || !r.OK() {
			t.Fatalf("Load: %v, refused %v", err, r.Refused)
		}
		return text, r
	}
	first, r := load()
	if r.Changed != 9 {
		t.Errorf("the first import changed %d records, want 9", r.Changed)
	}
	second, r := load()
	if diff := cmp.Diff(first, second); diff != "" || r.Changed != 0 {
		t.Errorf("an unchanged vCenter: %d changes, and\n%s", r.Changed, diff)
	}
	if err := v.Move(t.Context(), "web", "esx2"); err != nil {
		t.Fatal(err)
	}
	third, r := load()
	var differ []int
	for i := range first {
		if len(first) == len(third) && first[i] != third[i] {
			differ = append(differ, i)
		}
	}
	if r.Changed != 1 || r.Unchanged != 8 || len(differ) != 1 || !strings.Contains(third[differ[0]], "name: web") {
		t.Errorf("after one move: %+v, and lines %v differ:\n%s", r, differ, cmp.Diff(first, third))
	}
	id, _ := store.ParseBIOSID(bios(4))
	if vm, _ := table.VM(id); vm.Path.Host != "ams1/prod/esx2" {
		t.Errorf("the table has %+v, want the new host", vm.Path)
	}
}

// TestConnectErrors name what to do, and never the password.
func TestConnectErrors(t *testing.T) {
	v := start(t, simvc.Provider{})
	wrong := *v.URL
	wrong.User = url.UserPassword("nobody", "hunter2")
	tests := []struct {
		name string
		cfg  Config
		r    Rules
		want string
	}{
		{"wrong account", Config{URL: &wrong, Insecure: true}, Rules{}, "log in to " + wrong.Host + " as nobody: "},
		{"unknown authority", Config{URL: v.URL}, Rules{}, "the certificate is signed by nobody that is trusted here"},
		{"no account", Config{URL: &url.URL{Scheme: "https", Host: "vc"}}, Rules{}, "names no account"},
		{"no URL", Config{}, Rules{}, "must be like https://"},
		{"nobody there", Config{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1", User: wrong.User}}, Rules{}, "connect to 127.0.0.1:1: "},
		{"no such authorities", Config{URL: &wrong, CAFile: "/nonexistent"}, Rules{}, "read the authorities in /nonexistent"},
		{"no such category", Config{URL: v.URL, CAFile: v.CAFile}, Rules{TenantTag: "Customer"}, `read the tags of category "Customer"`},
		{"half a tag", Config{URL: v.URL, CAFile: v.CAFile}, Rules{SVMTag: "SVM"}, `SVM tag "SVM": must be a category and a name`},
		{"no group", Config{URL: v.URL}, Rules{TenantFolder: regexp.MustCompile("x")}, "must have a group"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(t.Context(), tt.cfg, tt.r)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Read = %v, want %s", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, Config{URL: v.URL, Insecure: true}, Rules{}); err == nil {
		t.Error("Read with a context that is done succeeded")
	}
}

var large = flag.Bool("vsphere.large", false, "run TestVSphereLarge: 64 hosts and 2,000 VMs, some minutes")

// TestVSphereLarge reads 64 hosts and 2,000 VMs, and again after a VM moved.
func TestVSphereLarge(t *testing.T) {
	if !*large {
		t.Skip("takes minutes; give -vsphere.large")
	}
	const clusters, hosts, machines = 8, 8, 2000
	p := simvc.Provider{Datacenters: []simvc.Datacenter{{Name: "ams1"}}}
	for c := range clusters {
		cluster := simvc.Cluster{Name: fmt.Sprintf("c%d", c)}
		for h := range hosts {
			cluster.Hosts = append(cluster.Hosts, fmt.Sprintf("esx%d-%d", c, h))
		}
		p.Datacenters[0].Clusters = append(p.Datacenters[0].Clusters, cluster)
	}
	for i := range machines {
		m := simvc.Machine{
			Name: fmt.Sprintf("vm%04d", i), Host: fmt.Sprintf("esx%d-%d", i%clusters, i/clusters%hosts), UUID: bios(i), Instance: instance(i),
			Folder: fmt.Sprintf("Tenants/t%02d", i%50), GuestID: "ubuntu64Guest",
		}
		if i < clusters*hosts {
			m.Name, m.Folder, m.Address = "svm-"+m.Host, "", fmt.Sprintf("10.9.0.%d", i)
		}
		p.Machines = append(p.Machines, m)
	}
	began := time.Now()
	v := start(t, p)
	t.Logf("%d hosts and %d machines were made in %v", clusters*hosts, machines, time.Since(began).Round(time.Second))
	rules := smallRules()
	rules.SVMTag, rules.TenantTag = "", ""
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for _, step := range []struct {
		name          string
		changed, same int
	}{{"first", 50 + machines, 0}, {"unchanged", 0, 50 + machines}, {"after a move", 1, 50 + machines - 1}} {
		if step.changed == 1 {
			if err := v.Move(t.Context(), "vm1999", "esx0-0"); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		found := read(t, v, rules)
		took := time.Since(began)
		r, err := inventory.Apply(table, found.Items, inventory.Options{})
		if err != nil || r.Changed != step.changed || r.Unchanged != step.same || !r.OK() {
			t.Fatalf("%s: %+v, %v, want %d changed and %d unchanged", step.name, r, err, step.changed, step.same)
		}
		t.Logf("%s: read in %v, %d records changed", step.name, took.Round(time.Millisecond), r.Changed)
	}
}
