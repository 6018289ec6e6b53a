package discovery_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A reply is what matters of an answer.
type reply struct {
	Result discovery.Result
	SVMs   []entry
}

func (r reply) equal(o reply) bool { return r.Result == o.Result && slices.Equal(r.SVMs, o.SVMs) }

type entry struct {
	ID      store.SVMID
	Address string
	Local   bool
}

// decide answers q from the rules in the package comment, one after the other,
// looking at every SVM. It shares no code with the package.
func (w *world) decide(q *discovery.Query) reply {
	r := w.answer(q)
	w.meet(r.Result.String(), true)
	return r
}

func (w *world) answer(q *discovery.Query) reply {
	vm, ok := w.registered(q)
	if !ok {
		if w.rules.unregistered == discovery.Deny {
			return reply{Result: discovery.NotRegistered}
		}
		vm = store.VM{BIOS: q.BIOS}
	}
	tenant, ok := w.tenants[vm.Tenant]
	if ok && tenant.Type == store.Complete && tenant.Status == store.Inactive {
		return reply{Result: discovery.TenantInactive, SVMs: []entry{{Address: w.rules.dead}}}
	}
	settings := w.settings(vm)
	limit := q.Limit
	if limit == 0 {
		limit = discovery.DefaultLimit
	}
	a := w.agentOf(q, vm, settings)
	usable := w.rank(a)
	list := slices.DeleteFunc(slices.Clone(usable), func(c *candidate) bool { return w.meet("hard cap", c.svm.full()) })
	if settings.Load == store.Fewest {
		w.meet("fewest", fewestFirst(list))
	} else {
		list = w.balanced(q, a, list)
	}
	result := discovery.Assigned
	switch {
	case len(list) == 0 && len(usable) == 0:
		return reply{Result: discovery.NoSVM}
	case len(list) == 0:
		result, list = discovery.OverCapacity, usable
		emptiestFirst(list)
	}
	out := reply{Result: result}
	for _, c := range list[:min(limit, len(list))] {
		out.SVMs = append(out.SVMs, entry{ID: c.svm.id, Address: c.svm.config.Address, Local: c.local})
	}
	return out
}

// registered returns the VM that asks, if it is known to whom it says it is.
func (w *world) registered(q *discovery.Query) (store.VM, bool) {
	vm, ok := w.vms[q.BIOS]
	if q.Authenticated && vm.Tenant != q.Tenant {
		return store.VM{}, false
	}
	return vm, ok
}

// remember counts what Select does beyond deciding: an agent that is sent to another
// SVM is one more there and one less where it was. If nothing was remembered it was at the
// SVM that it says, if that is for it. One that says that it has it already is not sent
// there. Of VMs that nobody registered nothing is kept, nor of any other result.
func (w *world) remember(q *discovery.Query, r reply) {
	vm, ok := w.registered(q)
	if !ok || r.Result != discovery.Assigned {
		return
	}
	to := r.SVMs[0].ID
	from, ok := w.first[q.BIOS]
	switch {
	case ok && from == to:
		return
	case w.meet("has what nobody gave it", to == q.Current):
		w.first[q.BIOS] = to
		return
	case !ok:
		from = w.fitting(q, vm)
	}
	w.meet("picks", true)
	w.first[q.BIOS] = to
	w.pick(to, +1)
	if !from.IsZero() {
		w.pick(from, -1)
	}
}

// fitting returns the SVM that an agent says it has, if no filter removes it.
func (w *world) fitting(q *discovery.Query, vm store.VM) (id store.SVMID) {
	s := w.svms[q.Current]
	if s == nil || w.meet("says what is not for it", w.unfit(w.agentOf(q, vm, w.settings(vm)), s) != "") {
		return id
	}
	return s.id
}

// pick counts agents that were sent to an SVM, or have left it.
func (w *world) pick(id store.SVMID, n int) {
	w.sent[id] = append(w.sent[id], sent{time.Now(), n})
	if s, ok := w.svms[id]; ok {
		s.picks += n
	}
}

// leave forgets a VM that is no longer registered: it is one less where it was.
func (w *world) leave(id store.BIOSID) {
	if from, ok := w.first[id]; ok {
		w.pick(from, -1)
	}
	delete(w.first, id)
}

// settings are those of the VM's tenant, or the defaults if it has none.
func (w *world) settings(vm store.VM) store.Discovery {
	if tenant, ok := w.tenants[vm.Tenant]; ok {
		return tenant.Discovery
	}
	return store.DefaultDiscovery()
}

// fewestFirst moves the least loaded of the best class to the front. Of equals
// the earlier one wins, which is the first in rendezvous order.
func fewestFirst(ranked []*candidate) (moved bool) {
	if len(ranked) == 0 {
		return false
	}
	best := 0
	for i, c := range ranked {
		if c.sameClass(ranked[0]) && c.svm.load() < ranked[best].svm.load() {
			best = i
		}
	}
	c := ranked[best]
	copy(ranked[1:best+1], ranked[:best])
	ranked[0] = c
	return best > 0
}

// emptiestFirst orders SVMs that are all at their hard cap, whatever their class.
func emptiestFirst(full []*candidate) {
	burden := func(c *candidate) int64 { return int64(max(0, c.svm.estimate())) << 32 / c.svm.weight() }
	slices.SortFunc(full, func(a, b *candidate) int {
		return cmp.Or(
			cmp.Compare(burden(a), burden(b)),
			a.cost.Cmp(b.cost),
			slices.Compare(a.svm.id[:], b.svm.id[:]),
		)
	})
}

// An agent is what is known of who asks, wherever each fact came from.
type agent struct {
	bios       store.BIOSID
	tenant     store.TenantID
	version    string // "12.0", or empty if unknown
	os         store.GuestOS
	kind       store.AgentKind
	path       store.Path
	tag        string
	protection bool
	algorithm  store.Algorithm
	scope      store.PathLevel
	failed     []store.SVMID
}

func (w *world) agentOf(q *discovery.Query, vm store.VM, settings store.Discovery) agent {
	a := agent{
		bios: q.BIOS, tenant: vm.Tenant, os: vm.OS, kind: vm.Kind, path: vm.Path,
		tag: settings.Tag, protection: settings.Protection, algorithm: settings.Algorithm, scope: settings.Path,
		failed: q.Failed[:min(len(q.Failed), discovery.MaxLimit)],
	}
	if q.Version != (store.ProductVersion{}) {
		a.version = fmt.Sprintf("%d.%d", q.Version.Major, q.Version.Minor)
	} else {
		a.version = cmp.Or(twoNumbers(vm.Version), twoNumbers(settings.AgentVersion))
	}
	if q.OS != store.OSUnknown {
		a.os = q.OS
	}
	if q.Kind != store.AgentUnknown {
		a.kind = q.Kind
	}
	if settings.Locked {
		return a
	}
	if q.Tag.Set {
		a.tag = string(q.Tag.V)
	}
	if q.Protection.Set {
		a.protection = q.Protection.V
	}
	if q.Algorithm.Set {
		a.algorithm = q.Algorithm.V
	}
	if q.Path.Set {
		a.scope = q.Path.V
	}
	return a
}

// unfit names the first rule by which s is no SVM for a whatever its state, or
// is empty.
func (w *world) unfit(a agent, s *svm) string {
	if rules := w.broken(a, s); len(rules) > 0 {
		return rules[0]
	}
	return ""
}

// broken names the rules by which s is no SVM for a whatever its state.
func (w *world) broken(a agent, s *svm) (rules []string) {
	breaks := func(rule string, broken bool) {
		if broken {
			rules = append(rules, rule)
		}
	}
	f, c := s.facts, s.config
	breaks("F1", a.version != "" && !w.compatible(a.version, twoNumbers(f.Version)))
	breaks("F2", a.protection && !f.Encryption)
	breaks("F2", !a.protection && f.Encryption && !f.AllowUnprotected)
	breaks("F3", a.tag != "" && !slices.Contains(c.Tags, a.tag))
	breaks("F3", a.tag == "" && len(c.Tags) > 0)
	breaks("F4", a.kind != store.AgentUnknown && len(f.Kinds) > 0 && !slices.Contains(f.Kinds, a.kind))
	breaks("F5", a.algorithm == store.Extended && a.scope != store.PathIgnore && !samePlace(a.path, f.Path, a.scope))
	breaks("F7", len(c.Tenants) > 0 && !slices.Contains(c.Tenants, a.tenant))
	return rules
}

// documented are the pairs of versions that the product's documents name, and
// those that continue their series.
var documented = map[string][]string{
	"5.1": {"5.1"}, "5.2": {"5.2"},
	"12.0": {"6.0"}, "12.1": {"6.1"}, "12.2": {"6.2"}, "12.3": {"6.3"}, "12.4": {"6.4"},
}

func (w *world) compatible(agent, svm string) bool {
	matrix := w.rules.matrix
	if matrix == nil {
		matrix = documented
	}
	return svm != "" && (agent == svm || slices.Contains(matrix[agent], svm))
}

func (w *world) licensed(s *svm) bool {
	l := s.facts.License
	return l.State == store.LicenseValid && (l.Expires.IsZero() || l.Expires.After(time.Now()))
}

func suits(a agent, s *svm) bool {
	switch key := s.facts.License.Key; a.os {
	case store.OSServer:
		return key == store.KeyCore || key == store.KeyServer
	case store.OSDesktop:
		return key == store.KeyCore || key == store.KeyDesktop
	default:
		return false
	}
}

// local is a fact of both algorithms, though only the standard one prefers it.
func (w *world) local(a agent, s *svm) bool {
	if s.facts.LargeInfra {
		return false
	}
	if s.facts.Platform == store.OpenStack {
		return samePlace(a.path, s.facts.Path, w.rules.openStack)
	}
	return samePlace(a.path, s.facts.Path, store.PathHost)
}

func samePlace(a, b store.Path, level store.PathLevel) bool {
	x, y := place(a, level), place(b, level)
	return x != "" && x == y
}

func place(p store.Path, level store.PathLevel) string {
	return map[store.PathLevel]string{
		store.PathHost: p.Host, store.PathCluster: p.Cluster, store.PathZone: p.Zone,
	}[level]
}

// twoNumbers returns the first two numbers of a version, or nothing if it can
// not be read.
func twoNumbers(version string) string {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return ""
	}
	major, err1 := strconv.ParseUint(parts[0], 10, 16)
	minor, err2 := strconv.ParseUint(parts[1], 10, 16)
	if err1 != nil || err2 != nil || major == 0 && minor == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d", major, minor)
}
