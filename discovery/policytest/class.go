package policytest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// count is the number of questions of a check; a power of two.
const count = 256

// largest is the number of SVMs of the largest class.
const largest = 500

// A question is what a policy is asked, and the seed that it was made from.
type question struct {
	seed  uint64
	agent uint64
	class []discovery.Choice
}

// String names the question well enough to find it in a debugger, and shows a small
// class whole.
func (q *question) String() string {
	text := fmt.Sprintf("question %d: agent %#x, %d SVMs", q.seed, q.agent, len(q.class))
	if len(q.class) > 4 {
		return text
	}
	for _, c := range q.class {
		text += fmt.Sprintf(" (%v capacity %d agents %d)", c.SVM.ID, c.Capacity, c.Agents)
	}
	return text
}

// questions returns those of all seeds, with the loads that a function gives.
func questions(loads func(*rand.Rand, []discovery.Choice)) []question {
	qs := make([]question, count)
	for seed := range uint64(count) {
		r := rand.New(rand.NewPCG(1, seed))
		class := newClass(r)
		loads(r, class)
		qs[seed] = question{seed: seed, agent: r.Uint64(), class: class}
	}
	return qs
}

func newClass(r *rand.Rand) []discovery.Choice {
	size := 1 + r.IntN(12)
	switch r.IntN(8) {
	case 0:
		size = 1 + r.IntN(largest)
	case 1, 2:
		size = 1 + r.IntN(64)
	}
	class := make([]discovery.Choice, size)
	capacity := pick(r, nil, []int{1000}, []int{500, 1000, 2000}, []int{1, 7, 100_000})
	for i := range class {
		c := &class[i]
		c.SVM = new(store.SVM)
		for j := range c.SVM.ID {
			c.SVM.ID[j] = byte(r.Uint32())
		}
		c.SVM.Name, c.SVM.Address = fmt.Sprintf("svm-%d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250)
		c.Hash = xxhash.Sum64(c.SVM.ID[:])
		if c.Capacity = 1 + r.IntN(5000); capacity != nil {
			c.Capacity = capacity[r.IntN(len(capacity))]
		}
		c.SVM.Capacity = c.Capacity
	}
	return class
}

// mixed gives loads of every kind: none, about what the capacity is, and some that
// only a fault would explain.
func mixed(r *rand.Rand, class []discovery.Choice) {
	kind := r.IntN(4)
	for i := range class {
		c := &class[i]
		switch kind {
		case 0: // all the same, so that there are ties
			c.Reported = 10
		case 1:
			c.Reported = r.IntN(c.Capacity + 1)
		case 2:
			c.Reported = r.IntN(3 * c.Capacity)
		default:
			c.Reported = pick(r, 0, 1, c.Capacity, 1<<31-1)
		}
		c.Agents = c.Reported + pick(r, 0, 0, 1, -3, r.IntN(20))
		c.SVM.ConnectedAgents = c.Reported
	}
}

// even gives all the same load for their capacity: none, or a multiple of it.
func even(r *rand.Rand, class []discovery.Choice) {
	times := r.IntN(3)
	for i := range class {
		c := &class[i]
		c.Reported = times * c.Capacity
		c.Agents, c.SVM.ConnectedAgents = c.Reported, c.Reported
	}
}

func pick[T any](r *rand.Rand, vs ...T) T { return vs[r.IntN(len(vs))] }

// deepCopy copies a class and its SVMs.
func deepCopy(class []discovery.Choice) []discovery.Choice {
	out := slices.Clone(class)
	for i := range out {
		svm := *out[i].SVM
		out[i].SVM = &svm
	}
	return out
}
