package discovery_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// What a person reads who asks why: the agent of one VM, whose host is h1, and three
// SVMs, of which it has the first or none.
func TestSentences(t *testing.T) {
	down := func(s *svm) { s.written = store.Down }
	draining := func(s *svm) { s.written = store.Draining }
	local := func(s *svm) { s.facts.Path.Host = "h1" }
	unlicensed := func(s *svm) { s.facts.License.State = store.LicenseNone }
	loaded := func(n int) func(*svm) { return func(s *svm) { s.reported = n } }
	capped := func(n int) func(*svm) { return func(s *svm) { s.config.HardCap = n } }
	tests := []struct {
		name  string
		has   bool
		says  bool
		edit  [3]func(*svm) // of each SVM
		found [3]*finding
		want  string
	}{
		{name: "a new agent", want: "svm-0 at 10.9.0.0: first in its order of 3 alike"},
		{name: "a new agent, and the first is full enough", edit: [3]func(*svm){loaded(50)},
			want: "number 2 in its order of 3 alike: svm-0 has 50 agents where 16 are fair"},
		{name: "a new agent, and the first has just come up", found: [3]*finding{{settled: true, open: 0}},
			want: "number 2 in its order of 3 alike: svm-0 has just come up, and is open to 0 of 8 agents"},
		{name: "it keeps what it has", has: true, want: "svm-0 at 10.9.0.0: kept: it is healthy, and first in its order of 3 alike"},
		{name: "another would be nearer", has: true, edit: [3]func(*svm){nil, local}, found: [3]*finding{nil, {open: 8}},
			want: "kept: it is healthy; svm-1 is nearer, and has been usable for 3 min of the 10 min after which agents return"},
		{name: "another is nearer, and settled", has: true, edit: [3]func(*svm){nil, local},
			want: "svm-1 at 10.9.0.1: leaves svm-0, which is no longer the best: svm-1 is nearer: the only one of its class"},
		{name: "another has a licence", has: true, edit: [3]func(*svm){unlicensed},
			want: "leaves svm-0, which is no longer the best: svm-2 has a valid licence"},
		{name: "it drains, later", has: true, edit: [3]func(*svm){draining}, found: [3]*finding{{open: 8, leaving: 0}},
			want: "svm-0 at 10.9.0.0: kept: it is draining, and this agent's turn to leave has yet to come"},
		{name: "it drains, now", has: true, edit: [3]func(*svm){draining},
			want: "leaves svm-0, which is draining, and it is this agent's turn: first in its order of 2 alike"},
		{name: "it is down", has: true, edit: [3]func(*svm){down}, want: "leaves svm-0, which is down: first in its order of 2 alike"},
		{name: "it is held", has: true, edit: [3]func(*svm){down}, found: [3]*finding{{open: 8, held: true}},
			want: "kept: it is silent, but too many fell silent at once to believe it before another gateway says the same"},
		{name: "it is suspect", has: true, found: [3]*finding{{open: 8, suspect: true}}, want: "leaves svm-0, which is suspect"},
		{name: "it is suspect, and it says that it is there", has: true, says: true, found: [3]*finding{{open: 8, suspect: true}},
			want: "kept: others suspect it, but this agent is connected to it"},
		{name: "it is at its hard cap", has: true, edit: [3]func(*svm){func(s *svm) { loaded(6)(s); capped(6)(s) }},
			want: "kept: it is at its hard cap, which keeps out newcomers only"},
		{name: "it is above its hard cap", has: true, edit: [3]func(*svm){func(s *svm) { loaded(9)(s); capped(6)(s) }},
			want: "leaves svm-0, which has 9 agents, and at most 6 are allowed"},
		{name: "all are at their hard cap", edit: [3]func(*svm){func(s *svm) { loaded(6)(s); capped(6)(s) },
			func(s *svm) { loaded(5)(s); capped(5)(s) }, func(s *svm) { loaded(7)(s); capped(7)(s) }},
			want: "svm-1 at 10.9.0.1: every usable SVM is at its hard cap, and this one is the least loaded"},
		{name: "all are down", has: true, edit: [3]func(*svm){down, down, down}, want: "no_svm: of 3 SVMs none is left: F6 state removed 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t, serving)
				for i := range 3 {
					s := plainSVM(i, 1000)
					if tt.edit[i] != nil {
						tt.edit[i](&s)
					}
					st.must(t, putSVM(s))
					if f := tt.found[i]; f != nil {
						st.must(t, finds(s.id, *f))
					} else {
						st.must(t, finds(s.id, plain))
					}
				}
				time.Sleep(3*time.Minute + time.Second)
				q := discovery.Query{BIOS: agentOf(t, "svm-0")}
				st.must(t, putVM(store.VM{BIOS: q.BIOS, OS: store.OSServer, Path: store.Path{Host: "h1"}}))
				if slot, _ := st.table.Lookup(&q.BIOS); tt.has {
					slot.Assign(0)
				}
				if tt.says {
					q.Current = plainSVM(0, 0).id
				}
				st.pulse()
				e := st.standing.Explain(&q)
				if tt.name == "another would be nearer" && e.Candidates[1].Reason != "better than what the agent has, but not yet for long enough" {
					t.Errorf("of the nearer one: %s", e.Candidates[1].Reason)
				}
				if !strings.Contains(e.Sentence, tt.want) {
					t.Errorf("%s\nwant %s", e.Sentence, tt.want)
				}
			})
		})
	}
}

// agentOf returns the BIOS ID of an agent that has an SVM of three plain ones first.
func agentOf(t *testing.T, name string) store.BIOSID {
	st := newStage(t, serving, plainSVMs(3)...)
	for i := range 100 {
		q := discovery.Query{BIOS: store.BIOSID{0: byte(i), 1: 1}, OS: store.OSServer}
		var a discovery.Answer
		if st.standing.Decide(&q, &a); a.SVMs()[0].SVM.Name == name && a.SVMs()[1].SVM.Name == "svm-2" {
			return q.BIOS
		}
	}
	panic(fmt.Sprint("nobody has first ", name))
}

// Of many agents on an SVM that has too many, some are told that it is their turn.
func TestSentenceOfAMove(t *testing.T) {
	st := newStage(t, serving, plainSVMs(3)...)
	st.must(t, reportSVM(plainSVM(0, 0).id, 3000, "", func(*store.SVMFacts) {}))
	st.standing.Wait()
	moves := 0
	for _, bios := range randomBIOSIDs(2000) {
		q := discovery.Query{BIOS: bios, OS: store.OSServer, Current: plainSVM(0, 0).id}
		var a discovery.Answer
		st.standing.Decide(&q, &a)
		e := st.standing.Explain(&q)
		if e.Candidates[0].ID != a.SVMs()[0].SVM.ID {
			t.Fatalf("decided %v, explained %s", a.SVMs()[0].SVM.ID, e.Sentence)
		}
		if strings.HasSuffix(e.Sentence, ": moves from svm-0, which has 3000 agents where 1000 are fair") {
			moves++
		}
	}
	if moves < 40 || moves > 160 { // a twentieth: 95 of them, at first
		t.Errorf("%d of 2000 agents move", moves)
	}
}

// Where a policy picks, it picks for the explanation, too.
func TestExplainAsksThePolicy(t *testing.T) {
	table := newStage(t, serving, plainSVMs(5)...).table
	sel, err := discovery.New(discovery.Config{Table: table, Unregistered: discovery.Serve, Policy: last{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sel.Close()
	for _, bios := range randomBIOSIDs(50) {
		q := discovery.Query{BIOS: bios, OS: store.OSServer}
		var a discovery.Answer
		sel.Decide(&q, &a)
		e := sel.Explain(&q)
		if e.Candidates[0].ID != a.SVMs()[0].SVM.ID || !strings.Contains(e.Sentence, "picked by the gateway's policy, of 5 alike") {
			t.Errorf("decided %v, explained %s", a.SVMs()[0].SVM.ID, e.Sentence)
		}
	}
}

// last is a policy that picks the last in rendezvous order.
type last struct{}

func (last) Pick(agent uint64, class []discovery.Choice) int {
	at := 0
	for i := range class {
		if class[i].Cost(agent) > class[at].Cost(agent) {
			at = i
		}
	}
	return at
}
