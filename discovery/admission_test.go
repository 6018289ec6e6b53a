package discovery_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A storm is two tenants' agents at a gateway with an Admission, in a bubble.
type storm struct {
	t       *testing.T
	sel     *discovery.Selector
	table   *store.Table
	tenants [2]store.TenantID
	agents  [2][]store.BIOSID
}

func inStorm(t *testing.T, admission discovery.Admission, agents, others int, test func(s storm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, rules{dead: "192.0.2.1"}, plainSVMs(8)...)
		s := storm{t: t, table: st.table, tenants: [2]store.TenantID{{1}, {2}}}
		ids := randomBIOSIDs(agents + others)
		s.agents = [2][]store.BIOSID{ids[:agents], ids[agents:]}
		sel, err := discovery.New(discovery.Config{Table: st.table, Admission: admission})
		if err != nil {
			t.Fatal(err)
		}
		defer sel.Close()
		s.sel = sel
		for i, id := range s.tenants { // after New: what it keeps of tenants grows
			cs := []change{putTenant(store.Tenant{ID: id, Name: fmt.Sprint(i), Type: store.Simple, Discovery: store.DefaultDiscovery()})}
			for _, bios := range s.agents[i] {
				cs = append(cs, putVM(store.VM{BIOS: bios, Tenant: id}))
			}
			st.must(t, cs...)
		}
		time.Sleep(time.Second)
		test(s)
	})
}

func (s storm) ask(bios store.BIOSID, current store.SVMID) *discovery.Answer {
	a := new(discovery.Answer)
	s.sel.Select(&discovery.Query{BIOS: bios, Current: current}, a)
	return a
}

// Of a storm so many agents are let in as the rate says, those sent away come back at
// about the rate, and in the end all are in. Another tenant's agents notice nothing.
func TestAStormIsLetInAtTheRate(t *testing.T) {
	const agents, rate, burst = 1500, 20, 40
	inStorm(t, discovery.Admission{Rate: rate}, agents, 100, func(s storm) {
		due := map[int][]store.BIOSID{} // by second: who asks
		for i, bios := range s.agents[0] {
			due[i/100] = append(due[i/100], bios)
		}
		in, inTime, back := 0, map[int]int{}, map[int]int{}
		for second := 0; in < agents && second < 600; second++ {
			for i, bios := range due[second] {
				if i%4 == 0 {
					time.Sleep(time.Second / time.Duration(len(due[second])/4+1))
				}
				switch a := s.ask(bios, store.SVMID{}); a.Result {
				case discovery.Assigned:
					in++
					inTime[second/10]++
				case discovery.Later:
					if len(a.SVMs()) != 0 || a.RefreshSeconds < 1 {
						s.t.Fatalf("told later, with %d SVMs, in %d s", len(a.SVMs()), a.RefreshSeconds)
					}
					due[second+a.RefreshSeconds] = append(due[second+a.RefreshSeconds], bios)
					back[(second+a.RefreshSeconds)/10]++
				default:
					s.t.Fatalf("%v", a.Result)
				}
			}
			time.Sleep(time.Until(epoch.Add(time.Duration(second+2) * time.Second)))
			if second < 50 {
				for _, bios := range s.agents[1][2*second : 2*second+2] {
					if a := s.ask(bios, store.SVMID{}); a.Result != discovery.Assigned {
						s.t.Errorf("second %d: an agent of the other tenant gets %v", second, a.Result)
					}
				}
			}
			if in == agents && second > agents/rate*3/2 {
				s.t.Errorf("the last agent was in after %d s, at the rate it is %d", second, agents/rate)
			}
		}
		if in != agents {
			s.t.Fatalf("%d of %d agents were let in", in, agents)
		}
		for ten, n := range inTime {
			if n > 10*rate+burst+rate/10 {
				s.t.Errorf("from second %d on %d were let in within ten", 10*ten, n)
			}
		}
		for ten, n := range back {
			if ten > 0 && n > 10*rate*3/2 {
				s.t.Errorf("from second %d on %d came back within ten", 10*ten, n)
			}
		}
		if s.sel.Stats().Later == 0 {
			s.t.Error("no question was answered later")
		}
	})
}

// Agents that keep what they have are served however many there are, and so are those
// that ask again for what they were told.
func TestWhoNeedsNothingIsNotHeldUp(t *testing.T) {
	inStorm(t, discovery.Admission{Rate: 1, Burst: 1}, 300, 0, func(s storm) {
		for i, bios := range s.agents[0] {
			if a := s.ask(bios, plainSVM(i%8, 0).id); a.Result != discovery.Assigned {
				s.t.Fatalf("agent %d keeps its SVM and gets %v", i, a.Result)
			}
			if a := s.ask(bios, store.SVMID{}); a.Result != discovery.Assigned {
				s.t.Fatalf("agent %d does not say again what it has, and gets %v", i, a.Result)
			}
		}
		failed := discovery.Query{Failed: []store.SVMID{plainSVM(0, 0).id}}
		later := 0
		for i, bios := range s.agents[0] {
			failed.BIOS = bios
			var a, b discovery.Answer
			s.sel.Select(&failed, &a)
			s.sel.Decide(&failed, &b)
			if (a.Result == discovery.Later) != (i%8 == 0 && i > 0) || b.Result != discovery.Assigned {
				s.t.Fatalf("agent %d of those whose SVM is lost gets %v; decided %v", i, a.Result, b.Result)
			}
			if a.Result == discovery.Later {
				later++
			}
		}
		if got := s.sel.Stats().Later; int(got) != later {
			s.t.Errorf("%d questions count as answered later, want %d", got, later)
		}
	})
}

func TestAdmissionsThatAreNone(t *testing.T) {
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for _, a := range []discovery.Admission{
		{Rate: -1}, {Rate: math.NaN()}, {Rate: math.Inf(1)}, {Rate: 0.0001}, {Rate: 2e6}, {Rate: 1, Burst: -1}, {Rate: 1, Burst: 2e6},
	} {
		sel, err := discovery.New(discovery.Config{Table: table, Admission: a})
		if wrong := (*discovery.ConfigError)(nil); !errors.As(err, &wrong) {
			t.Errorf("New with %+v: %v, want a ConfigError", a, err)
			if sel != nil {
				sel.Close()
			}
		}
	}
}

// Rates of all sizes hold, from an agent in minutes to so many a pulse.
func TestRatesOfAllSizes(t *testing.T) {
	for _, rate := range []float64{0.01, 0.5, 3, 700, 20_000} {
		inStorm(t, discovery.Admission{Rate: rate, Burst: 1}, 5000, 0, func(s storm) {
			in, spent := 0, time.Duration(0)
			for ; spent < 400*time.Second && in < len(s.agents[0]); spent += 50 * time.Millisecond {
				for in < len(s.agents[0]) && s.ask(s.agents[0][in], store.SVMID{}).Result == discovery.Assigned {
					in++
				}
				time.Sleep(50 * time.Millisecond)
			}
			want := rate * spent.Seconds()
			if in < len(s.agents[0]) && float64(in) < want*0.9-1 || float64(in) > want*1.1+rate/10+2 {
				s.t.Errorf("at %v a second %d were let in within %v, want %.0f", rate, in, spent, want)
			}
		})
	}
}
