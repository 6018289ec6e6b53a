package discovery_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
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

// Explain and Decide speak of the same decision: whom Explain ranks, Decide
// lists, in that order; whom Explain removes the rules remove; and every SVM of
// the table is named once. Explain finds it in a way of its own.
func TestExplainAgreesWithDecide(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	met := map[string]int{}
	for n := range worlds(60, metAll(met, verdicts...)) {
		sc := newScript(seed, n, 40)
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, sc.rules)
			var changes []change
			for _, s := range sc.steps {
				switch s := s.(type) {
				case change:
					changes = append(changes, s)
				case wait:
					st.wait(time.Duration(s))
				case ask:
					st.must(t, changes...)
					changes = nil
					if why := st.explain(s.q, met); why != "" {
						t.Fatalf("seed %d, world %d, %v: %s", seed, n, s, why)
					}
					if s.remember {
						st.world.remember(&s.q, st.world.decide(&s.q))
						st.standing.Select(&s.q, new(discovery.Answer))
					}
				}
			}
		})
	}
	for _, verdict := range verdicts {
		if met[verdict] == 0 {
			t.Errorf("nothing is explained by %q", verdict)
		}
	}
}

// verdicts are parts of what explanations say, in sentences and of candidates: those
// that every run meets.
var verdicts = []string{
	"kept: it is healthy, and first", "kept: it is healthy, and nothing", "kept: others suspect", "leaves ",
	"no longer the best", "this agent's turn:", "first in its order", "number 2 in its order", "open to", "are fair",
	"the fewest agents", "least loaded of the first", "all are suspect", "every usable SVM", "F6 state removed",
	"lower class: it is not local", "lower class: no valid licence", "lower class: its key", "has its share", "next in the agent's order",
	"suspect, so it comes", "could not reach it", "are allowed",
}

// explain says where an explanation differs from the decision it explains, or
// from the rules.
func (st *stage) explain(q discovery.Query, met map[string]int) string {
	q.Limit = discovery.MaxLimit
	synctest.Wait() // a pulse that is due now would undo what is forced
	st.pulse()
	var a discovery.Answer
	st.standing.Decide(&q, &a)
	e := st.standing.Explain(&q)
	if e.Result != a.Result.String() || e.Revision != a.Revision || e.Sentence == "" {
		return fmt.Sprintf("decided %v, revision %d; explained %+v", a.Result, a.Revision, e)
	}
	if a.Result == discovery.NotRegistered || a.Result == discovery.TenantInactive {
		return ""
	}
	for _, verdict := range verdicts {
		said := strings.Contains(e.Sentence, verdict)
		for i := range e.Candidates {
			said = said || strings.Contains(e.Candidates[i].Reason, verdict)
		}
		if said {
			met[verdict]++
		}
	}
	if has, says := st.world.has(&q); (has == nil) != (e.Has == nil) || has != nil && (e.Has.ID != has.id || e.Has.Says != says) {
		return fmt.Sprintf("the agent has %+v, explained as %+v", has, e.Has)
	}
	if diff := cmp.Diff(st.facts(&q), e.Facts); diff != "" {
		return "facts (-oracle +explained)\n" + diff
	}
	named := map[store.SVMID]bool{}
	var ranked []store.SVMID
	for i, c := range e.Candidates {
		if why := st.wrongCandidate(&q, &e, &c); why != "" || c.Reason == "" {
			return fmt.Sprintf("%s: %+v", why, c)
		}
		named[c.ID] = true
		if c.Rank != 0 {
			ranked = append(ranked, c.ID)
		}
		if c.Rank != 0 && c.Rank != i+1 {
			return fmt.Sprintf("%v has rank %d at place %d", c.ID, c.Rank, i+1)
		}
	}
	if len(named) != len(st.world.svms) || len(e.Candidates) != len(named) {
		return fmt.Sprintf("%d candidates name %d SVMs, the table has %d", len(e.Candidates), len(named), len(st.world.svms))
	}
	var decided []store.SVMID
	for _, p := range a.SVMs() {
		decided = append(decided, p.SVM.ID)
	}
	if diff := cmp.Diff(decided, ranked[:min(len(ranked), discovery.MaxLimit)]); diff != "" {
		return "(-decided +ranked)\n" + diff
	}
	return ""
}

// facts are what the oracle decides q from, as explanations tell them.
func (st *stage) facts(q *discovery.Query) discovery.ExplainedFacts {
	vm, _ := st.world.registered(q)
	settings := st.world.settings(vm)
	a := st.world.agentOf(q, vm, settings)
	if a.algorithm == store.Standard {
		a.scope = store.PathIgnore
	}
	return discovery.ExplainedFacts{
		Version: a.version, OS: a.os, Kind: a.kind, Tag: a.tag, Protection: a.protection,
		Algorithm: a.algorithm, Scope: a.scope, Load: settings.Load, Path: a.path,
	}
}

// wrongCandidate says in what an explanation of one SVM differs from the rules.
func (st *stage) wrongCandidate(q *discovery.Query, e *discovery.Explanation, c *discovery.Candidate) string {
	w, s := st.world, st.world.svms[c.ID]
	vm, _ := w.registered(q)
	agent := w.agentOf(q, vm, w.settings(vm))
	removed := w.broken(agent, s)
	if !w.up(s) || slices.Contains(agent.failed, s.id) {
		removed = append(removed, "F6")
	}
	if s.full() && e.Result != discovery.OverCapacity.String() {
		removed = append(removed, "hard cap")
	}
	rule := strings.TrimSuffix(c.Removed, " "+ruleNames[strings.SplitN(c.Removed, " ", 2)[0]])
	switch {
	case (c.Rank == 0) != (c.Removed != ""):
		return "removed and ranked, or neither"
	case c.Rank == 1 && e.Has != nil && e.Has.Keeps: // whatever keeps it from others
	case c.Removed == "" && len(removed) > 0:
		return fmt.Sprintf("not removed by %v", removed)
	case c.Removed != "" && !slices.Contains(removed, rule):
		return fmt.Sprintf("not removed by %q, but by %v", rule, removed)
	case c.Licensed != w.licensed(s), c.KeyMatch != suits(agent, s), c.Local != w.local(agent, s),
		c.State != w.state(s), c.Load != max(0, s.estimate()):
		return fmt.Sprintf("want licensed %v, key match %v, local %v, state %v, load %d",
			w.licensed(s), suits(agent, s), w.local(agent, s), w.state(s), s.estimate())
	case c.Suspect != w.suspect(s), c.Held != (w.state(s) == store.Down && s.finding.held), c.Open != s.finding.open,
		c.Settled != s.finding.settled, c.Left != s.finding.leaving*100/65535, c.HardCap != s.config.HardCap:
		return fmt.Sprintf("want %+v", s.finding)
	}
	return ""
}

// ruleNames are the names that explanations give to the filters.
var ruleNames = map[string]string{
	"F1": "version", "F2": "protection", "F3": "tag", "F4": "updates", "F5": "scope", "F6": "state", "F7": "dedication",
}

// Tables that heard the same records, in whatever order and batches, answer
// alike and with the same revision.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for n := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, n))
		sc := newScript(seed, n, 100)
		origin := newStage(t, sc.rules)
		var changes []change
		var asks []ask
		for _, s := range sc.steps {
			switch s := s.(type) {
			case change:
				changes = append(changes, s)
			case ask:
				asks = append(asks, s)
			}
		}
		origin.must(t, changes...)
		copied := copyShuffled(t, origin, r)
		origin.standing.Wait()
		copied.standing.Wait()
		for _, s := range asks {
			var a, b discovery.Answer
			origin.standing.Decide(&s.q, &a)
			copied.standing.Decide(&s.q, &b)
			if diff := cmp.Diff(replyOf(&a), replyOf(&b)); diff != "" || a.Revision != b.Revision {
				t.Fatalf("seed %d, world %d, %v: revisions %d and %d (-origin +copy)\n%s", seed, n, s, a.Revision, b.Revision, diff)
			}
		}
	}
}

// copyShuffled returns a stage whose table heard the records of origin's in
// another order, some of them twice.
func copyShuffled(t *testing.T, origin *stage, r *rand.Rand) *stage {
	t.Helper()
	var records []store.Record
	origin.table.Records(func(rec store.Record) bool {
		records = append(records, rec)
		return true
	})
	records = append(records, records[:len(records)/3]...)
	r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	st := newStage(t, origin.world.rules)
	for len(records) > 0 {
		n := min(len(records), 1+r.IntN(40))
		if _, err := st.table.Apply(store.Batch{Records: records[:n], From: "peer"}); err != nil {
			t.Fatal(err)
		}
		records = records[n:]
	}
	return st
}

// Select allocates nothing, whether it scans or has its sets, and neither does
// the JSON of its answer.
func TestSelectDoesNotAllocate(t *testing.T) {
	for _, n := range []int{3, 64, 500} {
		for _, load := range []store.Load{store.Balanced, store.Fewest} {
			tenant := store.Tenant{ID: store.TenantID{1}, Name: "t", Type: store.Simple, Discovery: store.DefaultDiscovery()}
			tenant.Discovery.Load, tenant.Discovery.Locked = load, false
			st := newStage(t, rules{dead: "192.0.2.1"}, append(plainSVMs(n), putTenant(tenant))...)
			agents := randomBIOSIDs(200)
			for i, bios := range agents {
				st.must(t, putVM(store.VM{BIOS: bios, Tenant: tenant.ID, OS: store.GuestOS(i % 3), Version: "12.0"}))
			}
			for name, sel := range map[string]*discovery.Selector{"scanning": st.scanning, "with sets": st.standing} {
				t.Run(fmt.Sprintf("svms=%d/%v/%s", n, load, name), func(t *testing.T) {
					checkAllocations(t, sel, agents)
				})
			}
		}
	}
}

func checkAllocations(t *testing.T, sel *discovery.Selector, agents []store.BIOSID) {
	t.Helper()
	var a discovery.Answer
	buf := make([]byte, 0, 1<<14)
	i := 0
	question := func() {
		q := discovery.Query{BIOS: agents[i%len(agents)], Limit: 1 + i%discovery.MaxLimit, Version: store.ProductVersion{Major: 12}}
		i++
		sel.Select(&q, &a)
		buf = a.AppendJSON(buf[:0])
	}
	for range agents {
		question()
	}
	sel.Wait()
	if allocs := testing.AllocsPerRun(500, question); allocs != 0 {
		t.Errorf("Select and AppendJSON allocate %v times per question, want 0", allocs)
	}
}

// Select takes no lock: it answers while a writer is in the middle of a change.
func TestSelectTakesNoLock(t *testing.T) {
	st := newStage(t, serving, plainSVMs(100)...)
	writing, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- st.table.Update(func(tx *store.Tx) error {
			_, err := tx.DeleteSVM(plainSVM(0, 0).id)
			close(writing)
			<-release
			return err
		})
	}()
	<-writing
	answered := make(chan discovery.Result)
	go func() {
		var a discovery.Answer
		for _, bios := range randomBIOSIDs(1000) {
			st.standing.Select(&discovery.Query{BIOS: bios, OS: store.OSServer}, &a)
		}
		answered <- a.Result
	}()
	select {
	case result := <-answered:
		if result != discovery.Assigned {
			t.Errorf("Select answered %v while a writer was writing, want %v", result, discovery.Assigned)
		}
		close(release)
	case <-time.After(10 * time.Second):
		t.Error("Select waits for a writer")
		close(release)
		<-answered
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A set may be asked for in words that were new to the table a moment ago, while
// the one who builds sets is still busy with what was asked before.
func TestSetsInNewWords(t *testing.T) {
	st := newStage(t, serving, append(plainSVMs(20), putSVM(versioned(0)))...)
	var newest atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var a discovery.Answer
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			q := discovery.Query{BIOS: store.BIOSID{1}, OS: store.GuestOS(i % 3), Kind: store.AgentKind(i / 3 % 3)}
			q.Version = store.ProductVersion{Major: 100, Minor: uint16(newest.Load() * int64(i/9%50) / 49)}
			st.standing.Decide(&q, &a)
			if want := versioned(int(q.Version.Minor)).id; len(a.SVMs()) != 1 || a.SVMs()[0].SVM.ID != want {
				t.Errorf("version %v gets %+v, want only %v", q.Version, replyOf(&a), want)
				return
			}
		}
	})
	for round := 1; round < 120; round++ {
		st.must(t, putSVM(versioned(round)))
		newest.Store(int64(round))
	}
	close(stop)
	wg.Wait()
}

// versioned is an SVM that suits agents of version 100.n only.
func versioned(n int) svm {
	s := plainSVM(1000+n, 1000)
	s.facts.Version = fmt.Sprintf("100.%d", n)
	return s
}
