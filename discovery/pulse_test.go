package discovery_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Questions, changes, pulses and what others tell meet in a ledger at any time.
func TestLedgerIsSharedSafely(t *testing.T) {
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	sel, err := discovery.New(discovery.Config{
		Table: table, Node: "own", Gateways: func() int { return 3 }, Tell: func(uint64, []discovery.Sighting) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sel.Close()
	ids := []store.SVMID{{1}, {2}, {3}}
	put := func(i int) {
		err := table.Update(func(tx *store.Tx) error {
			for n, id := range ids {
				if _, err := tx.PutSVM(store.SVM{ID: id, SVMConfig: store.SVMConfig{
					Address: "10.0.0.1", HardCap: (i + n) % 3 * 1000, Tenants: []store.TenantID{{byte(i%2 + 1)}},
				}, ConnectedAgents: i}); err != nil {
					return err
				}
			}
			_, err := tx.PutVM(store.VM{BIOS: store.BIOSID{byte(i + 1)}})
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	put(0)
	var work sync.WaitGroup
	for _, do := range []func(i int){
		put,
		func(i int) {
			q, a := discovery.Query{BIOS: store.BIOSID{byte(i%16 + 1)}}, discovery.Answer{}
			sel.Select(&q, &a)
			sel.Reserve(ids[i%3])
			sel.Blame(ids[i%3], uint64(i)<<58)
		},
		func(i int) {
			sel.Hear("peer", uint64(i/50), []discovery.Sighting{{SVM: ids[i%3], Picks: int32(i), Suspect: i%5 == 0}})
		},
		func(i int) { sel.Suspect(ids[i%3], i%2 == 0); sel.Standing(ids[i%3]) },
		func(int) { sel.Wait() },
	} {
		work.Go(func() {
			for i := range 200 {
				do(i)
			}
		})
	}
	work.Wait()
}

// BenchmarkPulse is what a pulse costs when a tenth of a percent of the SVMs have changed,
// as with 33,333 questions a second of agents that all stay; when every SVM was picked
// since the last one; and with a telling.
func BenchmarkPulse(b *testing.B) {
	for _, svms := range []int{4680, 65536} {
		if testing.Short() {
			svms /= 16
		}
		table, ids := benchTable(b, svms)
		told := 0
		sel, err := discovery.New(discovery.Config{
			Table: table, Node: "own", Gateways: func() int { return 3 },
			Tell: func(_ uint64, list []discovery.Sighting) { told += len(list) },
		})
		if err != nil {
			b.Fatal(err)
		}
		sel.StopBuilding()
		for what, step := range map[string]int{"few": 1000, "all": 1} {
			b.Run(fmt.Sprintf("svms=%d/picked=%s", svms, what), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					for i := 0; i < svms; i += step {
						table.Pick(i, 1)
					}
					b.StartTimer()
					sel.Beat()
				}
			})
		}
		list := make([]discovery.Sighting, svms)
		b.Run(fmt.Sprintf("svms=%d/hear", svms), func(b *testing.B) {
			n := int32(0)
			for b.Loop() {
				n++
				for i := range list {
					list[i] = discovery.Sighting{SVM: ids[i], Picks: n}
				}
				sel.Hear("peer", uint64(time.Now().UnixNano()), list)
			}
		})
		sel.Close()
		table.Close()
	}
}

func benchTable(b *testing.B, svms int) (*store.Table, []store.SVMID) {
	b.Helper()
	table, err := store.Open(store.Config{})
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]store.SVMID, svms)
	err = table.Update(func(tx *store.Tx) error {
		for i := range ids {
			binary.BigEndian.PutUint64(ids[i][:], uint64(i+1))
			if _, err := tx.PutSVM(store.SVM{ID: ids[i], SVMConfig: store.SVMConfig{
				Address: "10.0.0.1", HardCap: i % 2 * 1000000,
			}, ConnectedAgents: 100}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return table, ids
}
