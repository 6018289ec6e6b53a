// Command policy is a rule of your own for where agents go: power of two choices. Of
// the two SVMs that come first in an agent's own order it takes the one with fewer
// agents for its capacity. The program sends twenty thousand agents to eight SVMs by
// that rule, by order alone, and by the rule that is built in, and prints the loads.
// Run it with
//
//	go run ./examples/policy
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// TwoChoices is the less loaded of two (Mitzenmacher, "The Power of Two Choices in
// Randomized Load Balancing", 2001). Its two are the first of the agent's rendezvous
// order, so that an agent that comes back finds the same two, and an SVM that is lost
// is missed by those alone who had it among theirs.
type TwoChoices struct{}

// Pick implements [discovery.Policy].
func (TwoChoices) Pick(agent uint64, class []discovery.Choice) int {
	first := byOrder(agent, class, -1)
	if len(class) == 1 {
		return first
	}
	second := byOrder(agent, class, first)
	a, b := &class[first], &class[second]
	if b.Agents*a.Capacity < a.Agents*b.Capacity { // of equals the first
		return second
	}
	return first
}

// ByOrder goes by the agent's order alone, whatever the loads: what two choices are to
// be measured by.
type ByOrder struct{}

// Pick implements [discovery.Policy].
func (ByOrder) Pick(agent uint64, class []discovery.Choice) int { return byOrder(agent, class, -1) }

// byOrder returns the first in the agent's order but for one.
func byOrder(agent uint64, class []discovery.Choice, except int) int {
	best := -1
	var least uint64
	for i := range class {
		if i == except {
			continue
		}
		cost := class[i].Cost(agent)
		if best < 0 || cost < least || cost == least && bytes.Compare(class[i].SVM.ID[:], class[best].SVM.ID[:]) < 0 {
			best, least = i, cost
		}
	}
	return best
}

const agents = 20_000

func main() {
	fmt.Println("agents for 1000 of capacity; 2000 are fair")
	for _, rule := range []struct {
		name   string
		policy discovery.Policy
	}{
		{"by order", ByOrder{}},
		{"two choices", TwoChoices{}},
		{"built in", nil},
	} {
		fmt.Printf("%-12s %v\n", rule.name, loads(rule.policy))
	}
}

// loads sends all agents to an SVM each, and returns what the SVMs have then, for 1000
// of their capacity. The last two are twice as large as the others.
func loads(policy discovery.Policy) []int {
	table, err := store.Open(store.Config{})
	check(err)
	defer table.Close()
	check(table.Update(func(tx *store.Tx) error {
		for i := range 8 {
			svm := store.SVM{ID: store.SVMID{15: byte(i + 1)}}
			svm.Address, svm.Pinned, svm.Capacity = fmt.Sprintf("10.9.0.%d", i+1), true, 1000
			if i >= 6 {
				svm.Capacity = 2000
			}
			if _, err := tx.PutSVM(svm); err != nil {
				return err
			}
		}
		for i := range agents {
			if _, err := tx.PutVM(store.VM{BIOS: bios(i)}); err != nil {
				return err
			}
		}
		return nil
	}))
	selector, err := discovery.New(discovery.Config{Table: table, Policy: policy})
	check(err)
	defer selector.Close()
	out := make([]int, 8)
	for i := range agents {
		var answer discovery.Answer
		selector.Select(&discovery.Query{BIOS: bios(i)}, &answer)
		if i%100 == 0 {
			selector.Wait() // in life agents come over minutes, and the built-in rule looks ten times a second
		}
		out[answer.SVMs()[0].SVM.ID[15]-1]++
	}
	out[6], out[7] = out[6]/2, out[7]/2
	return out
}

func bios(i int) (id store.BIOSID) {
	binary.BigEndian.PutUint64(id[8:], uint64(i+1))
	return id
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
