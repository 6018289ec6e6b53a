// Package policytest checks that a [discovery.Policy] keeps the laws that are written
// on it. A test of a policy is one line:
//
//	policytest.Run(t, myPolicy{})
//
// The classes that it is asked about are random, but the same in every run: of one SVM
// to some hundreds, of equal and of very different capacities, empty, crowded, and with
// estimates below zero, as they may be for a moment.
//
// Run under the race detector it finds more: what goroutines share shows there first.
package policytest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
)

// Run checks the laws of policies, each in a subtest of its name. It counts
// allocations, so t must not be parallel.
func Run(t *testing.T, policy discovery.Policy) {
	t.Helper()
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) {
			if err := law.check(t, policy); err != nil {
				t.Error(err)
			}
		})
	}
}

// laws are those on [discovery.Policy]. Each check returns the first breach that it
// finds. The test is there for its bubbles: what it is told is for Run to tell.
var laws = []struct {
	name  string
	check func(*testing.T, discovery.Policy) error
}{
	{"position is in the class", checkRange},
	{"same arguments give the same pick", checkFunction},
	{"clock does not matter", checkClock},
	{"order does not matter", checkOrder},
	{"others can leave", checkLeaving},
	{"class is left alone", checkClass},
	{"nothing is allocated", checkAllocations},
	{"goroutines do not matter", checkGoroutines},
}

// pick asks the policy, and returns a panic and a position out of range as errors.
func (q *question) pick(p discovery.Policy) (i int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v: Pick panics: %v", q, r)
		}
	}()
	if i = p.Pick(q.agent, q.class); i < 0 || i >= len(q.class) {
		return 0, fmt.Errorf("%v: Pick = %d, want a position from 0 to %d", q, i, len(q.class)-1)
	}
	return i, nil
}

// picks asks all the questions, in the order of their positions in order.
func picks(p discovery.Policy, qs []question, order []int) ([]int, error) {
	out := make([]int, len(qs))
	for _, n := range order {
		var err error
		if out[n], err = qs[n].pick(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func checkRange(_ *testing.T, p discovery.Policy) error {
	_, err := picks(p, questions(mixed), upTo(count))
	return err
}

// checkFunction asks everything twice, the second time in another order: a policy that
// counts its calls, draws numbers or remembers agents comes to other picks.
func checkFunction(_ *testing.T, p discovery.Policy) error {
	return same(p, questions(mixed), func() error { return nil }, "before other questions, and")
}

// same asks qs, does what happens meanwhile, and asks them again.
func same(p discovery.Policy, qs []question, meanwhile func() error, when string) error {
	first, err := picks(p, qs, upTo(len(qs)))
	if err = errors.Join(err, meanwhile()); err != nil {
		return err
	}
	order := upTo(len(qs))
	rand.New(rand.NewPCG(2, 0)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	again, err := picks(p, qs, order)
	if err != nil {
		return err
	}
	for n := range qs {
		if first[n] != again[n] {
			return fmt.Errorf("%v: Pick = %d %s %d", &qs[n], first[n], when, again[n])
		}
	}
	return nil
}

// checkClock lets two days pass, in a bubble.
func checkClock(t *testing.T, p discovery.Policy) (err error) {
	synctest.Test(t, func(*testing.T) {
		for _, d := range []time.Duration{time.Millisecond, time.Second, time.Minute, 47 * time.Hour} {
			err = errors.Join(err, same(p, questions(mixed)[:count/4], func() error { time.Sleep(d); return nil },
				fmt.Sprintf("at first, and %v later", d)))
		}
	})
	return err
}

func checkOrder(_ *testing.T, p discovery.Policy) error {
	r := rand.New(rand.NewPCG(3, 0))
	for _, q := range questions(mixed) {
		at, err := q.pick(p)
		if err != nil {
			return err
		}
		other := q
		other.class = slices.Clone(q.class)
		for range 4 {
			r.Shuffle(len(other.class), func(i, j int) { other.class[i], other.class[j] = other.class[j], other.class[i] })
			i, err := other.pick(p)
			if err != nil {
				return err
			}
			if got, want := other.class[i].SVM.ID, q.class[at].SVM.ID; got != want {
				return fmt.Errorf("%v: Pick takes %v, and in another order of the class %v", &q, want, got)
			}
		}
	}
	return nil
}

// checkLeaving takes SVMs away that were not picked. Their loads are far from every
// bound: all have the same for their capacity.
func checkLeaving(_ *testing.T, p discovery.Policy) error {
	r := rand.New(rand.NewPCG(4, 0))
	for _, q := range questions(even) {
		at, err := q.pick(p)
		if err != nil {
			return err
		}
		for range min(16, len(q.class)-1) {
			gone := (at + 1 + r.IntN(len(q.class)-1)) % len(q.class)
			less := question{seed: q.seed, agent: q.agent, class: slices.Delete(slices.Clone(q.class), gone, gone+1)}
			i, err := less.pick(p)
			if err != nil {
				return err
			}
			if got, want := less.class[i].SVM.ID, q.class[at].SVM.ID; got != want {
				return fmt.Errorf("%v: Pick takes %v, and once %v has left %v", &q, want, q.class[gone].SVM.ID, got)
			}
		}
	}
	return nil
}

// checkClass puts one class after the other into the same memory: the policy must not
// have changed one, and must not go by one that it has kept.
func checkClass(_ *testing.T, p discovery.Policy) error {
	qs := questions(mixed)
	memory, got := make([]discovery.Choice, largest), make([]int, len(qs))
	for n, q := range qs {
		copied := deepCopy(q.class)
		q.class = append(memory[:0], q.class...)
		var err error
		if got[n], err = q.pick(p); err != nil {
			return err
		}
		if !reflect.DeepEqual(q.class, copied) {
			return fmt.Errorf("%v: Pick changes the class", &q)
		}
	}
	for n := range qs {
		if want, err := qs[n].pick(p); err != nil {
			return err
		} else if got[n] != want {
			return fmt.Errorf("%v: Pick = %d, and %d where another class was before", &qs[n], want, got[n])
		}
	}
	return nil
}

func checkAllocations(_ *testing.T, p discovery.Policy) error {
	qs := questions(mixed)
	if _, err := picks(p, qs, upTo(len(qs))); err != nil {
		return err
	}
	if n := testing.AllocsPerRun(3, func() {
		for i := range qs {
			p.Pick(qs[i].agent, qs[i].class)
		}
	}); n != 0 {
		return fmt.Errorf("Pick allocates %v times in %d calls, want 0", n, len(qs))
	}
	return nil
}

// checkGoroutines asks from many goroutines at once, each in an order of its own.
func checkGoroutines(_ *testing.T, p discovery.Policy) error {
	qs := questions(mixed)
	want, err := picks(p, qs, upTo(len(qs)))
	if err != nil {
		return err
	}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for g := range errs {
		wg.Go(func() {
			for i := range qs {
				n := i * (2*g + 1) % len(qs) // each once: their number is a power of two
				if got, err := qs[n].pick(p); err != nil {
					errs[g] = err
				} else if got != want[n] {
					errs[g] = fmt.Errorf("%v: Pick = %d, and %d while others pick", &qs[n], want[n], got)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
