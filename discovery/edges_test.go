package discovery_test

import (
	"fmt"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Worlds come this close to an edge too seldom to rely on them.

// The law changes where a class becomes large, by its members, whatever their
// state.
func TestClassesAboutToBeLarge(t *testing.T) {
	for n := discovery.SmallClass - 1; n <= discovery.SmallClass+2; n++ {
		t.Run(fmt.Sprintf("svms=%d", n), func(t *testing.T) {
			st := newStage(t, serving, plainSVMs(n)...)
			for _, c := range []change{
				configureSVM(plainSVM(3, 0).id, "down", func(s *svm) { s.written = store.Down }),
				forgetSVM(plainSVM(4, 0).id),
				putSVM(plainSVM(4, 2000)),
				reportSVM(plainSVM(5, 0).id, 0, "unlicensed", func(f *store.SVMFacts) { f.License = store.License{} }),
			} {
				for _, bios := range randomBIOSIDs(100) {
					if why := st.ask(ask{q: discovery.Query{BIOS: bios, Limit: discovery.MaxLimit}}); why != "" {
						t.Fatalf("before %v: %v: %s", c, bios, why)
					}
				}
				st.must(t, c)
			}
		})
	}
}

// Agents may meet an SVM at a slot that it owns twice. It is in the answer once.
func TestSlotOwnedTwice(t *testing.T) {
	const svms = 200
	st := newStage(t, serving, plainSVMs(svms)...)
	twice := map[uint64]bool{}
	for _, s := range st.world.svms {
		owned := map[uint64]bool{}
		for _, slot := range slots(s, st.world.scale()) {
			twice[slot] = twice[slot] || owned[slot]
			owned[slot] = true
		}
	}
	met := 0
	for _, bios := range randomBIOSIDs(20_000) {
		for i := range uint64(100) {
			if !twice[slotOf(xxhash.Sum64(bios[:])^salt, i)] {
				continue
			}
			met++
			if why := st.ask(ask{q: discovery.Query{BIOS: bios, Limit: discovery.MaxLimit}}); why != "" {
				t.Fatalf("%v: %s", bios, why)
			}
		}
	}
	if met == 0 {
		t.Error("no agent met such a slot")
	}
}

// An agent may have the id of an SVM, which is a VM after all: their hashes
// cancel, and the cost is the greatest there is.
func TestAgentWithTheIDOfAnSVM(t *testing.T) {
	for _, n := range []int{5, 100} {
		st := newStage(t, serving, plainSVMs(n)...)
		for i := range n {
			bios := store.BIOSID(plainSVM(i, 0).id)
			if why := st.ask(ask{q: discovery.Query{BIOS: bios, Limit: discovery.MaxLimit}}); why != "" {
				t.Fatalf("%d SVMs, %v: %s", n, bios, why)
			}
		}
	}
}

// With thousands of SVMs most slots have several owners, of which some are of another class
// or down.
func TestCrowdedSlots(t *testing.T) {
	const svms = 4500
	var cs []change
	for i := range svms {
		s := plainSVM(i, []int{1000, 1000, 1000, 1000, 800}[i%5])
		if i%4 == 0 {
			s.facts.License = store.License{}
		}
		if i%9 == 0 {
			s.written = store.Down
		}
		cs = append(cs, putSVM(s))
	}
	st := newStage(t, serving, cs...)
	owners, met := map[uint64]int{}, 0
	for _, s := range st.world.svms {
		for _, slot := range slots(s, st.world.scale()) {
			owners[slot]++
		}
	}
	for _, bios := range randomBIOSIDs(15) {
		for i := range uint64(20) {
			if owners[slotOf(xxhash.Sum64(bios[:])^salt, i)] > 2 {
				met++
			}
		}
		if why := st.ask(ask{q: discovery.Query{BIOS: bios, Limit: discovery.MaxLimit}}); why != "" {
			t.Fatalf("%v: %s", bios, why)
		}
	}
	if met == 0 {
		t.Error("no agent met such a slot")
	}
}
