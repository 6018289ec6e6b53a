package discovery_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// lastID is a policy that picks the SVM whose id is the last, and notes what it was asked.
type lastID struct{ class []discovery.Choice }

func (p *lastID) Pick(_ uint64, class []discovery.Choice) int {
	p.class = append(p.class[:0], class...)
	last := 0
	for i := range class {
		if bytes.Compare(class[i].SVM.ID[:], class[last].SVM.ID[:]) > 0 {
			last = i
		}
	}
	return last
}

// outside picks no position at all.
type outside int

func (p outside) Pick(uint64, []discovery.Choice) int { return int(p) }

func withPolicy(t testing.TB, st *stage, p discovery.Policy, log *slog.Logger) *discovery.Selector {
	t.Helper()
	sel, err := discovery.New(discovery.Config{Table: st.table, Policy: p, Unregistered: discovery.Serve, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sel.Close)
	return sel
}

// A policy is asked for agents that keep nothing, with the usable SVMs of the best class,
// and what it picks comes first. The rest is in the usual order.
func TestAPolicyPicksOfTheBestClass(t *testing.T) {
	for _, n := range []int{6, 90} {
		var cs []change
		for i := range n {
			s := plainSVM(i, 100+i)
			s.reported = i
			switch {
			case i%5 == 0:
				s.facts.License = store.License{}
			case i%5 == 1:
				s.written = store.Down
			case i == 4:
				s.config.HardCap = 4
			}
			cs = append(cs, putSVM(s))
		}
		agents := randomBIOSIDs(50)
		st := newStage(t, rules{dead: "192.0.2.1"}, append(cs, registered(agents)...)...)
		p := new(lastID)
		sel := withPolicy(t, st, p, nil)
		var want []discovery.Choice
		for i := range n {
			if s := st.world.svms[plainSVM(i, 0).id]; i%5 > 1 && i != 4 {
				want = append(want, discovery.Choice{Capacity: s.config.Capacity, Agents: i, Reported: i})
			}
		}
		for k, bios := range agents {
			if k > 10 {
				sel.Wait()
			}
			q := discovery.Query{BIOS: bios, Limit: 1 + k%discovery.MaxLimit}
			var a, plain discovery.Answer
			sel.Decide(&q, &a)
			st.scanning.Decide(&q, &plain)
			got := slices.Clone(p.class)
			for i := range got {
				got[i].SVM, got[i].Hash = nil, 0
			}
			slices.SortFunc(got, func(x, y discovery.Choice) int { return x.Capacity - y.Capacity })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%d SVMs: the policy was asked (-want +got):\n%s", n, diff)
			}
			last := p.class[p.Pick(0, p.class)].SVM.ID
			order := slices.DeleteFunc(slices.Clone(replyOf(&plain).SVMs), func(e entry) bool { return e.ID == last })
			told := replyOf(&a).SVMs
			if told[0].ID != last || len(told) != len(replyOf(&plain).SVMs) || len(order) > 0 && !inOrder(told[1:], usualOrder(st, bios, last)) {
				t.Fatalf("%d SVMs, limit %d: got %v, picked %v", n, q.Limit, told, last)
			}
			q.Current = plainSVM(2, 0).id
			p.class = nil
			if sel.Decide(&q, &a); len(p.class) > 0 || a.SVMs()[0].SVM.ID != q.Current {
				t.Fatalf("%d SVMs: the policy was asked for an agent that keeps its SVM", n)
			}
		}
	}
}

// usualOrder is the order of all usable SVMs but one.
func usualOrder(st *stage, bios store.BIOSID, but store.SVMID) (order []store.SVMID) {
	q := discovery.Query{BIOS: bios}
	st.world.pulse()
	vm, _ := st.world.registered(&q)
	for _, c := range st.world.rank(st.world.agentOf(&q, vm, st.world.settings(vm))) {
		if c.svm.id != but && !c.svm.full() {
			order = append(order, c.svm.id)
		}
	}
	return order
}

func inOrder(told []entry, order []store.SVMID) bool {
	for i := range told {
		if told[i].ID != order[i] {
			return false
		}
	}
	return true
}

// A policy that picks no position of the class is counted, and named once.
func TestAPolicyThatPicksNothing(t *testing.T) {
	for _, at := range []outside{-1, 8, 1 << 40} {
		var log strings.Builder
		st := newStage(t, serving, plainSVMs(8)...)
		sel := withPolicy(t, st, at, slog.New(slog.NewTextHandler(&log, nil)))
		for _, bios := range randomBIOSIDs(10) {
			var a discovery.Answer
			if sel.Decide(&discovery.Query{BIOS: bios}, &a); a.Result != discovery.Assigned {
				t.Errorf("position %d: %v", at, a.Result)
			}
		}
		if n, lines := sel.Stats().BadPicks, strings.Count(log.String(), "\n"); n != 10 || lines != 1 {
			t.Errorf("position %d: counted %d times, want 10; %d lines in the log, want 1", at, n, lines)
		}
	}
}
