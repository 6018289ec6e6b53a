package conform

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/viis/hostile"
)

// TestHostileXML sends what no honest client sends: each is refused, at once, and the
// gateway goes on as before. What a refusal allocates is measured where documents are
// read.
func TestHostileXML(t *testing.T) {
	w := newWorld(t, recorded, false)
	w.await(t, false)
	c := &client{T: t, world: w, vars: variables{}}
	aSimple.take(c)
	call("POST /tenants", string(hostile.Plain(hostile.Tenant))).starts("CreateTenant").take(c)
	call("POST /tenants/$t/vms/register", string(hostile.Plain(hostile.VM))).is(200).take(c)
	call("POST /tenants/$t/vms/unregister?biosId=b1050000-0000-4000-8000-00000000dead").is(200).take(c)

	var slowest time.Duration
	var name string
	for _, to := range []struct {
		line  string
		frame hostile.Frame
	}{
		{"POST /tenants", hostile.Tenant},
		{"POST /tenants/$t/vms/register", hostile.VM},
	} {
		for _, d := range hostile.In(to.frame) {
			t.Run(to.line+"/"+d.Name, func(t *testing.T) {
				c := &client{T: t, world: w, vars: c.vars}
				if took := c.median(to.line, d.Body); took > slowest {
					slowest, name = took, d.Name
				}
			})
		}
	}
	t.Logf("the slowest to be refused, after %v: %s", slowest, name)
	call("GET /tenants/$t/vms").is(200, "<vms/>").take(c)
	call("GET /tenants/$t").is(200, simple("Inactive")).take(c)
	w.gateways[0].logsNothingOf(t, "panicked")
}

// Tries, of which the middle one counts, and how often they are repeated while
// something else keeps the machine busy.
const tries, rounds = 5, 4

// median says how long a refusal takes. Where the machine has more to do than it has
// processors, the time that the gateway computes counts in place of that which passes.
func (c *client) median(line string, body []byte) time.Duration {
	c.Helper()
	var passed, computed time.Duration
	for range rounds {
		var all []time.Duration
		before := c.gateways[0].computed(c.T)
		for range tries {
			begin := time.Now()
			resp, text := c.send(&exchange{line: line, user: "multitenancy", head: []string{"Content-Type: application/xml"}, bytes: body})
			all = append(all, time.Since(begin))
			if resp.StatusCode < 400 || resp.StatusCode > 499 {
				c.Fatalf("answers %d %s, want it refused", resp.StatusCode, text)
			}
			if err := c.vars.matchText(text, anyFailure); err != nil {
				c.Fatalf("answers %d %s: %v", resp.StatusCode, text, err)
			}
		}
		computed = (c.gateways[0].computed(c.T) - before) / tries
		slices.Sort(all)
		if passed = all[tries/2]; passed <= hostile.Longest {
			return passed
		}
	}
	if computed > hostile.Longest || !busy(c.T) {
		c.Errorf("is refused after %v (%v of computing), want %v at most", passed, computed, hostile.Longest)
	}
	return computed
}

// computed is how long the gateway's threads have run; 0 where the system does not say.
func (g *gateway) computed(t *testing.T) (sum time.Duration) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // the thread may be gone
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err == nil {
			sum += time.Duration(ns)
		}
	}
	return sum
}

// busy reports whether more is to be done than the machine has processors for.
func busy(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	var load float64
	if err == nil {
		_, err = fmt.Sscan(string(text), &load)
	}
	if err != nil {
		return false
	}
	t.Logf("the load is %v", load)
	return load > float64(runtime.NumCPU())
}
