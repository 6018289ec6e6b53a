package sim

import (
	"math"
	"slices"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/discovery/policytest"
)

// class is SVMs of capacities 1, 4 and 16 in turn; every one has reported the agents
// that reported says.
func class(n int, reported func(i int) int) (list []discovery.Choice) {
	for i := range n {
		list = append(list, discovery.Choice{Hash: mix(uint64(i)), Capacity: []int{1, 4, 16}[i%3], Reported: reported(i)})
	}
	return list
}

// TestPoliciesShareByCapacity shows that what ours is compared with is not handicapped:
// while nothing is known of loads, SVMs get agents in proportion to their capacity.
func TestPoliciesShareByCapacity(t *testing.T) {
	const agents = 40_000
	idle := class(12, func(int) int { return 0 })
	for _, p := range []Policy{Plain, Two, Random} {
		got := map[int]int{}
		pick := p.Pick()
		for agent := range uint64(agents) {
			got[idle[pick.Pick(mix(agent), idle)].Capacity]++
		}
		for _, capacity := range []int{1, 4, 16} {
			want := agents * capacity / 21
			if math.Abs(float64(got[capacity]-want)) > 5*math.Sqrt(float64(want)) {
				t.Errorf("%s: %d agents for capacity %d, want about %d", p.Name, got[capacity], capacity, want)
			}
		}
	}
}

// TestPoliciesGoByReports shows which of them look at loads, and that these take the
// lesser one.
func TestPoliciesGoByReports(t *testing.T) {
	one := class(30, func(i int) int { return 1000 * (1 - i/29) }) // all are busy but the last
	if got := Stale.Pick().Pick(7, one); got != 29 {
		t.Errorf("the vendor's rule picks SVM %d, want the only idle one, 29", got)
	}
	better, busy := 0, class(3, func(i int) int { return []int{10, 10, 160}[i] }) // the second has the least for its capacity
	for agent := range uint64(1000) {
		first, second := firstTwo(mix(agent), busy)
		pick := twoChoices{}.Pick(mix(agent), busy)
		if pick != first && pick != second {
			t.Fatalf("two choices picks %d, which is not among the agent's first two, %d and %d", pick, first, second)
		}
		if slices.Contains([]int{first, second}, 1) {
			better++
			if pick != 1 {
				t.Errorf("two choices picks %d of %d and %d, want 1", pick, first, second)
			}
		}
	}
	if better == 0 {
		t.Error("no agent had the less loaded SVM among its first two")
	}
}

// TestRendezvousKeepsTheLaws holds the policy that is one to the laws; random breaks them
// on purpose, and the others go by loads.
func TestRendezvousKeepsTheLaws(t *testing.T) { policytest.Run(t, Plain.Pick()) }
