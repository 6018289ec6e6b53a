package discovery_test

import (
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

var (
	oracleCases = flag.Int("oracle.cases", 0, "questions that TestOracle asks; 0 means 30,000, or 5,000 with -short")
	oracleSeed  = flag.Uint64("oracle.seed", 0, "what TestOracle makes its worlds from; 0 means a fresh seed")
)

// asksPerWorld is the number of questions put to one world.
const asksPerWorld = 100

// TestOracle holds the selector to the oracle: over random worlds that change
// between questions, both give the same answers, whether the selector scans or
// has its candidate sets. A disagreement is printed as the shortest script found
// that still shows it.
func TestOracle(t *testing.T) {
	cases, seed := *oracleCases, *oracleSeed
	if cases == 0 {
		cases = 30_000
		if testing.Short() {
			cases = 5_000
		}
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	var next, asked atomic.Int64
	var failed atomic.Bool
	var mu sync.Mutex
	met := map[string]int{}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !failed.Load() && asked.Load() < int64(cases) {
				n := uint64(next.Add(1))
				sc := newScript(seed, n, asksPerWorld)
				w, f := play(t, sc)
				mu.Lock()
				for what, times := range w.met {
					met[what] += times
				}
				mu.Unlock()
				asked.Add(asksPerWorld)
				if f != nil && failed.CompareAndSwap(false, true) {
					t.Errorf("world %d disagrees; repeat with -oracle.seed %d -oracle.cases %d\n%v",
						n, seed, n*asksPerWorld, shrink(t, f))
				}
			}
		})
	}
	wg.Wait()
	t.Logf("seed %d: %d questions in %d worlds; met %v", seed, asked.Load(), next.Load(), met)
	if !t.Failed() {
		checkMet(t, met, asked.Load() >= 30_000)
	}
}

// checkMet fails if so many worlds left out a rule, or if the selector was not in
// the state in which a question was meant to find it.
func checkMet(t *testing.T, met map[string]int, many bool) {
	t.Helper()
	for _, rule := range []string{
		"not_registered", "assigned", "inactive", "no_svm", "over_capacity",
		"F1", "F2", "F3", "F4", "F5", "F7", "failed", "down", "draining", "suspect",
		"P1", "P2", "P3", "large class", "hard cap", "fewest", "picks",
		"has what nobody gave it", "says what is not for it",
		"keeping: filters", "keeping: down", "keeping: suspect", "keeping: draining", "keeping: hard cap", "keeping: better",
		"kept though not first", "kept while draining", "kept at its hard cap", "kept in a worse class", "kept though suspect",
		"held", "above the line", "moves", "not open", "above the soft cap", "nobody has room", "placed deep",
		"moves but for a storm", "settled but failed",
		"faded", "sent shortly before a report",
	} {
		if many && met[rule] == 0 {
			t.Errorf("no question met %q", rule)
		}
	}
	for _, wrong := range []string{"a scan after Wait", "a set after StopBuilding"} {
		if met[wrong] != 0 {
			t.Errorf("%s: %d times", wrong, met[wrong])
		}
	}
}

// A failure is a script that ends in a step at which oracle and selector
// disagree, or which the table refuses.
type failure struct {
	script script
	why    string
}

func (f *failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rules %+v\n", f.script.rules)
	for _, st := range f.script.steps {
		fmt.Fprintf(&b, "%v\n", st)
	}
	b.WriteString(f.why)
	return b.String()
}

// shrink looks for a shorter script that still fails, by leaving out runs of
// steps, ever shorter ones. It gives up after a while: a long script is better
// than none.
func shrink(t *testing.T, f *failure) *failure {
	deadline := time.Now().Add(5 * time.Second)
	sc := f.script
	for size := len(sc.steps) / 2; size > 0; {
		shorter := false
		for i := 0; i+size < len(sc.steps) && time.Now().Before(deadline); {
			if _, g := play(t, sc.without(i, i+size)); g != nil {
				f, sc, shorter = g, g.script, true
			} else {
				i += size
			}
		}
		if !shorter || size > 1 {
			size /= 2
		}
	}
	return f
}

// A stage is a world beside the table and the selectors that must agree with it.
type stage struct {
	world *world
	table *store.Table

	// scanning never has candidate sets, standing has them as soon as it may.
	scanning, standing *discovery.Selector

	changed bool // since the last pulse
}

// play runs sc, in a time of its own, to its end or its first failure, and
// returns the world as it then is.
func play(t *testing.T, sc script) (w *world, f *failure) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, sc.rules)
		w, f = st.world, st.perform(sc)
	})
	return w, f
}

func (st *stage) perform(sc script) *failure {
	var changes []change
	for i, s := range sc.steps {
		if c, ok := s.(change); ok {
			changes = append(changes, c)
			continue
		}
		if err := st.change(changes...); err != nil {
			return &failure{script{sc.rules, sc.steps[:i]}, err.Error()}
		}
		changes = changes[:0]
		switch s := s.(type) {
		case wait:
			st.wait(time.Duration(s))
		case ask:
			if why := st.ask(s); why != "" {
				return &failure{script{sc.rules, sc.steps[:i+1]}, why}
			}
		}
	}
	if err := st.change(changes...); err != nil {
		return &failure{sc, err.Error()}
	}
	return nil
}

// newStage returns a stage with the given settings and changes, closed when the
// test ends.
func newStage(t testing.TB, r rules, cs ...change) *stage {
	t.Helper()
	table, err := store.Open(store.Config{SVMTTL: svmTTL})
	if err != nil {
		t.Fatal(err)
	}
	st := &stage{world: newWorld(r), table: table, scanning: newSelector(t, table, r), standing: newSelector(t, table, r)}
	st.scanning.StopBuilding()
	t.Cleanup(func() {
		st.scanning.Close()
		st.standing.Close()
		table.Close()
	})
	st.must(t, cs...)
	return st
}

func newSelector(t testing.TB, table *store.Table, r rules) *discovery.Selector {
	t.Helper()
	cfg := discovery.Config{Table: table, Unregistered: r.unregistered, DeadAddress: r.dead, OpenStackLocality: r.openStack}
	for agent, svms := range r.matrix {
		if cfg.Matrix == nil {
			cfg.Matrix = discovery.Matrix{}
		}
		cfg.Matrix[mustVersion(agent)] = nil
		for _, svm := range svms {
			cfg.Matrix[mustVersion(agent)] = append(cfg.Matrix[mustVersion(agent)], mustVersion(svm))
		}
	}
	sel, err := discovery.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

func mustVersion(text string) store.ProductVersion {
	v, ok := store.ParseProductVersion(text)
	if !ok {
		panic("not a version: " + text)
	}
	return v
}

func (st *stage) must(t testing.TB, cs ...change) {
	t.Helper()
	if err := st.change(cs...); err != nil {
		t.Fatal(err)
	}
}

// change makes all of cs one change of the table.
func (st *stage) change(cs ...change) error {
	if len(cs) == 0 {
		return nil
	}
	st.changed = true
	return st.table.Update(func(tx *store.Tx) error {
		for _, c := range cs {
			if err := c.do(st.world, tx); err != nil {
				return fmt.Errorf("the table refused %v: %w", c, err)
			}
		}
		return nil
	})
}

// wait lets time pass. Only within a bubble (testing/synctest) it takes none.
func (st *stage) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait() // for pulses that are due now, which would undo what is found next
	st.table.Sweep(time.Now())
	st.changed = true
}

// pulse brings both selectors and the world up to date, and has the ledgers find what
// the script says.
func (st *stage) pulse() {
	st.changed = false
	st.world.pulse()
	for _, sel := range []*discovery.Selector{st.scanning, st.standing} {
		sel.Pulse()
		st.find(sel)
	}
}

func (st *stage) find(sel *discovery.Selector) {
	for id, s := range st.world.svms {
		sel.Force(id, discovery.Traits{
			Usable: s.seen.usable, Settled: s.finding.settled, Held: s.finding.held, Suspect: s.finding.suspect,
			Open: s.finding.open, Leaving: s.finding.leaving,
		})
	}
	sel.ForceCalm(st.world.calm)
}

// ask puts a question to the oracle and to the selector, by every way through
// it, and says how they differ.
func (st *stage) ask(a ask) (why string) {
	if st.changed || !a.hasty {
		st.pulse()
	}
	want := st.world.decide(&a.q)
	type way struct {
		name   string
		decide func(*discovery.Query, *discovery.Answer)
	}
	ways := []way{{"scanning", st.scanning.Decide}, {"at once", st.standing.Decide}}
	if !a.hasty {
		ways = append(ways, way{"with sets", st.decideWithSets})
	}
	if a.remember {
		ways = append(ways, way{"select", st.standing.Select})
	}
	var first discovery.Answer
	for i, way := range ways {
		var got discovery.Answer
		way.decide(&a.q, &got)
		if reply := replyOf(&got); !reply.equal(want) {
			return fmt.Sprintf("%s (-oracle +selector):\n%s", way.name, cmp.Diff(want, reply))
		}
		if i == 0 {
			first = got
		}
		if got.Revision != first.Revision || got.RefreshSeconds != first.RefreshSeconds {
			return fmt.Sprintf("%s: revision %d, refresh %d; scanning: %d, %d",
				way.name, got.Revision, got.RefreshSeconds, first.Revision, first.RefreshSeconds)
		}
	}
	if a.remember {
		st.world.remember(&a.q, want)
	}
	return wrongRefresh(&first)
}

// decideWithSets decides once the set stands. A set that was asked for while the
// table changed may be lost with the change: then the question asks for it again.
func (st *stage) decideWithSets(q *discovery.Query, a *discovery.Answer) {
	scans := true
	for tries := 0; scans && tries < 2; tries++ {
		st.standing.Wait()
		st.find(st.standing)
		before := st.standing.Stats().Scans
		st.standing.Decide(q, a)
		scans = st.standing.Stats().Scans > before
	}
	st.world.meet("a scan after Wait", scans)
	st.world.meet("a set after StopBuilding", st.scanning.Stats().Sets > 0)
}

func replyOf(a *discovery.Answer) reply {
	r := reply{Result: a.Result}
	for _, p := range a.SVMs() {
		r.SVMs = append(r.SVMs, entry{ID: p.SVM.ID, Address: p.SVM.Address, Local: p.Local})
	}
	return r
}

// wrongRefresh says what is wrong with the interval of an answer: it is within
// 10 % of the one for its result.
func wrongRefresh(a *discovery.Answer) string {
	center := discovery.RefreshServed
	switch a.Result {
	case discovery.NotRegistered:
		return ""
	case discovery.NoSVM:
		center = discovery.RefreshNone
	}
	if d := a.RefreshSeconds - center; d < -center/10 || d > center/10 {
		return fmt.Sprintf("%v: refresh in %d s, want %d ± 10 %%", a.Result, a.RefreshSeconds, center)
	}
	return ""
}
