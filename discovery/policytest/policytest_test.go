package policytest

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/discovery"
)

// first is the first in rendezvous order: it keeps every law.
func first(agent uint64, class []discovery.Choice) int {
	best := 0
	for i := range class {
		if before(agent, &class[i], &class[best]) {
			best = i
		}
	}
	return best
}

func before(agent uint64, a, b *discovery.Choice) bool {
	if x, y := a.Cost(agent), b.Cost(agent); x != y {
		return x < y
	}
	return bytes.Compare(a.SVM.ID[:], b.SVM.ID[:]) < 0
}

// below is the first in rendezvous order that has room, and goes by loads.
func below(agent uint64, class []discovery.Choice) int {
	best := -1
	for i := range class {
		room := class[i].Agents < class[i].Capacity
		if room && (best < 0 || before(agent, &class[i], &class[best])) {
			best = i
		}
	}
	if best < 0 {
		return first(agent, class)
	}
	return best
}

type policy func(agent uint64, class []discovery.Choice) int

func (p policy) Pick(agent uint64, class []discovery.Choice) int { return p(agent, class) }

func TestGoodPoliciesPass(t *testing.T) {
	t.Run("first", func(t *testing.T) { Run(t, policy(first)) })
	t.Run("below", func(t *testing.T) { Run(t, policy(below)) })
}

// A policy that breaks a law is caught by the check of that law, and named by it.
func TestEachLawIsHeld(t *testing.T) {
	var calls atomic.Int64
	var kept []discovery.Choice
	var keptPick int
	var mu sync.Mutex
	seen := map[uint64]int{}
	scratch := make([]uint64, largest)
	broken := []struct {
		name, law string
		policy    policy
	}{
		{"past the end", "position is in the class", func(agent uint64, class []discovery.Choice) int {
			return int(agent % uint64(len(class)+1))
		}},
		{"nobody has room", "position is in the class", func(agent uint64, class []discovery.Choice) int {
			if i := below(agent, class); class[i].Agents < class[i].Capacity {
				return i
			}
			return -1
		}},
		{"panics where SVMs are many", "position is in the class", func(_ uint64, class []discovery.Choice) int {
			var order [100]int
			for i := range class {
				order[i] = i
			}
			return order[0]
		}},
		{"in turn", "same arguments give the same pick", func(_ uint64, class []discovery.Choice) int {
			return int(calls.Add(1) % int64(len(class)))
		}},
		{"at random", "same arguments give the same pick", func(_ uint64, class []discovery.Choice) int {
			return rand.IntN(len(class))
		}},
		{"by the hour", "clock does not matter", func(agent uint64, class []discovery.Choice) int {
			return first(agent^uint64(time.Now().Unix()/3600), class)
		}},
		{"by position", "order does not matter", func(agent uint64, class []discovery.Choice) int {
			return int(agent % uint64(len(class)))
		}},
		{"least loaded, of equals the first", "order does not matter", func(_ uint64, class []discovery.Choice) int {
			best := 0
			for i := range class {
				if class[i].Agents < class[best].Agents {
					best = i
				}
			}
			return best
		}},
		{"modulo the number of SVMs", "others can leave", func(agent uint64, class []discovery.Choice) int {
			return first(agent^uint64(len(class)), class)
		}},
		{"scribbles", "class is left alone", func(agent uint64, class []discovery.Choice) int {
			i := first(agent, class)
			class[i].Agents++
			return i
		}},
		{"scribbles on an SVM", "class is left alone", func(agent uint64, class []discovery.Choice) int {
			i := first(agent, class)
			class[i].SVM.ConnectedAgents++
			return i
		}},
		{"remembers a class by where it is", "class is left alone", func(agent uint64, class []discovery.Choice) int {
			if len(kept) > 0 && &kept[0] == &class[0] && keptPick < len(class) {
				return keptPick
			}
			kept, keptPick = class, first(agent, class)
			return keptPick
		}},
		{"makes a list", "nothing is allocated", func(agent uint64, class []discovery.Choice) int {
			list := append([]discovery.Choice(nil), class...)
			return first(agent, list)
		}},
		{"allocates now and then", "nothing is allocated", func(agent uint64, class []discovery.Choice) int {
			if agent%64 == 0 {
				runtime.KeepAlive(make([]byte, len(class)))
			}
			return first(agent, class)
		}},
		{"shares what it writes", "goroutines do not matter", func(agent uint64, class []discovery.Choice) int {
			mu.Lock() // no race, and wrong all the same
			for i := range class {
				scratch[i] = class[i].Cost(agent)
			}
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			best := 0
			for i := range class {
				if scratch[i] < scratch[best] {
					best = i
				}
			}
			return best
		}},
		{"keeps agents where they were", "others can leave", func(agent uint64, class []discovery.Choice) int {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := seen[agent]; !ok {
				seen[agent] = first(agent, class)
			}
			return min(seen[agent], len(class)-1)
		}},
	}
	caught := map[string]bool{}
	for _, b := range broken {
		caught[b.law] = true
		t.Run(b.name, func(t *testing.T) {
			for _, law := range laws {
				if law.name != b.law {
					continue
				}
				err := law.check(t, b.policy)
				if err == nil {
					t.Fatalf("nothing is found against it by %q", law.name)
				}
				t.Log(err)
			}
		})
	}
	if len(caught) != len(laws) {
		t.Errorf("policies break %d laws, want each of %d broken by one", len(caught), len(laws))
	}
}

// An SVM of three times the capacity has three times as many agents' least cost.
func TestCostGoesByCapacity(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 0))
	class := newClass(r)[:2:2]
	class[0].Capacity, class[1].Capacity = 1000, 3000
	n := 0
	for range 40_000 {
		n += first(r.Uint64(), class)
	}
	if n < 29_500 || n > 30_500 {
		t.Errorf("of 40000 agents %d have the SVM of three times the capacity first, want about 30000", n)
	}
}
