package tenancy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// maxLooks bounds how often a survey looks at an SVM for a kind of VM. With 400 SVMs it
// is 25,000 kinds, that is about so many hosts.
const maxLooks = 10_000_000

// A kind is all that the choice of usable SVMs depends on, of the VMs of one tenant.
type kind struct {
	version, path int // indexes of the table
	os            store.GuestOS
	kind          store.AgentKind
}

// A group is the VMs of one kind.
type group struct {
	vms    int
	id     store.BIOSID // of one of them
	slot   store.Slot   // the same
	placed bool         // the host is known
}

// A survey is what the table tells of a tenant's VMs and their agents.
type survey struct {
	tenant *store.Tenant

	vms    int
	asked  int // whose agents have asked this gateway
	guests int // Windows guests, the version of whose agents nobody told

	entries  []*store.SVMEntry     // of the table, by index; nil: forgotten
	best     []discovery.Chance    // what each is to agents of some of the VMs
	count    int                   // SVMs of the table
	unserved int                   // VMs that have no usable SVM
	stranded store.BIOSID          // one of them
	removed  []discovery.Candidate // as that one finds SVMs; or a newcomer, if there is no VM
	remote   int                   // VMs that have none on their host
	unplaced int                   // of these, VMs whose host is not known
	passed   int                   // VMs of rare kinds that were not looked at
}

// survey counts a tenant's VMs and finds out which SVMs their agents may use, as the
// selector finds it: for each kind of VM, the most frequent first.
func (g *Guide) survey(ctx context.Context, tenant *store.Tenant) (*survey, error) {
	view := g.Table.View()
	s := &survey{tenant: tenant, entries: make([]*store.SVMEntry, view.NumSVMs()), best: make([]discovery.Chance, view.NumSVMs())}
	for i := range s.entries {
		if s.entries[i] = view.SVM(i); s.entries[i] != nil {
			s.count++
		}
	}
	groups, err := g.groups(ctx, view, s)
	if err != nil {
		return nil, err
	}
	var chances []discovery.Chance
	for i, group := range groups {
		if i*s.count > cmp.Or(g.looks, maxLooks) {
			s.passed += group.vms
			continue
		}
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		chances = g.Selector.Chances(chances, group.slot)
		s.look(chances, group)
	}
	if s.unserved > 0 {
		s.removed = g.Selector.Explain(&discovery.Query{BIOS: s.stranded}).Candidates
	} else if s.vms == 0 {
		e, _ := g.Selector.ExplainNewcomer(tenant.ID, new(discovery.Query))
		s.removed = e.Candidates
	}
	return s, nil
}

// groups counts the tenant's VMs by kinds. If there are none, it is what one could be of
// which nothing is known.
func (g *Guide) groups(ctx context.Context, view *store.View, s *survey) ([]*group, error) {
	of, looked, index := map[kind]*group{}, 0, -1
	for i := 1; i < view.NumTenants(); i++ {
		if t := view.Tenant(i); t != nil && t.ID == s.tenant.ID {
			index = i
		}
	}
	_, told := store.ParseProductVersion(s.tenant.Discovery.AgentVersion)
	g.Table.ScanVMs(func(_ int, id store.BIOSID, slot store.Slot) bool {
		if looked++; looked%65536 == 0 && ctx.Err() != nil {
			return false
		}
		if slot.Tenant() != index || slot.Path() >= view.NumPaths() { // what is newer than the view comes at this moment
			return true
		}
		s.vms++
		if slot.Assigned() >= 0 {
			s.asked++
		}
		if slot.Kind() == store.AgentWindows && slot.Version() == 0 && !told {
			s.guests++
		}
		k := kind{slot.Version(), slot.Path(), slot.OS(), slot.Kind()}
		if of[k] == nil {
			path := view.Path(slot.Path())
			of[k] = &group{id: id, slot: slot, placed: path.At(store.PathHost) != 0}
		}
		of[k].vms++
		return true
	})
	if s.vms == 0 && index > 0 {
		of[kind{}] = &group{slot: store.Stranger(index, 0)}
	}
	return slices.SortedFunc(maps.Values(of), func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.vms, a.vms), slices.Compare(a.id[:], b.id[:]))
	}), ctx.Err()
}

// look takes down what SVMs are to the VMs of a group.
func (s *survey) look(chances []discovery.Chance, of *group) {
	best := discovery.Refused
	for i, c := range chances[:min(len(chances), len(s.best))] {
		s.best[i], best = max(s.best[i], c), max(best, c)
	}
	switch {
	case best < discovery.Usable:
		if s.unserved == 0 {
			s.stranded = of.id
		}
		s.unserved += of.vms
	case best < discovery.UsableLocal && s.tenant.Discovery.Algorithm == store.Standard:
		if s.remote += of.vms; !of.placed {
			s.unplaced += of.vms
		}
	}
}

// up are the SVMs that agents of some of the VMs may use.
func (s *survey) up() (svms []*store.SVMEntry) {
	for i, c := range s.best {
		if c >= discovery.Usable && s.entries[i] != nil {
			svms = append(svms, s.entries[i])
		}
	}
	return svms
}

// waiting counts the SVMs that agents could use if they were not down or draining.
func (s *survey) waiting() (n int) {
	for _, c := range s.best {
		if c == discovery.Waiting {
			n++
		}
	}
	return n
}

// removedBy says which rules removed SVMs for agents that have none left.
func (s *survey) removedBy() string {
	counts := map[string]int{}
	for i := range s.removed {
		if rule := s.removed[i].Removed; rule != "" {
			counts[rule]++
		}
	}
	rules := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	for i, rule := range rules {
		rules[i] = fmt.Sprintf("%s removes %s", rule, figure(counts[rule]))
	}
	return listed(rules)
}
