package bench

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// What changes in a second of BenchmarkChurn: 10,000 records.
const (
	churnMoves   = 8900 // VMs that are on another host
	churnVMs     = 1000 // VMs that are registered, or deleted
	churnReports = 100  // reports of SVMs: more of them, and with other loads, than 4,000 SVMs make
	churnTicks   = 100  // changes of the table in which these come
)

// BenchmarkChurn compares what all processors decide while the table changes with what
// they decide while it does not: for half a second each, in turn. The changes are made
// by the same processors. "kept" is the median of the ratios. Of the reports, as many as
// facts says tell of another fact: such a change has the candidate sets that the SVM is in
// made from those before.
func BenchmarkChurn(b *testing.B) {
	v := mustBuild(b, hostWorld)
	q := discovery.Query{Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
	ids := v.questions(everyTenant)
	s := v.selector(b, q, ids)
	var a discovery.Answer
	for i := range ids { // every agent has an SVM before the first is timed
		q.BIOS = ids[i]
		s.Select(&q, &a)
	}
	for _, facts := range []int{0, 1, churnReports} {
		name := fmt.Sprintf("updates=%d/facts=%d/vms=%d/tenants=%d/svms=%d", churnMoves+churnVMs+churnReports, facts,
			v.world.VMs, v.world.Tenants, v.world.SVMs)
		b.Run(name, func(b *testing.B) { benchChurn(b, &churn{v: v, ids: ids, facts: facts}, s, q) })
	}
}

func benchChurn(b *testing.B, c *churn, s *discovery.Selector, q discovery.Query) {
	const slice = 500 * time.Millisecond
	var kept, still, moved []float64
	for b.Loop() {
		decideFor(s, q, c.ids, slice/10) // candidate sets that are missing are asked for
		s.Wait()
		calm := decideFor(s, q, c.ids, slice)
		stop := c.start(b)
		busy := decideFor(s, q, c.ids, slice)
		stop()
		still, moved, kept = append(still, calm), append(moved, busy), append(kept, busy/calm)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(still), "calm-decisions/s")
	b.ReportMetric(middle(moved), "busy-decisions/s")
	b.ReportMetric(middle(kept), "kept")
	b.ReportMetric(float64(c.made)/(float64(len(kept))*slice.Seconds()), "updates/s")
}

func middle(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// decideFor returns the decisions of all processors in a second.
func decideFor(s *discovery.Selector, q discovery.Query, ids []store.BIOSID, d time.Duration) float64 {
	var decided atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			var a discovery.Answer
			q := q
			at := rand.IntN(len(ids))
			for time.Since(start) < d {
				const some = 500
				for range some {
					if at++; at == len(ids) {
						at = 0
					}
					q.BIOS = ids[at]
					s.Select(&q, &a)
				}
				decided.Add(some)
				runtime.Gosched() // as one who waits for the next request does
			}
		})
	}
	all.Wait()
	return float64(decided.Load()) / time.Since(start).Seconds()
}

// A churn changes a table.
type churn struct {
	v     built
	ids   []store.BIOSID
	facts int // reports in a second that tell of another fact
	tick  int
	made  int // records
}

// start makes changes at their pace until stop returns.
func (c *churn) start(b *testing.B) (stop func()) {
	var one sync.WaitGroup
	end := make(chan struct{})
	one.Go(func() {
		// What is late, because decisions have all processors, is made up for.
		for due := time.Now(); ; due = due.Add(time.Second / churnTicks) {
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
			}
			select {
			case <-end:
				return
			default:
			}
			if err := c.v.table.Update(c.change); err != nil {
				b.Error(err)
				return
			}
		}
	})
	return func() { close(end); one.Wait() }
}

// change is what changes in one tick.
func (c *churn) change(tx *store.Tx) error {
	c.tick++
	for range churnMoves / churnTicks {
		if vm, ok := tx.VM(c.ids[rand.IntN(len(c.ids))]); ok {
			vm.Path = c.v.world.path(rand.IntN(len(c.ids)))
			if err := c.count(tx.PutVM(vm)); err != nil {
				return err
			}
		}
	}
	for i := range churnVMs / churnTicks { // those of one tick go in the next
		vm := c.v.world.VM(c.v.world.VMs + i)
		err := c.count(tx.PutVM(vm))
		if c.tick%2 == 0 {
			err = c.count(tx.DeleteVM(vm.BIOS))
		}
		if err != nil {
			return err
		}
	}
	for range churnReports / churnTicks {
		svm, _ := tx.SVM(c.v.world.SVM(rand.IntN(c.v.world.SVMs)).ID)
		facts := svm.SVMFacts
		if c.tick*c.facts%churnTicks < c.facts {
			facts.Encryption, facts.AllowUnprotected = !facts.Encryption, true
		}
		if err := c.count(tx.ReportSVM(svm.ID, facts, svm.ConnectedAgents+1)); err != nil {
			return err
		}
	}
	return nil
}

func (c *churn) count(changed bool, err error) error {
	if changed {
		c.made++
	}
	return err
}
