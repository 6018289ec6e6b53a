package discovery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// Whatever changes, the candidate sets that stand are those that would be built anew; and a
// change of facts takes hardly any away.
func TestSetsFollowFacts(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newPatchWorld(t, rand.New(rand.NewPCG(seed, 7)))
			kept, dropped := 0, 0
			for range 120 {
				w.ask(12)
				before := w.sel.Stats().Sets
				came := w.chance.IntN(40) == 0
				w.change(came)
				after := w.check()
				w.compareDecisions(10)
				if !came {
					kept, dropped = kept+after, dropped+before-after
				}
			}
			if dropped*20 > kept || kept == 0 {
				t.Errorf("%d sets were taken away by changes of facts, and %d were not", dropped, kept)
			}
			if w.loose == 0 {
				t.Error("no large class was met of which members had left")
			}
		})
	}
}

type patchWorld struct {
	t      *testing.T
	chance *rand.Rand
	table  *store.Table
	sel    *Selector
	svms   []store.SVM
	agents []store.BIOSID

	loose int // large classes that were met of which members had left
}

func newPatchWorld(t *testing.T, chance *rand.Rand) *patchWorld {
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := New(Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sel.Close)
	w := &patchWorld{t: t, chance: chance, table: table, sel: sel}
	for i := range 160 {
		w.svms = append(w.svms, store.SVM{ID: store.SVMID{byte(i), 1}, SVMConfig: store.SVMConfig{Address: "10.0.0.1", Pinned: true, Capacity: 100}})
		w.facts(&w.svms[i])
	}
	w.update(func(tx *store.Tx) error {
		for i := range 6 {
			d := store.DefaultDiscovery()
			d.Tag, d.Protection = []string{"", "", "a", "b"}[chance.IntN(4)], i%2 == 0
			if _, err := tx.PutTenant(store.Tenant{ID: store.TenantID{byte(i), 1}, Name: fmt.Sprint(i), Type: store.Simple, Discovery: d}); err != nil {
				return err
			}
			for j := range 20 {
				vm := store.VM{BIOS: store.BIOSID{byte(i), byte(j), 1}, Tenant: store.TenantID{byte(i), 1}, Path: store.Path{Host: fmt.Sprint("h", j%8)}}
				w.agents = append(w.agents, vm.BIOS)
				if _, err := tx.PutVM(vm); err != nil {
					return err
				}
			}
		}
		for i := range w.svms {
			if _, err := tx.PutSVM(w.svms[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

func (w *patchWorld) update(fn func(*store.Tx) error) {
	w.t.Helper()
	if err := w.table.Update(fn); err != nil {
		w.t.Fatal(err)
	}
}

// facts gives an SVM other facts, mostly such that most classes are large.
func (w *patchWorld) facts(s *store.SVM) {
	rare := func() bool { return w.chance.IntN(8) == 0 }
	s.Encryption, s.AllowUnprotected = w.chance.IntN(3) > 0, !rare()
	s.SVMFacts.Version = []string{"6.0", "6.0", "6.0", "5.2"}[w.chance.IntN(4)]
	s.License = store.License{State: store.LicenseValid}
	if rare() {
		s.License.Key = store.KeyServer
	}
	s.SVMFacts.Path.Host = fmt.Sprint("h", w.chance.IntN(8))
	s.Tags, s.Tenants, s.LargeInfra = nil, nil, rare()
	if rare() {
		s.Tags = []string{[]string{"a", "b", "c"}[w.chance.IntN(3)]}
	}
	if rare() {
		s.Tenants = []store.TenantID{{byte(w.chance.IntN(6)), 1}}
	}
}

// change changes the facts of one SVM or a few, if came also which there are and their weights.
func (w *patchWorld) change(came bool) {
	w.update(func(tx *store.Tx) error {
		for range 1 + w.chance.IntN(3) {
			s := &w.svms[w.chance.IntN(len(w.svms))]
			w.facts(s)
			if came && w.chance.IntN(2) == 0 {
				if _, err := tx.DeleteSVM(s.ID); err != nil {
					return err
				}
				continue
			}
			if came {
				s.Capacity = 50 + w.chance.IntN(100)
			}
			if _, err := tx.PutSVM(*s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *patchWorld) question() Query {
	return Query{
		BIOS: w.agents[w.chance.IntN(len(w.agents))], OS: store.GuestOS(w.chance.IntN(3)), Kind: store.AgentKind(w.chance.IntN(3)),
		Version: store.ProductVersion{Major: 6}, Limit: MaxLimit,
	}
}

func (w *patchWorld) ask(n int) {
	var a Answer
	for range n {
		q := w.question()
		w.sel.Select(&q, &a)
	}
	w.sel.Wait()
}

// compareDecisions holds answers from the sets that stand to explanations, which look at
// all SVMs.
func (w *patchWorld) compareDecisions(n int) {
	for range n {
		q := w.question()
		var a Answer
		w.sel.Decide(&q, &a)
		want := w.sel.Explain(&q).Candidates
		for i, p := range a.SVMs() {
			if p.SVM.ID != want[i].ID {
				w.t.Fatalf("number %d of the answer to %+v is %v, want %v", i, q, p.SVM.ID, want[i].ID)
			}
		}
	}
}

// check compares the sets that stand with what would be built, and returns how many do.
func (w *patchWorld) check() int {
	c := w.sel.catalog.Load()
	sets := c.sets.Load()
	count, bytes, rings := 0, 0, map[*ring]bool{}
	for _, s := range sets.slots {
		if s.set == nil {
			continue
		}
		count++
		bytes += s.set.bytes
		for i := range s.set.classes {
			if l := s.set.classes[i].large; l != nil && !rings[l.ring] {
				rings[l.ring] = true
				bytes += l.bytes()
			}
		}
		if sets.find(s.key) != s.set {
			w.t.Fatalf("the set of %+v is not found", s.key)
		}
		want := c.buildSet(s.key, nil)
		for i := range want.classes {
			w.compare(&s.set.classes[i], &want.classes[i])
		}
	}
	if sets.count != count || sets.bytes != bytes {
		w.t.Fatalf("%d sets of %d bytes are counted, and there are %d of %d", sets.count, sets.bytes, count, bytes)
	}
	return count
}

// trimmed is a list of bits without words that have none at its end.
func trimmed(list []uint64) []uint64 {
	for len(list) > 0 && list[len(list)-1] == 0 {
		list = list[:len(list)-1]
	}
	return list
}

func (w *patchWorld) compare(got, want *group) {
	if !slices.Equal(got.members, want.members) || !slices.Equal(got.hashes, want.hashes) || got.floor != want.floor ||
		(got.large == nil) != (want.large == nil) {
		w.t.Fatalf("a class has members %v, want %v", got.members, want.members)
	}
	if got.large == nil {
		return
	}
	if !slices.Equal(trimmed(got.large.indexes), want.large.indexes) {
		w.t.Fatalf("a large class has members %x, want %x", got.large.indexes, want.large.indexes)
	}
	if !got.large.all {
		w.loose++
	}
	for slot := range circleSlots {
		own := got.large.ownersOf(slot)
		if !got.large.all {
			own = slices.DeleteFunc(slices.Clone(own), func(i uint16) bool { return !got.large.has(uint32(i)) })
		}
		if !slices.Equal(own, want.large.ownersOf(slot)) {
			w.t.Fatalf("slot %d has owners %v, want %v", slot, own, want.large.ownersOf(slot))
		}
	}
}

// An SVM that is back in a class, and has another capacity than when it left, has other slots.
func TestSlotsFollowCapacity(t *testing.T) {
	w := newPatchWorld(t, rand.New(rand.NewPCG(1, 1)))
	w.plain()
	x := &w.svms[7]
	for _, change := range []func(){
		func() {},
		func() { x.Tags = []string{"a"} },
		func() { x.Capacity = 50 },
		func() { x.Tags = nil },
	} {
		change()
		w.put(w.svms[7:8])
		w.ask(40)
		w.check()
	}
}

// Kinds of agents for whom there are the same SVMs have a set each, and all share a ring.
func TestKindsShareARing(t *testing.T) {
	w := newPatchWorld(t, rand.New(rand.NewPCG(1, 1)))
	w.plain()
	for i := range 80 {
		w.svms[i].Tags = []string{"a"}
	}
	w.put(w.svms[:80])
	for range 3 {
		w.ask(100)
		w.check()
	}
	if sets := w.sel.catalog.Load().sets.Load(); sets.count < 20 || len(sets.rings) != 2 {
		t.Errorf("%d sets have %d rings, want 2", sets.count, len(sets.rings))
	}
}

// plain makes all SVMs alike.
func (w *patchWorld) plain() {
	for i := range w.svms {
		s := &w.svms[i]
		s.Tags, s.Tenants, s.LargeInfra, s.Encryption = nil, nil, false, false
		s.SVMFacts = store.SVMFacts{Version: "6.0"}
	}
	w.put(w.svms)
}

func (w *patchWorld) put(svms []store.SVM) {
	w.update(func(tx *store.Tx) error {
		for _, s := range svms {
			if _, err := tx.PutSVM(s); err != nil {
				return err
			}
		}
		return nil
	})
}
