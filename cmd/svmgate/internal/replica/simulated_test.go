package replica

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A state is a record as some table had it. Who is told of it has seen what that table
// had seen: the latest write that took away.
type state struct {
	key     store.Key
	version store.Version
	value   string
}

// An act is a write of an activation or of a VM. One that takes away ends all that had not seen
// it, or a later one.
type act struct {
	version, seen store.Version
	away          bool
	tenant        store.TenantID
}

// A gateway is a table with a journal in memory.
type gateway struct {
	table
	*simulation
	journal  *memory
	selector *discovery.Selector
	seen     map[store.Key]store.Version // the latest write that took away
	tell     func(string, []cluster.Record)
	wrote    []store.Record // by the change under way
}

type memory struct{ records []store.Record }

func (m *memory) Close() error { return nil }
func (m *memory) Append(records []store.Record) error {
	for _, r := range records {
		r.Value = bytes.Clone(r.Value)
		m.records = append(m.records, r)
	}
	return nil
}
func (m *memory) Replay(fn func(store.Record) error) error {
	for _, r := range m.records {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// open is a gateway's start, with what the one before it had on disk.
func (s *simulation) open(name string, clock *cluster.Clock, was *gateway, had bool) *gateway {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &gateway{simulation: s, journal: &memory{}, seen: map[store.Key]store.Version{}}
	if had {
		g.journal.records, g.seen = slices.Clone(was.journal.records), maps.Clone(was.seen)
		was.close()
	}
	opened, err := store.Open(store.Config{Node: name, Clock: clock.Now, Journal: g.journal})
	check(s.t, err)
	g.table = table{opened, slog.New(slog.DiscardHandler), new(atomic.Uint64)}
	g.selector, err = discovery.New(discovery.Config{Table: opened})
	check(s.t, err)
	opened.Subscribe(g.hear)
	s.t.Cleanup(g.close)
	return g
}

func (g *gateway) close() {
	g.selector.Close()
	_ = g.Table.Close()
}

func (g *gateway) OnChange(tell func(string, []cluster.Record)) { g.tell = tell }

// hear is told of every change of the table.
func (g *gateway) hear(news *store.News) {
	g.conflicts = append(g.conflicts, news.Conflicts...)
	var list []cluster.Record
	for _, r := range news.Records {
		list = append(list, told(r))
		g.carried[state{r.Key, r.Version, string(r.Value)}] = g.seen[r.Key]
	}
	if news.From == "" {
		g.wrote = append(g.wrote, news.Records...)
	}
	g.tell(news.From, list)
}

func (g *gateway) Merge(peer string, records []cluster.Record) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range records {
		key := store.Key{Kind: store.Kind(r.Key.Kind), ID: r.Key.ID}
		g.see(key, g.carried[state{key, store.Version(r.Version), string(r.Value)}])
	}
	return g.table.Merge(peer, records)
}

// unregister notes what a move is besides a registration, since its tenant was gone: an
// unregistration, and that was two ticks of the clock before.
func (g *gateway) unregister(move store.Record) store.Version {
	away := store.Version{Clock: move.Version.Clock - 2, Node: move.Version.Node}
	g.acts[move.Key] = append(g.acts[move.Key], act{version: away, seen: g.seen[move.Key], away: true})
	g.see(move.Key, away)
	g.carried[state{move.Key, move.Version, string(move.Value)}] = away
	return away
}

func (g *gateway) see(key store.Key, away store.Version) {
	if away.Compare(g.seen[key]) > 0 {
		g.seen[key] = away
	}
}

// change changes the table as an administrator would, and notes what was acknowledged.
func (g *gateway) change(fn func(*store.Tx) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrote = nil
	held := map[store.BIOSID]store.TenantID{}
	for _, vm := range g.VMs(store.BIOSID{}, nil, vms) {
		held[vm.BIOS] = vm.Tenant
	}
	if err := g.Update(fn); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrExists) {
		g.t.Error(err)
	}
	for _, r := range g.wrote {
		w := act{version: r.Version, seen: g.seen[r.Key]}
		switch r.Key.Kind {
		case store.KindActivation:
			tenant, _ := g.Tenant(r.Key.ID)
			w.away = tenant.Status != store.Active
		case store.KindVM:
			vm, live := g.VM(r.Key.ID)
			w.away, w.tenant = !live, vm.Tenant
			if was, had := held[vm.BIOS]; had && live && was != vm.Tenant {
				w.seen = g.unregister(r)
			}
		default:
			if r.Version.Compare(g.newest[r.Key].Version) > 0 {
				g.newest[r.Key] = store.Record{Key: r.Key, Version: r.Version, Value: bytes.Clone(r.Value)}
			}
			continue
		}
		g.acts[r.Key] = append(g.acts[r.Key], w)
		if w.away {
			g.see(r.Key, r.Version)
			g.carried[state{r.Key, r.Version, string(r.Value)}] = r.Version
		}
	}
}

// since returns what was written by who had seen a write that took away, or a later one.
func (s *simulation) since(key store.Key, away store.Version) (list []act) {
	for _, w := range s.acts[key] {
		if !w.away && w.seen.Compare(away) >= 0 {
			list = append(list, w)
		}
	}
	return list
}

// ask asks for the agents of all tenants that nobody activated who had seen what this
// gateway has.
func (g *gateway) ask() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range byte(tenants) {
		tenant := store.TenantID{id + 1}
		activation := store.Key{Kind: store.KindActivation, ID: tenant}
		if len(g.since(activation, g.seen[activation])) == 0 {
			g.answers(tenant, discovery.TenantInactive)
		}
	}
}

// answers fails the test unless a tenant's agents get a result.
func (g *gateway) answers(tenant store.TenantID, want discovery.Result) {
	if _, ok := g.Tenant(tenant); !ok {
		want = discovery.NotRegistered
	}
	for _, vm := range g.VMs(store.BIOSID{}, &tenant, vms) {
		var a discovery.Answer
		g.selector.Select(&discovery.Query{BIOS: vm.BIOS}, &a)
		if g.asked++; a.Result != want {
			g.t.Errorf("at %s an agent of tenant %d is answered %v, want %v", time.Now().Format("04:05.000"), tenant[0], a.Result, want)
		}
	}
}

// mustHaveAll fails the test unless a table has what must come of all writes.
func (g *gateway) mustHaveAll(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, want := range g.newest {
		if got, _ := g.Record(key); got.Version != want.Version || !bytes.Equal(got.Value, want.Value) {
			g.t.Errorf("%s has %q of %v for %v, want %q of %v: lost, or deleted and back", name, got.Value, got.Version, key, want.Value, want.Version)
		}
	}
	for key, acts := range g.acts {
		var away store.Version
		for _, w := range acts {
			if w.away && w.version.Compare(away) > 0 {
				away = w.version
			}
		}
		hold := g.since(key, away)
		if key.Kind == store.KindVM {
			g.mustHaveVM(name, key.ID, away, hold)
			continue
		}
		if tenant, there := g.Tenant(key.ID); there && (tenant.Status == store.Active) != (len(hold) > 0) {
			g.t.Errorf("%s: tenant %d is %v, yet %d activations had seen its last deactivation", name, key.ID[0], tenant.Status, len(hold))
		} else if there && len(hold) > 0 {
			g.answers(key.ID, discovery.Assigned)
		}
	}
}

// mustHaveVM fails the test unless the earliest of the registrations that hold is there,
// and the others are reported.
func (g *gateway) mustHaveVM(name string, bios store.BIOSID, away store.Version, hold []act) {
	vm, there := g.VM(bios)
	if there != (len(hold) > 0) {
		g.t.Errorf("%s: VM %d is there: %t, yet %d registrations had seen its last unregistration", name, bios[0], there, len(hold))
		return
	}
	if !there {
		return
	}
	first := slices.MinFunc(hold, func(a, b act) int { return a.version.Compare(b.version) })
	if vm.Tenant != first.tenant {
		g.t.Errorf("%s: VM %d is of tenant %d, want %d, which was earlier", name, bios[0], vm.Tenant[0], first.tenant[0])
	}
	for _, w := range hold {
		if w.tenant != first.tenant && !slices.ContainsFunc(g.conflicts, func(c store.Conflict) bool {
			return c.VM == bios && c.Tenant == w.tenant && c.Lost.Compare(away) > 0
		}) {
			g.t.Errorf("VM %d was lost by tenant %d, and nobody was told", bios[0], w.tenant[0])
		}
	}
}
