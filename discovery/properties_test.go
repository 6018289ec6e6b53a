package discovery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// serving are the settings of a gateway that serves agents nobody registered,
// which spares the tests below from registering them.
var serving = rules{unregistered: discovery.Serve, dead: "192.0.2.1"}

// plainSVM is a pinned SVM that takes every agent.
func plainSVM(i, capacity int) svm {
	return svm{
		id: store.SVMID{0: 0x50, 14: byte(i >> 8), 15: byte(i)},
		config: store.SVMConfig{
			Name: fmt.Sprintf("svm-%d", i), Address: fmt.Sprintf("10.9.%d.%d", i>>8, i&0xff),
			Capacity: capacity, Pinned: true,
		},
		facts: store.SVMFacts{Version: "6.0", License: store.License{State: store.LicenseValid}},
	}
}

func plainSVMs(n int) []change {
	var cs []change
	for i := range n {
		cs = append(cs, putSVM(plainSVM(i, 1000)))
	}
	return cs
}

func randomBIOSIDs(n int) []store.BIOSID {
	r := rand.New(rand.NewPCG(7, 11))
	ids := make([]store.BIOSID, n)
	for i := range ids {
		for j := range ids[i] {
			ids[i][j] = byte(r.Uint32())
		}
	}
	return ids
}

// pairs returns the first two SVMs of each agent, once sets stand.
func (st *stage) pairs(agents []store.BIOSID) [][2]store.SVMID {
	out := make([][2]store.SVMID, len(agents))
	var a discovery.Answer
	st.standing.Decide(&discovery.Query{BIOS: agents[0]}, &a)
	st.standing.Wait()
	for i, bios := range agents {
		st.standing.Decide(&discovery.Query{BIOS: bios, Limit: 2}, &a)
		for j, p := range a.SVMs() {
			out[i][j] = p.SVM.ID
		}
	}
	return out
}

// An SVM that is lost, by whatever way, moves its own agents and no other; each
// goes to the second of its answer, and together they spread.
func TestLosingAnSVMMovesOnlyItsAgents(t *testing.T) {
	ways := map[string]func(store.SVMID) change{
		"down": func(id store.SVMID) change {
			return configureSVM(id, "down", func(s *svm) { s.written = store.Down })
		},
		"draining": func(id store.SVMID) change {
			return configureSVM(id, "draining", func(s *svm) { s.written = store.Draining })
		},
		"forgotten": forgetSVM,
	}
	agents := randomBIOSIDs(10_000)
	for _, n := range []int{8, 64, 200} {
		for name, lose := range ways {
			t.Run(fmt.Sprintf("svms=%d/%s", n, name), func(t *testing.T) {
				st := newStage(t, serving, plainSVMs(n)...)
				before := st.pairs(agents)
				lost := plainSVM(n/2, 0).id
				st.must(t, lose(lost))
				got := map[store.SVMID]int{}
				moved := 0
				for i, after := range st.pairs(agents) {
					want := before[i][0]
					if want == lost {
						want = before[i][1]
						moved++
						got[after[0]]++
					}
					if after[0] != want {
						t.Fatalf("agent %v: before %v, after %v; lost %v", agents[i], before[i], after, lost)
					}
				}
				if moved == 0 {
					t.Fatal("the lost SVM had no agents")
				}
				fair := float64(moved) / float64(n-1)
				for id, agents := range got {
					if float64(agents) > fair+6*math.Sqrt(fair)+2 {
						t.Errorf("%v took over %d of %d agents, fair are %.1f", id, agents, moved, fair)
					}
				}
			})
		}
	}
}

// An SVM that is added takes agents from the others, and moves none between them.
func TestAddingAnSVMMovesAgentsOnlyToIt(t *testing.T) {
	agents := randomBIOSIDs(10_000)
	for _, n := range []int{8, 63, 200} {
		t.Run(fmt.Sprintf("svms=%d", n), func(t *testing.T) {
			st := newStage(t, serving, plainSVMs(n)...)
			before := st.pairs(agents)
			added := plainSVM(n, 1000)
			st.must(t, putSVM(added))
			taken := 0
			for i, after := range st.pairs(agents) {
				if after[0] == added.id {
					taken++
				} else if after[0] != before[i][0] {
					t.Fatalf("agent %v moved from %v to %v; added %v", agents[i], before[i][0], after[0], added.id)
				}
			}
			if fair := float64(len(agents)) / float64(n+1); math.Abs(float64(taken)-fair) > fair/2 {
				t.Errorf("the added SVM has %d agents, fair are %.0f", taken, fair)
			}
		})
	}
}

// Agents spread in proportion to capacity.
func TestSharesFollowCapacity(t *testing.T) {
	agents := 200_000
	if testing.Short() {
		agents = 30_000
	}
	ids := randomBIOSIDs(agents)
	tests := []struct {
		name     string
		capacity func(i int) int
		svms     int
		spread   float64 // what the law itself adds to the noise of chance
	}{
		{"equal", func(int) int { return 1000 }, 8, 0},
		{"one to sixteen", func(i int) int { return []int{250, 1000, 4000}[i%3] }, 8, 0},
		{"many equal", func(int) int { return 1000 }, 200, 0.03},
		{"many unequal", func(i int) int { return []int{250, 1000, 4000}[i%3] }, 200, 0.03},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var cs []change
			total := 0
			for i := range tt.svms {
				cs = append(cs, putSVM(plainSVM(i, tt.capacity(i))))
				total += tt.capacity(i)
			}
			count := map[store.SVMID]int{}
			for _, p := range newStage(t, serving, cs...).pairs(ids) {
				count[p[0]]++
			}
			for i := range tt.svms {
				fair := float64(agents) * float64(tt.capacity(i)) / float64(total)
				bound := 5*math.Sqrt(fair) + fair*tt.spread
				if got := float64(count[plainSVM(i, 0).id]); math.Abs(got-fair) > bound {
					t.Errorf("svm %d of capacity %d has %.0f agents, want %.0f ± %.0f", i, tt.capacity(i), got, fair, bound)
				}
			}
		})
	}
}

// Deactivating a complete tenant shows in the very next answer of each of its
// agents, and so does activating it. A simple tenant never notices.
func TestTenantGateHoldsFromTheNextAnswer(t *testing.T) {
	complete := store.Tenant{ID: store.TenantID{1}, Name: "complete", Type: store.Complete, Discovery: store.DefaultDiscovery()}
	simple := store.Tenant{ID: store.TenantID{2}, Name: "simple", Type: store.Simple, Discovery: store.DefaultDiscovery()}
	st := newStage(t, rules{dead: "192.0.2.1"}, append(plainSVMs(5), putTenant(complete), putTenant(simple))...)
	agents := randomBIOSIDs(500)
	for i, bios := range agents {
		st.must(t, putVM(store.VM{BIOS: bios, Tenant: []store.TenantID{complete.ID, simple.ID}[i%2]}))
	}
	expect := func(when string, completeGets discovery.Result) {
		t.Helper()
		for i, bios := range agents {
			want := []discovery.Result{completeGets, discovery.Assigned}[i%2]
			var a discovery.Answer
			st.standing.Select(&discovery.Query{BIOS: bios}, &a)
			if a.Result != want {
				t.Fatalf("%s: agent %d gets %v, want %v", when, i, a.Result, want)
			}
			if want != discovery.TenantInactive {
				continue
			}
			dead := []entry{{Address: "192.0.2.1"}}
			if diff := cmp.Diff(dead, replyOf(&a).SVMs); diff != "" {
				t.Fatalf("%s: agent %d (-want +got):\n%s", when, i, diff)
			}
			checkJSON(t, &a)
		}
	}
	expect("new", discovery.TenantInactive)
	for range 2 {
		st.must(t, setActive(complete.ID, true), setActive(simple.ID, true))
		expect("activated", discovery.Assigned)
		st.must(t, setActive(complete.ID, false), setActive(simple.ID, false))
		expect("deactivated", discovery.TenantInactive)
	}
}

// The JSON of an answer says what the answer says, whatever is in the texts.
func TestAppendJSONIsWhatEncodingJSONReads(t *testing.T) {
	addresses := []string{"10.9.0.7", "2001:db8::7", "svm-7.example.org"}
	versions := []string{"6.0", "", "6.0.1.2", `6"quote`, `back\slash`, "neue Prüfung", "<b>&amp;</b>",
		"line\u2028separator", "𝟞.𝟘", "last\\"}
	host := store.Path{Host: "h"}
	near, far := store.BIOSID{1}, store.BIOSID{2}
	for i, version := range versions {
		s := plainSVM(1, 1000)
		s.config.Address, s.facts.Version, s.facts.Path = addresses[i%len(addresses)], version, host
		st := newStage(t, serving, putVM(store.VM{BIOS: near, Path: host}))
		st.must(t, putSVM(s), putSVM(plainSVM(2, 1000)))
		for _, bios := range []store.BIOSID{near, far} {
			for _, limit := range []int{1, 2} {
				var a discovery.Answer
				st.standing.Decide(&discovery.Query{BIOS: bios, Limit: limit}, &a)
				checkJSON(t, &a)
			}
		}
		st.must(t, forgetSVM(s.id), forgetSVM(plainSVM(2, 0).id))
		var none discovery.Answer
		st.standing.Decide(&discovery.Query{BIOS: near}, &none)
		checkJSON(t, &none)
	}
}

// checkJSON reads the JSON of a and compares it with a.
func checkJSON(t *testing.T, a *discovery.Answer) {
	t.Helper()
	type svmJSON struct {
		ID      string `json:"id"`
		Address string `json:"address"`
		Version string `json:"version"`
		Local   bool   `json:"local"`
	}
	type body struct {
		Result         string    `json:"result"`
		SVMs           []svmJSON `json:"svms"`
		RefreshSeconds int       `json:"refreshSeconds"`
		Revision       uint64    `json:"revision"`
	}
	want := body{Result: a.Result.String(), SVMs: []svmJSON{}, RefreshSeconds: a.RefreshSeconds, Revision: a.Revision}
	for _, p := range a.SVMs() {
		want.SVMs = append(want.SVMs, svmJSON{p.SVM.ID.String(), p.SVM.Address, p.SVM.Version, p.Local})
	}
	text := a.AppendJSON([]byte("before"))
	strict := json.NewDecoder(bytes.NewReader(text[len("before"):]))
	strict.DisallowUnknownFields()
	var got body
	if err := strict.Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-answer +JSON):\n%s", text, diff)
	}
	if a.Revision >= 1<<53 {
		t.Errorf("revision %d does not fit a JSON number", a.Revision)
	}
}

// The revision stands for the result and the first SVM: it changes when they do,
// and not with the alternatives. An agent may wait for it to change.
func TestRevisionFollowsTheFirstSVM(t *testing.T) {
	st := newStage(t, serving, plainSVMs(6)...)
	revision := func(limit int) uint64 {
		var a discovery.Answer
		st.standing.Decide(&discovery.Query{BIOS: store.BIOSID{1}, Limit: limit}, &a)
		return a.Revision
	}
	var all discovery.Answer
	st.standing.Decide(&discovery.Query{BIOS: store.BIOSID{1}, Limit: 6}, &all)
	first, second, last := all.SVMs()[0].SVM.ID, all.SVMs()[1].SVM.ID, all.SVMs()[5].SVM.ID
	was := revision(3)
	if revision(1) != was || revision(6) != was {
		t.Error("the number of alternatives changed the revision")
	}
	st.must(t, reportSVM(second, 500, "", func(*store.SVMFacts) {}), forgetSVM(last))
	if revision(3) != was {
		t.Error("a report of an alternative, or the loss of one, changed the revision")
	}
	seen := map[uint64]string{was: "at first"}
	for _, c := range []change{
		configureSVM(first, "address", func(s *svm) { s.config.Address = "10.9.9.9" }),
		configureSVM(first, "down", func(s *svm) { s.written = store.Down }),
		forgetSVM(second),
	} {
		st.must(t, c)
		now := revision(3)
		if before, ok := seen[now]; ok {
			t.Errorf("after %q the revision is as it was %s", c, before)
		}
		seen[now] = "after " + c.text
	}
}
