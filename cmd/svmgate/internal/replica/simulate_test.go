package replica

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
	"github.com/svmgate/svmgate/store"
)

var (
	firstSeed = flag.Uint64("simulate.seed", 1, "the first seed that TestSimulate tries")
	seeds     = flag.Uint64("simulate.seeds", 15, "how many seeds it tries; at most 4 with -short")
)

// TestSimulate lets gateways' tables meet on a network with faults, while tenants, VMs
// and SVMs come and go. A deactivation, and an unregistration, holds against whatever
// had not seen it, at any moment; and when all is quiet every table has what must have
// come of all that was acknowledged.
func TestSimulate(t *testing.T) {
	if testing.Short() {
		*seeds = min(*seeds, 4)
	}
	asked, conflicts := 0, map[store.ConflictType]int{}
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := &simulation{
				chance: rand.New(rand.NewPCG(seed, 0)), carried: map[state]store.Version{},
				acts: map[store.Key][]act{}, newest: map[store.Key]store.Record{},
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("once more: go test ./cmd/svmgate/internal/replica -run TestSimulate -simulate.seed %d -simulate.seeds 1 -count 20 -failfast", seed)
				}
			})
			synctest.Test(t, func(t *testing.T) { s.run(t, seed) })
			asked += s.asked
			for _, c := range s.conflicts {
				conflicts[c.Type]++
			}
		})
	}
	t.Logf("%d answers for tenants that had to be inactive; conflicts: %v", asked, conflicts)
	if *seeds >= 4 && (asked == 0 || len(conflicts) != 2) {
		t.Error("the seeds try too little")
	}
}

// Few, so that changes meet.
const tenants, vms, svms = 4, 8, 3

// A simulation knows what gateways acknowledged, and what each had seen by then.
type simulation struct {
	t      *testing.T
	chance *rand.Rand

	mu        sync.Mutex // held while a table changes, so that what follows fits it
	carried   map[state]store.Version
	acts      map[store.Key][]act // of activations and VMs
	newest    map[store.Key]store.Record
	conflicts []store.Conflict
	asked     int
}

// step lets one thing happen at a gateway.
func (s *simulation) step(w *clustertest.World[*gateway], i int) {
	n := s.chance.IntN(100)
	switch g, running := w.Table(i); {
	case n < 3:
		names := w.Names(0, w.Len())
		s.chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		cut := 1 + s.chance.IntN(len(names)-1)
		w.Logf("%v and %v are cut off from each other", names[:cut], names[cut:])
		w.Partition(names[:cut], names[cut:])
	case n < 5:
		w.Logf("all ways are open")
		w.Heal()
	case n < 7 && running:
		w.Logf("n%d crashes", i)
		w.Crash(i)
	case !running && n < 40:
		w.Logf("n%d starts", i)
		w.Start(i)
	case running && n < 30:
		g.ask()
	case running:
		g.change(s.anyChange())
	}
}

// anyChange is what an administrator may want.
func (s *simulation) anyChange() func(*store.Tx) error {
	id, bios, svm := store.TenantID{byte(1 + s.chance.IntN(tenants))}, store.BIOSID{byte(1 + s.chance.IntN(vms))}, store.SVMID{byte(2 + s.chance.IntN(svms))}
	n, text := s.chance.IntN(100), fmt.Sprintf("%x", s.chance.Uint32())
	return func(tx *store.Tx) (err error) {
		_, has := tx.Tenant(id)
		switch {
		case n < 3 && has:
			_, err = tx.DeleteTenant(id)
		case n < 15 || !has:
			_, err = tx.PutTenant(store.Tenant{ID: id, Name: fmt.Sprint("tenant-", id[0]), Description: text, Discovery: store.DefaultDiscovery()})
		case n < 50:
			_, err = tx.SetActive(id, n < 32)
		case n < 75:
			err = tx.RegisterVM(store.VM{BIOS: bios, Tenant: id, Name: "vm-" + text})
		case n < 85:
			_, err = tx.DeleteVM(bios)
		case n < 95:
			_, err = tx.ConfigureSVM(svm, aSVM(text), store.Ready)
		default:
			_, err = tx.DeleteSVM(svm)
		}
		return err
	}
}

func aSVM(name string) store.SVMConfig {
	return store.SVMConfig{Name: name, Address: "10.0.0.1", Pinned: true}
}

func (s *simulation) run(t *testing.T, seed uint64) {
	s.t = t
	bad := s.chance.Float64()
	w := clustertest.NewWorld(t, clustertest.Options[*gateway]{
		Seed: seed, Nodes: 3 + s.chance.IntN(3), Table: s.open,
		Faults: clustertest.Faults{Loss: bad / 5, Duplicate: bad / 10, Delay: 2 * time.Millisecond, Jitter: time.Duration(bad * 2e8)},
		Config: func(c *cluster.Config) { c.Fleeting = fleeting },
	})
	first, _ := w.Table(0)
	first.change(func(tx *store.Tx) error {
		_, err := tx.ConfigureSVM(store.SVMID{1}, aSVM("always"), store.Ready)
		return err
	})
	for i := range w.Len() {
		w.Wall(i).Set(time.Duration((s.chance.Float64() - 0.5) * 4e9))
	}
	for range 400 {
		time.Sleep(time.Duration(s.chance.ExpFloat64() * 1e8))
		s.step(w, s.chance.IntN(w.Len()))
	}
	w.Logf("all is well")
	w.Heal()
	w.SetFaults(clustertest.Faults{Delay: time.Millisecond})
	for i := range w.Len() {
		w.Start(i)
	}
	w.Settle(time.Minute)
	time.Sleep(15 * time.Second) // whatever still comes must change nothing
	if !w.Equal() {
		t.Errorf("tables were equal, and are not any more:\n%s", w.Describe())
	}
	for i := range w.Len() {
		g, _ := w.Table(i)
		g.ask()
		g.mustHaveAll(fmt.Sprint("n", i))
	}
}
