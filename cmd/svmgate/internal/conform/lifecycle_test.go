package conform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
)

// startKSC starts a Kaspersky Security Center, and returns the arguments of a gateway
// that calls it.
func startKSC(t *testing.T, cfg ksctest.Config) (*ksctest.KSC, []string) {
	t.Helper()
	k, err := ksctest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	ca := filepath.Join(t.TempDir(), "ksc.pem")
	if err := os.WriteFile(ca, k.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return k, []string{"--ksc=" + k.URL(), "--ksc-ca=" + ca, "--ksc-credentials=" + credentials(t)}
}

// TestLifecycle is the life of a complete tenant with 1,000 VMs, from the call that
// creates it to the one that leaves nothing of it.
func TestLifecycle(t *testing.T) {
	k, args := startKSC(t, ksctest.Config{ActionTime: 30 * time.Millisecond})
	before := k.Holds()
	w := startWorld(t, false, args...)
	w.await(t, false)
	c := &client{T: t, world: w, vars: variables{}}

	call("POST /tenants", completeBody).completes("CreateTenant", `<tenant id="$t:uuid" created="$:date" updated="$:date"><name>$name</name>`+
		`<vKsc id="$server:any"><user><name>admin of $name</name></user></vKsc><status>Inactive</status><type>Complete</type></tenant>`).take(c)
	c.holds(k, 1)

	for i := range 4 {
		w.manage(t, "PUT", fmt.Sprintf("/v1/svms/5e000000-0000-4000-8000-0000000001%02d", i), map[string]any{
			"name": fmt.Sprintf("svm-%d", i), "address": fmt.Sprintf("10.9.1.%d", i), "version": "6.0", "pinned": true,
			"path": map[string]any{"host": fmt.Sprintf("host-%d", i)}, "license": map[string]any{"state": "valid", "key": "core"},
		})
	}
	vms := c.registerMany(1000)
	c.allHear("before the activation", vms, func(address string) bool { return address == deadAddress })
	activate.take(c)
	c.allHear("while it is active", vms, func(address string) bool { return strings.HasPrefix(address, "10.9.") })
	deactivate.take(c)
	c.allHear("after the deactivation", vms, func(address string) bool { return address == deadAddress })

	call("DELETE /tenants/$t?removeTenantArtifacts=true").completes("DeleteTenant", "$:any").take(c)
	call("GET /tenants/$t").is(404, failure("VIRMT_TenantWithSpecifiedIdNotFound")).take(c)
	if got, want := k.Holds(), before; len(got.VServers) != len(want.VServers) || len(got.Users) != len(want.Users) || len(got.Folders) != len(want.Folders) {
		t.Errorf("Kaspersky Security Center holds\n%+v\nand held before\n%+v", got, want)
	}
	var left struct{ Items []any }
	if err := json.Unmarshal(w.manage(t, "GET", "/v1/vms", nil), &left); err != nil || len(left.Items) > 0 {
		t.Errorf("VMs are left: %v, %v", left.Items, err)
	}
	if broken := k.Broken(); len(broken) > 0 {
		t.Errorf("rules of Kaspersky Security Center were broken: %q", broken)
	}
	w.passwordsAreNowhere(t)
}

// holds fails unless Kaspersky Security Center has so many virtual servers of ours, one
// of them the tenant's.
func (c *client) holds(k *ksctest.KSC, n int) {
	c.Helper()
	got := k.Holds()
	if len(got.VServers) != n || n > 0 && (got.VServers[0].Name != c.vars["name"] || got.VServers[0].UID != c.vars["server"]) {
		c.Errorf("virtual servers: %+v; want %d, one %q with %q", got.VServers, n, c.vars["name"], c.vars["server"])
	}
	for _, u := range got.Users {
		if u.Name == "admin of "+c.vars["name"] && u.Password == password {
			return
		}
	}
	c.Errorf("accounts: %+v; want that of the tenant's administrator, with the password", got.Users)
}

// registerMany registers VMs for $t, several at a time.
func (c *client) registerMany(n int) []string {
	c.Helper()
	vms := make([]string, n)
	for i := range vms {
		vms[i] = freshUUID()
	}
	var all sync.WaitGroup
	for part := range 16 {
		all.Go(func() {
			for i := part; i < n; i += 16 {
				one := &client{T: c.T, world: c.world, vars: variables{"t": c.vars["t"]}}
				resp, text := one.send(call("POST /tenants/$t/vms/register", `<vm biosId="`+vms[i]+`"><name>vm-`+fmt.Sprint(i)+`</name></vm>`))
				if resp.StatusCode != 200 {
					c.Errorf("register: %d %s", resp.StatusCode, text)
				}
			}
		})
	}
	if all.Wait(); c.Failed() {
		c.FailNow()
	}
	return vms
}

// allHear asks for all VMs at once.
func (c *client) allHear(when string, vms []string, right func(address string) bool) {
	c.Helper()
	var lines strings.Builder
	for _, vm := range vms {
		fmt.Fprintf(&lines, "{\"biosId\":%q}\n", vm)
	}
	_, text := c.ask(c.T, "POST", c.gateways[0].agent+"/v1/agents/svm", "multitenancy", lines.String())
	heard, wrong := 0, ""
	for line := range bytes.Lines(text) {
		var answer struct{ SVMs []struct{ Address string } }
		if json.Unmarshal(line, &answer) != nil || len(answer.SVMs) == 0 || !right(answer.SVMs[0].Address) {
			wrong = string(line)
			continue
		}
		heard++
	}
	if heard != len(vms) {
		c.Errorf("%s: %d of %d agents hear what they should; another: %s", when, heard, len(vms), wrong)
	}
}
