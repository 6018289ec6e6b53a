package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// crowded is a stage with n plain SVMs and agents of two tenants, an active one and a
// simple one, who have all asked.
func crowded(t *testing.T, svms, agents int) *stage {
	t.Helper()
	cs := plainSVMs(svms)
	for i, kind := range []store.TenantType{store.Complete, store.Simple} {
		id := store.TenantID{byte(i + 1)}
		tenant := store.Tenant{ID: id, Name: fmt.Sprint("tenant-", i+1), Type: kind, Discovery: store.DefaultDiscovery()}
		cs = append(cs, putTenant(tenant), setActive(id, true))
	}
	for i, bios := range randomBIOSIDs(agents) {
		cs = append(cs, putVM(store.VM{BIOS: bios, Tenant: store.TenantID{byte(i%2 + 1)}, OS: store.OSServer, Version: "12.0"}))
	}
	st := newStage(t, rules{dead: "192.0.2.1"}, cs...)
	st.selectAll()
	return st
}

// selectAll lets all agents ask, in the order of a forecast, and returns where they are
// told to go; those who are not served are missing.
func (st *stage) selectAll() map[store.BIOSID]store.SVMID {
	at := map[store.BIOSID]store.SVMID{}
	st.standing.Wait()
	st.table.ScanVMs(func(_ int, bios store.BIOSID, slot store.Slot) bool {
		var a discovery.Answer
		st.standing.Select(&discovery.Query{BIOS: bios, Limit: 1}, &a)
		switch i := slot.Assigned(); {
		case a.Result == discovery.Assigned:
			at[bios] = a.SVMs()[0].SVM.ID
		case a.Result != discovery.OverCapacity && i >= 0:
			st.standing.Leave(i)
			slot.Assign(-1)
		}
		st.standing.Wait()
		return true
	})
	return at
}

// remembered returns where agents were last sent, but for those whose tenant is inactive.
func (st *stage) remembered() map[store.BIOSID]store.SVMID {
	at, view := map[store.BIOSID]store.SVMID{}, st.table.View()
	st.table.ScanVMs(func(_ int, bios store.BIOSID, slot store.Slot) bool {
		tenant := st.world.tenants[st.world.vms[bios].Tenant]
		inactive := !tenant.ID.IsZero() && tenant.Type == store.Complete && tenant.Status == store.Inactive
		if i := slot.Assigned(); i >= 0 && !inactive {
			at[bios] = view.SVM(i).ID
		}
		return true
	})
	return at
}

func whatIf(t *testing.T, st *stage, c discovery.Change) discovery.Forecast {
	t.Helper()
	f, err := st.standing.WhatIf(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Losing an SVM is forecast to move its agents, and no other; and so it is.
func TestWhatIfAnSVMIsLost(t *testing.T) {
	st := crowded(t, 10, 200)
	before := st.selectAll()
	lost, own := plainSVM(3, 0).id, 0
	for _, id := range before {
		if id == lost {
			own++
		}
	}
	f := whatIf(t, st, discovery.Change{Lose: []store.SVMID{lost}})
	if f.Agents != 200 || own == 0 || f.Moves != (discovery.Moves{AtOnce: own, InTheEnd: own}) {
		t.Errorf("of %d agents %+v move, want the %d of the SVM", f.Agents, f.Moves, own)
	}
	flows, arrived := 0, 0
	for _, flow := range f.Flows {
		if flows += flow.Agents; flow.From.ID != lost {
			t.Errorf("%d agents move from %v, which is not lost", flow.Agents, flow.From)
		}
	}
	for _, s := range f.SVMs {
		if s.ID != lost {
			arrived += s.AtOnce - s.Before
		} else if s.Change != "lost" || s.Before != own || s.AtOnce != 0 || s.InTheEnd != 0 {
			t.Errorf("of the lost SVM %+v is told", s)
		}
	}
	if flows != own || arrived != own || len(f.SVMs) != 10 {
		t.Errorf("%d agents flow and %d arrive, want %d; %d SVMs", flows, arrived, own, len(f.SVMs))
	}
	st.must(t, configureSVM(lost, "down", func(s *svm) { s.written = store.Down }))
	moved := 0
	for bios, id := range st.selectAll() {
		if id != before[bios] {
			moved++
		}
	}
	if moved != own {
		t.Errorf("then %d agents move, want %d", moved, own)
	}
}

// Nothing that anybody sees differs after a forecast.
func TestWhatIfChangesNothing(t *testing.T) {
	st := crowded(t, 10, 200)
	picture := func() (p struct {
		digest   [store.Buckets]uint64
		view     *store.View
		picks    [10]int32
		agents   [10]int
		assigned map[store.BIOSID]int
		answers  map[store.BIOSID]store.SVMID
	}) {
		st.table.Digest(&p.digest)
		p.view, p.assigned, p.answers = st.table.View(), map[store.BIOSID]int{}, map[store.BIOSID]store.SVMID{}
		for i := range p.picks {
			p.picks[i], p.agents[i] = st.table.Picks(i), st.table.Agents(i)
		}
		st.table.ScanVMs(func(_ int, bios store.BIOSID, slot store.Slot) bool {
			var a discovery.Answer
			st.standing.Decide(&discovery.Query{BIOS: bios}, &a)
			p.assigned[bios], p.answers[bios] = slot.Assigned(), a.SVMs()[0].SVM.ID
			return true
		})
		return p
	}
	before := picture()
	f := whatIf(t, st, discovery.Change{
		Lose: []store.SVMID{plainSVM(3, 0).id}, Add: []store.SVM{{SVMConfig: store.SVMConfig{Address: "10.9.9.9"}}}, More: 3,
		Deactivate: []store.TenantID{{1}}, Activate: []store.TenantID{{2}}, Newcomers: 50, NewcomersOf: map[store.TenantID]int{{2}: 7},
	})
	if f.Moves.AtOnce == 0 || f.Newcomers != 57 || f.Agents != 257 || len(f.SVMs) != 14 || f.AtOnce.Inactive < 100 {
		t.Errorf("the forecast is %+v", f)
	}
	after := picture()
	if after.digest != before.digest || after.view != before.view || after.picks != before.picks || after.agents != before.agents {
		t.Errorf("the table differs: picks %v, before %v", after.picks, before.picks)
	}
	if diff := cmp.Diff(before.assigned, after.assigned) + cmp.Diff(before.answers, after.answers); diff != "" {
		t.Errorf("agents are elsewhere (-before +after)\n%s", diff)
	}
	if again := whatIf(t, st, discovery.Change{Lose: []store.SVMID{plainSVM(3, 0).id}}); again.Newcomers != 0 || len(again.SVMs) != 10 {
		t.Errorf("the next forecast has what the first one supposed: %+v", again)
	}
}

// A forecast is what then happens, over random worlds and random changes.
func TestWhatIfIsWhatHappens(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	met := map[string]int{}
	for n := range worlds(40, metAll(met, "moves", "inactive", "no SVM", "over capacity", "served")) {
		checkForecast(t, seed, n, met)
	}
	for what, n := range met {
		if n == 0 {
			t.Errorf("no world met %q", what)
		}
	}
	t.Logf("seed %d: %v", seed, met)
}

// Agents who have gone make up for none of those who came, and when many come nobody is
// moved. There are such worlds, but one in thousands.
func TestWhatIfManyComeOrGo(t *testing.T) {
	for _, n := range []uint64{9, 29} {
		checkForecast(t, 1795454681356684539, n, map[string]int{})
	}
}

// checkForecast compares a forecast with what happens in a random world, and counts what
// agents met in it.
func checkForecast(t *testing.T, seed, n uint64, met map[string]int) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, n))
		st, c := forecastWorld(t, r, seed, n)
		before := st.remembered()
		f := whatIf(t, st, c)
		start := map[store.SVMID]int{}
		for _, s := range f.SVMs {
			start[s.ID] = s.Before
		}
		st.make(t, c)
		after := st.selectAll()
		if why := wrongForecast(&f, start, before, after, st.remembered()); why != "" {
			t.Fatalf("seed %d, world %d, %+v: %s", seed, n, c, why)
		}
		met["moves"] += f.Moves.AtOnce
		met["inactive"] += f.AtOnce.Inactive
		met["no SVM"] += f.AtOnce.NoSVM
		met["over capacity"] += f.AtOnce.OverCapacity
		met["served"] += f.AtOnce.Served
	})
}

// forecastWorld is a random world whose agents have asked, and a change for it.
func forecastWorld(t *testing.T, r *rand.Rand, seed, n uint64) (*stage, discovery.Change) {
	sc := newScript(seed, n, 0)
	st := newStage(t, sc.rules)
	g := &generator{Rand: r, rare: 0.1, hosts: 3}
	var c discovery.Change
	for _, s := range sc.steps {
		st.must(t, s.(change))
	}
	g.tenants = st.table.Tenants()
	for range 60 {
		vm := g.vm()
		g.vms = append(g.vms, vm)
		st.must(t, putVM(vm))
	}
	st.selectAll()
	for _, tenant := range g.tenants {
		switch { // what has been inactive has agents who were never served
		case g.chance(0.3) && tenant.Status == store.Inactive:
			c.Activate = append(c.Activate, tenant.ID)
		case g.chance(0.3):
			c.Deactivate = append(c.Deactivate, tenant.ID)
		}
	}
	for _, svm := range st.table.SVMs() {
		if g.chance(0.25) {
			c.Lose = append(c.Lose, svm.ID)
		}
	}
	return st, c
}

// make makes a change.
func (st *stage) make(t *testing.T, c discovery.Change) {
	t.Helper()
	for _, id := range c.Lose {
		st.must(t, configureSVM(id, "down", func(s *svm) { s.written, s.config.Pinned = store.Down, true }))
	}
	for _, id := range c.Activate {
		st.must(t, setActive(id, true))
	}
	for _, id := range c.Deactivate {
		st.must(t, setActive(id, false))
	}
}

// wrongForecast says in what a forecast differs from what happened.
func wrongForecast(f *discovery.Forecast, load map[store.SVMID]int, before, after, still map[store.BIOSID]store.SVMID) string {
	moves := 0
	for bios, id := range before {
		load[id]--
		if now, ok := after[bios]; ok && now != id {
			moves++
		}
	}
	for _, id := range still { // and those for whom there is no room elsewhere
		load[id]++
	}
	if f.Before.Served != len(before) || f.AtOnce.Served != len(after) || f.Moves.AtOnce != moves {
		return fmt.Sprintf("%d served, then %d of whom %d move; forecast %+v", len(before), len(after), moves, f)
	}
	for _, s := range f.SVMs {
		if s.Change != "lost" && s.AtOnce != max(0, load[s.ID]) {
			return fmt.Sprintf("SVM %v has %d agents then; forecast %+v", s.ID, load[s.ID], s)
		}
	}
	return ""
}

// Newcomers are spread as the agents that are there, and only newcomers come.
func TestWhatIfAgentsCome(t *testing.T) {
	st := crowded(t, 4, 200)
	before := st.selectAll()
	f := whatIf(t, st, discovery.Change{Newcomers: 400, NewcomersOf: map[store.TenantID]int{{2}: 100}})
	if f.Moves.AtOnce != 0 || f.Agents != 700 || f.AtOnce.Served != 700 || f.Before.Served != len(before) {
		t.Errorf("the forecast is %+v", f)
	}
	for _, s := range f.SVMs {
		if come := s.AtOnce - s.Before; come < 60 || come > 200 {
			t.Errorf("%d of 500 newcomers come to one of 4 SVMs: %+v", come, s)
		}
	}
}

func TestWhatIfTenantIsDeactivated(t *testing.T) {
	st := crowded(t, 4, 200)
	f := whatIf(t, st, discovery.Change{Deactivate: []store.TenantID{{1}, {2}}})
	load := 0
	for _, s := range f.SVMs {
		load += s.InTheEnd
	}
	want := discovery.Outcome{Served: 100, Inactive: 100} // the simple one is served always
	if f.AtOnce != want || f.InTheEnd != want || f.Stranded != 0 || load != 100 {
		t.Errorf("%+v and a load of %d, want %+v", f, load, want)
	}
}

// Who has no SVM any more is told, with the tenant.
func TestWhatIfAllIsLost(t *testing.T) {
	st := crowded(t, 2, 200)
	f := whatIf(t, st, discovery.Change{Lose: []store.SVMID{plainSVM(0, 0).id, plainSVM(1, 0).id}})
	want := discovery.Outcome{NoSVM: 200}
	if f.AtOnce != want || f.Stranded != 2 || len(f.Tenants) != 2 || f.Tenants[0].AtOnce.NoSVM != 100 || f.Moves.AtOnce != 0 {
		t.Errorf("the forecast is %+v", f)
	}
}

func TestWhatIfMoreSVMsCome(t *testing.T) {
	gold := plainSVM(9, 500)
	gold.config.Tags = []string{"gold"}
	st := newStage(t, serving, append(plainSVMs(3), putSVM(gold))...)
	f := whatIf(t, st, discovery.Change{More: 2})
	if len(f.SVMs) != 6 || f.SVMs[4].Name != "new-1" || f.SVMs[5].Change != "added" || f.SVMs[4].Capacity != 1000 {
		t.Errorf("the SVMs are %+v, want two like the most", f.SVMs)
	}
	f = whatIf(t, st, discovery.Change{More: 1, Like: gold.id})
	if len(f.SVMs) != 5 || f.SVMs[4].Capacity != 500 {
		t.Errorf("the SVMs are %+v, want one like the one with a tag", f.SVMs)
	}
}

func TestWhatCanNotBe(t *testing.T) {
	st := crowded(t, 2, 10)
	unknown := store.SVMID{7}
	if _, err := st.standing.WhatIf(t.Context(), discovery.Change{More: -1}); err == nil {
		t.Error("less than no SVM may come")
	}
	for field, c := range map[string]discovery.Change{
		"Lose":        {Lose: []store.SVMID{unknown}},
		"Add":         {Add: []store.SVM{{SVMConfig: store.SVMConfig{Address: "not an address"}}}},
		"More":        {More: discovery.MaxMore + 1},
		"Like":        {More: 1, Like: unknown},
		"Activate":    {Activate: []store.TenantID{{7}}},
		"Deactivate":  {Activate: []store.TenantID{{1}}, Deactivate: []store.TenantID{{1}}},
		"Newcomers":   {Newcomers: -1},
		"NewcomersOf": {Newcomers: discovery.MaxNewcomers, NewcomersOf: map[store.TenantID]int{{1}: 1}},
	} {
		_, err := st.standing.WhatIf(t.Context(), c)
		wrong := (*discovery.ChangeError)(nil)
		if !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%+v: %v, want an error about %s", c, err, field)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.standing.WhatIf(ctx, discovery.Change{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v", err)
	}
}
