package discovery_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A script is a world's whole life: settings, then steps.
type script struct {
	rules rules
	steps []step
}

// A generator makes a script. It keeps the ids it has handed out, so that later
// steps speak of the same things, sometimes after they are gone.
type generator struct {
	*rand.Rand
	tenants []store.Tenant
	svms    []svm
	vms     []store.VM
	strange []store.BIOSID // VMs that are not registered

	// How often a rule is touched at all. Small worlds mix everything; large
	// ones must leave classes large, or the law of large classes is never used.
	rare  float64
	hosts int
	usual store.Platform
	even  bool
}

// epoch is when every world begins: when the time of a bubble does.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// newScript returns the script of the n-th world that comes from a seed, with
// the given number of questions.
func newScript(seed, n uint64, asks int) script {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, n))}
	sc := script{rules: rules{
		unregistered: pick(g, discovery.Deny, discovery.Serve),
		dead:         pick(g, "192.0.2.1", "2001:db8::dead"),
		openStack:    pick(g, store.PathHost, store.PathCluster, store.PathZone),
		matrix:       pick(g, nil, nil, map[string][]string{"12.0": {"6.0", "6.1", "7.0"}, "99.9": {"5.2"}, "12.1": nil}),
	}}
	svms := g.size(n)
	unsettled := pick(g, 0, 0, 0.03, 0.3, 1) // how many SVMs something is found of
	if g.even = g.chance(0.5); g.chance(0.2) {
		sc.steps = append(sc.steps, findsCalm(false))
	}
	g.rare, g.hosts, g.usual = pick(g, 0.03, 0.1, 0.3), 3, pick(g, store.Hypervisor, store.OpenStack)
	if svms > 50 {
		g.rare, g.hosts = pick(g, 0, 0.02, 0.1), 1+svms/pick(g, 1, 10, 100)
	}
	for range g.IntN(6) {
		t := g.tenant(len(g.tenants))
		g.tenants = append(g.tenants, t)
		sc.steps = append(sc.steps, putTenant(t))
		if g.chance(0.7) {
			sc.steps = append(sc.steps, setActive(t.ID, true))
		}
	}
	for range svms {
		s := g.svm()
		g.svms = append(g.svms, s)
		sc.steps = append(sc.steps, putSVM(s))
		if g.chance(unsettled) {
			sc.steps = append(sc.steps, finds(s.id, g.finding()))
		}
	}
	for range 1 + g.IntN(20) {
		vm := g.vm()
		g.vms = append(g.vms, vm)
		sc.steps = append(sc.steps, putVM(vm))
	}
	for range 3 {
		g.strange = append(g.strange, store.BIOSID(g.id()))
	}
	restless, remembering := pick(g, 0, 0.1, 0.5), pick(g, 0, 0.5)
	for range asks {
		if g.chance(restless) {
			sc.steps = append(sc.steps, g.mutation()...)
		}
		sc.steps = append(sc.steps, ask{q: g.query(), remember: g.chance(remembering), hasty: g.chance(0.3)})
	}
	return sc
}

// size is the number of SVMs of the n-th world: a few mostly, now and then
// about as many as make a large class, or surely as many.
func (g *generator) size(n uint64) int {
	switch {
	case n%1000 == 500:
		return 2000
	case n%40 == 10:
		return 120 + g.IntN(181)
	case n%40 == 30:
		return discovery.SmallClass - 2 + g.IntN(7)
	default:
		return g.IntN(13)
	}
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

// pick returns one of vs.
func pick[T any](g *generator, vs ...T) T { return vs[g.IntN(len(vs))] }

// odd returns usual, or rarely one of vs.
func odd[T any](g *generator, usual T, vs ...T) T {
	if g.chance(g.rare) {
		return pick(g, vs...)
	}
	return usual
}

// id returns a random id. Some differ in one byte only.
func (g *generator) id() (id [16]byte) {
	for i := range id {
		id[i] = byte(g.Uint32())
	}
	if g.chance(0.1) {
		return [16]byte{0: 1, 15: id[15]}
	}
	return id
}

func (g *generator) tenant(i int) store.Tenant {
	return store.Tenant{
		ID:        store.TenantID(g.id()),
		Name:      fmt.Sprintf("tenant-%d", i),
		Type:      pick(g, store.Complete, store.Simple),
		Discovery: g.discovery(),
	}
}

func (g *generator) discovery() store.Discovery {
	return store.Discovery{
		Algorithm:    pick(g, store.Standard, store.Standard, store.Extended),
		Path:         pick(g, store.PathHost, store.PathCluster, store.PathZone, store.PathIgnore),
		Load:         pick(g, store.Balanced, store.Fewest),
		Tag:          odd(g, "", "gold", "silver"),
		Protection:   odd(g, false, true),
		AgentVersion: odd(g, "", "12.0", "12.1", "12.0.0.455", "5.2", "6.0", "99.1"),
		Locked:       pick(g, true, false),
	}
}

func (g *generator) path() store.Path {
	return store.Path{
		Host:    odd(g, fmt.Sprintf("h%d", g.IntN(g.hosts)), "x", ""),
		Cluster: odd(g, "a", "b", "x", ""),
		Zone:    odd(g, "a", "x", ""),
	}
}

func (g *generator) svm() svm {
	return svm{
		id: store.SVMID(g.id()), config: g.config(len(g.svms)), facts: g.facts(),
		written: odd(g, store.Ready, store.Draining, store.Down, store.Suspect), reported: g.load(),
	}
}

func (g *generator) config(i int) store.SVMConfig {
	c := store.SVMConfig{
		Name:     fmt.Sprintf("svm-%d", i),
		Address:  fmt.Sprintf("10.9.%d.%d", i/250, i%250),
		Tags:     odd(g, nil, []string{"gold"}, []string{"silver", "gold"}, []string{"lead"}),
		Capacity: odd(g, 1000, 0, 1, 7, 250, 1000, 4000, 16000, 100000),
		HardCap:  odd(g, 0, 1, 2, 3, 13, 14, 1000),
		Pinned:   odd(g, false, true),
	}
	if len(g.tenants) > 0 {
		c.Tenants = odd(g, nil, []store.TenantID{g.tenants[0].ID},
			[]store.TenantID{g.tenants[len(g.tenants)-1].ID, g.tenants[0].ID})
	}
	return c
}

func (g *generator) finding() finding {
	return finding{
		held: g.chance(0.3), suspect: g.chance(0.1), settled: g.chance(0.3),
		open: pick(g, 1, 2, 7, 8, 8), leaving: pick(g, 0, 20_000, 45_000, 65_534, 65_535),
	}
}

// load repeats often, so that there are ties to break, and meets hard caps. In some
// worlds no SVM has much more than others, and many have too much.
func (g *generator) load() int {
	if g.even {
		return pick(g, 10, 10, 10, 10, 10, 11, 12, 17)
	}
	return pick(g, 0, 1, 1, 2, 2, 3, 999, 1000)
}

func (g *generator) facts() store.SVMFacts {
	return store.SVMFacts{
		Version:    odd(g, "6.0", "6.0", "6.0.1.2", "6.1", "6.4.0", "5.1", "5.2", "7.0", "", "unreadable"),
		Platform:   odd(g, g.usual, store.Hypervisor, store.OpenStack),
		Path:       g.path(),
		LargeInfra: odd(g, false, true),
		License: store.License{
			State:   odd(g, store.LicenseValid, store.LicenseNone, store.LicenseExpired, store.LicenseDenied),
			Key:     odd(g, store.KeyCore, store.KeyServer, store.KeyDesktop),
			Expires: g.expiry(),
		},
		Encryption:       odd(g, false, true),
		AllowUnprotected: pick(g, false, true, true),
		Kinds: odd(g, nil, []store.AgentKind{store.AgentLinux}, []store.AgentKind{store.AgentWindows},
			[]store.AgentKind{store.AgentLinux, store.AgentWindows}),
	}
}

// expiry is past, soon (so that a wait passes it) or far off.
func (g *generator) expiry() store.Time {
	return odd(g, store.Time{}, store.Time{Time: epoch.Add(-time.Hour)},
		store.Time{Time: epoch.Add(9 * time.Second)}, store.Time{Time: epoch.AddDate(1, 0, 0)})
}

func (g *generator) vm() store.VM {
	vm := store.VM{
		BIOS:    store.BIOSID(g.id()),
		Name:    fmt.Sprintf("vm-%d", len(g.vms)),
		OS:      pick(g, store.OSUnknown, store.OSServer, store.OSServer, store.OSDesktop),
		Kind:    pick(g, store.AgentUnknown, store.AgentLinux, store.AgentWindows),
		Version: odd(g, "12.0", "", "12.0.0.455", "12.1", "12.4", "5.1", "5.2", "7.0", "99.9", "6.0", "nonsense"),
		Path:    g.path(),
	}
	if len(g.tenants) > 0 && g.chance(0.85) {
		vm.Tenant = g.tenants[g.IntN(len(g.tenants))].ID
	}
	return vm
}

func (g *generator) query() discovery.Query {
	q := discovery.Query{
		Version: odd(g, store.ProductVersion{}, store.ProductVersion{Major: 12}, store.ProductVersion{Major: 12, Minor: 1},
			store.ProductVersion{Major: 5, Minor: 2}, store.ProductVersion{Major: 6}, store.ProductVersion{Major: 99, Minor: 9}),
		OS:    odd(g, store.OSUnknown, store.OSServer, store.OSDesktop),
		Kind:  odd(g, store.AgentUnknown, store.AgentLinux, store.AgentWindows),
		Limit: pick(g, 0, 1, 2, 3, 5, 15, 16),
	}
	vm := g.vms[g.IntN(len(g.vms))]
	q.BIOS = vm.BIOS
	if g.chance(0.1) {
		q.BIOS = g.strange[g.IntN(len(g.strange))]
	}
	if q.Authenticated = g.chance(0.2); q.Authenticated {
		q.Tenant = vm.Tenant
		if g.chance(0.2) || q.Tenant.IsZero() {
			q.Tenant = store.TenantID(g.id())
		}
	}
	if g.chance(0.5) {
		q.Current = g.anySVM()
	}
	if g.chance(0.2) {
		for range 1 + g.IntN(discovery.MaxLimit+2) {
			q.Failed = append(q.Failed, g.anySVM())
		}
	}
	g.overrides(&q)
	return q
}

func (g *generator) overrides(q *discovery.Query) {
	if g.chance(0.2) {
		q.Tag = discovery.Some([]byte(pick(g, "gold", "silver", "", "unheard")))
	}
	if g.chance(0.2) {
		q.Protection = discovery.Some(pick(g, true, false))
	}
	if g.chance(0.2) {
		q.Algorithm = discovery.Some(pick(g, store.Standard, store.Extended))
	}
	if g.chance(0.2) {
		q.Path = discovery.Some(pick(g, store.PathHost, store.PathCluster, store.PathZone, store.PathIgnore))
	}
}

// anySVM returns an SVM of the world, one that is gone, or one that never was.
func (g *generator) anySVM() store.SVMID {
	if len(g.svms) == 0 || g.chance(0.1) {
		return store.SVMID(g.id())
	}
	return g.svms[g.IntN(len(g.svms))].id
}

// mutation returns one change, or the passing of time.
func (g *generator) mutation() []step {
	switch p := g.Float64(); {
	case p < 0.2 && len(g.tenants) > 0:
		return []step{g.changedTenant(g.IntN(len(g.tenants)))}
	case p < 0.65 && len(g.svms) > 0:
		return []step{g.changedSVM(g.IntN(len(g.svms)))}
	case p < 0.7:
		s := g.svm()
		g.svms = append(g.svms, s)
		return []step{putSVM(s)}
	case p < 0.71:
		return []step{findsCalm(g.chance(0.7))}
	case p < 0.8:
		return []step{wait(pick(g, time.Second, 2*time.Second, 10*time.Second, 16*time.Second, 16*time.Second, time.Minute))}
	case p < 0.85:
		return []step{deleteVM(g.vms[g.IntN(len(g.vms))].BIOS)}
	default:
		old := g.vms[g.IntN(len(g.vms))]
		vm := g.vm()
		vm.BIOS, vm.Name = old.BIOS, old.Name
		return []step{putVM(vm)}
	}
}

func (g *generator) changedTenant(i int) step {
	t := g.tenants[i]
	switch g.IntN(6) {
	case 0:
		return deleteTenant(t.ID)
	case 1, 2:
		t.Type, t.Discovery = pick(g, store.Complete, store.Simple), g.discovery()
		return putTenant(t)
	default:
		return setActive(t.ID, g.chance(0.5))
	}
}

func (g *generator) changedSVM(i int) step {
	id, config, facts := g.svms[i].id, g.config(i), g.facts()
	switch g.IntN(10) {
	case 8, 9:
		return finds(id, g.finding())
	case 0:
		return forgetSVM(id)
	case 1:
		return putSVM(svm{id: id, config: config, facts: facts, written: store.Ready, reported: g.load()})
	case 2:
		return configureSVM(id, fmt.Sprintf("%+v", config), func(s *svm) { s.config = config })
	case 3, 4:
		state := pick(g, store.Ready, store.Ready, store.Draining, store.Down, store.Suspect)
		return configureSVM(id, state.String(), func(s *svm) { s.written = state })
	case 5:
		return reportSVM(id, g.load(), fmt.Sprintf("%+v", facts), func(f *store.SVMFacts) { *f = facts })
	default:
		return reportSVM(id, g.load(), "", func(*store.SVMFacts) {})
	}
}

// without returns sc less the steps from i up to j.
func (sc script) without(i, j int) script {
	sc.steps = slices.Concat(sc.steps[:i:i], sc.steps[j:])
	return sc
}
