package lab

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A world is what the tests fill a lab with.
type world struct {
	tenants int
	vms     int // of each tenant
}

func tenantID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }
func biosID(n int) string   { return fmt.Sprintf("b1050000-0000-4000-8000-%012d", n) }

// lines is the world as an import.
func (w world) lines() string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"svm":{"id":"5e000000-0000-4000-8000-000000000001","name":"svm1","address":"10.9.0.1","version":"6.0","pinned":true,"license":{"state":"valid","key":"core"}}}`+"\n")
	for n := range w.tenants {
		fmt.Fprintf(&b, `{"tenant":{"id":%q,"name":"tenant %d","type":"complete","status":"active"}}`+"\n", tenantID(n), n)
		for v := range w.vms {
			fmt.Fprintf(&b, `{"vm":{"biosId":%q,"tenant":%q,"name":"vm"}}`+"\n", biosID(n*w.vms+v), tenantID(n))
		}
	}
	return b.String()
}

// register registers a VM that the world does not have.
func (g *gateway) register(n, tenant int) {
	g.lab.t.Helper()
	g.do("PUT", "/v1/vms/"+biosID(1_000_000+n), map[string]any{"tenant": tenantID(tenant), "name": g.name()}, nil)
}

func (g *gateway) deactivate(tenant int) {
	g.lab.t.Helper()
	g.do("POST", "/v1/tenants/"+tenantID(tenant)+"/deactivate", nil, nil)
}

func (g *gateway) activate(tenant int) {
	g.lab.t.Helper()
	g.do("POST", "/v1/tenants/"+tenantID(tenant)+"/activate", nil, nil)
}

// all complains unless every gateway answers so for a VM.
func (l *lab) all(want, biosID string) error {
	for _, g := range l.gateways {
		got, err := g.ask(biosID)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name(), err)
		}
		if got != want {
			return fmt.Errorf("%s says %q of %s, want %q", g.name(), got, biosID, want)
		}
	}
	return nil
}

// Five gateways, a tenth of all packets lost, a cut through the middle with writes
// on both sides, a power failure: what was written anywhere is everywhere.
func TestLab(t *testing.T) {
	if !inside(t) {
		return
	}
	cuts := []time.Duration{10 * time.Second}
	if *long {
		cuts = []time.Duration{20 * time.Second, 75 * time.Second}
	}
	l := newLab(t, 5)
	w := world{tenants: 20, vms: 50}
	l.gateways[0].do("POST", "/v1/import", w.lines(), nil)
	t.Logf("an import of %d VMs is everywhere after %s", w.tenants*w.vms, await(t, 15*time.Second, func() error { return l.equal() }))

	l.lose(10)
	l.gateways[1].deactivate(0)
	t.Logf("a deactivation is everywhere after %s, though a tenth of all packets is lost",
		await(t, 10*time.Second, func() error { return l.all("inactive", biosID(0)) }))
	for n, cut := range cuts {
		l.cutThrough(n, cut)
	}
	l.lose(0)

	g := l.gateways[4]
	g.register(9_000, 5)
	g.kill()
	l.gateways[0].register(9_001, 5)
	g.start()
	t.Logf("a gateway that was killed is ready again after %s", g.awaitReady())
	t.Logf("and all are equal after %s more", await(t, 15*time.Second, func() error { return l.equal() }))
	for _, n := range []int{9_000, 9_001} {
		if err := l.all("assigned", biosID(1_000_000+n)); err != nil {
			t.Error(err)
		}
	}

	stopped := l.gateways[2]
	stopped.signal(syscall.SIGSTOP)
	time.Sleep(3 * time.Second)
	stopped.signal(syscall.SIGCONT)
	t.Logf("after a gateway stood still all are equal after %s", await(t, 15*time.Second, func() error { return l.equal() }))
}

// cutThrough cuts gateways 1 and 2 off the others, writes on both sides, and heals.
func (l *lab) cutThrough(n int, cut time.Duration) {
	t := l.t
	t.Helper()
	here, there := l.gateways[0], l.gateways[3]
	l.part([]int{1, 2}, []int{3, 4, 5})
	end := time.Now().Add(cut)
	tenant := 1 + 4*n
	here.deactivate(tenant)      // the other side does not hear of it, and activates it again
	there.deactivate(tenant + 1) // and the other way round
	here.register(2*n, tenant+2) // both are kept
	there.register(2*n+1, tenant+2)
	there.activate(tenant)
	here.activate(tenant + 1)
	l.gateways[1].register(500+n, tenant+2) // one VM, for two tenants: the earlier holds
	time.Sleep(50 * time.Millisecond)
	l.gateways[4].register(500+n, tenant+3)
	time.Sleep(time.Until(end))
	if err := l.equal(); err == nil {
		t.Error("tables are equal while the network is cut: the test cuts nothing")
	}
	l.heal()
	t.Logf("after a cut of %s all are equal after %s", cut, await(t, 15*time.Second, func() error { return l.equal() }))
	for _, gone := range []int{tenant, tenant + 1} {
		if err := l.all("inactive", biosID(gone*50)); err != nil {
			t.Errorf("a deactivation on one side of a cut: %v", err)
		}
	}
	for _, g := range l.gateways {
		for _, vm := range []int{2 * n, 2*n + 1, 500 + n} {
			var got struct{ Tenant string }
			g.do("GET", "/v1/vms/"+biosID(1_000_000+vm), nil, &got)
			if got.Tenant != tenantID(tenant+2) {
				t.Errorf("%s: VM %d belongs to %s, want %s", g.name(), vm, got.Tenant, tenantID(tenant+2))
			}
		}
	}
}
