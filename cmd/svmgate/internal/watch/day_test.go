package watch_test

import (
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/store"
)

var (
	dayVMs  = flag.Int("day.vms", 1000, "VMs of TestDay; 200 with -short")
	dayTime = flag.Duration("day.time", 130*time.Minute, "how much virtual time TestDay takes; 15 minutes with -short")
)

// TestDay is a day of three gateways after a tenant was deactivated. Its agents ask every
// five minutes, whatever gateway, and tell of failed updates every two hours or oftener;
// one gateway dies and comes back with what it had on disk. Each VM is told of once, and
// its failed updates every two hours at most: 13 times in a day. `make day` has 100,000
// VMs and all 24 hours.
func TestDay(t *testing.T) {
	vms, lasts := *dayVMs, *dayTime
	if testing.Short() {
		vms, lasts = min(vms, 200), min(lasts, 15*time.Minute)
	}
	inWorld(t, 3, func(t *testing.T, h *world) {
		d := &day{t: t, world: h, vms: vms, seen: map[store.EventID]bool{}, noSVM: make([]uint8, vms), failed: make([][]time.Time, vms)}
		d.begin()
		d.run(lasts)
		d.check(lasts)
	})
}

// A day counts what gateways write.
type day struct {
	*world
	t     *testing.T
	vms   int
	asked int

	mu     sync.Mutex
	seen   map[store.EventID]bool
	twice  int           // events that two gateways wrote, under one id
	noSVM  []uint8       // by VM
	failed [][]time.Time // by VM: when that was told
}

const (
	every  = 5 * time.Minute // agents ask
	tick   = 100 * time.Millisecond
	rounds = int(watch.UpdateFailedEvery / every) // in which each agent tells of a failed update at least once
)

// begin lets the tenant have VMs, and SVMs; then it is deactivated.
func (d *day) begin() {
	g := d.gateway(0)
	g.tenant(1, store.Complete)
	g.svm(1)
	g.activate(1, true)
	for from := 0; from < d.vms; from += 10_000 {
		g.must(func(tx *store.Tx) error {
			for n := from; n < min(from+10_000, d.vms); n++ {
				if _, err := tx.PutVM(store.VM{BIOS: vmID(n), Tenant: tenantID(1), Name: "vm"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	d.Settle(5 * time.Minute)
	d.world.mu.Lock()
	d.onEvent = d.note
	d.world.mu.Unlock()
	d.gateway(2).activate(1, false)
}

// note counts an event that a gateway wrote.
func (d *day) note(e *store.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[e.ID] {
		d.twice++
		return
	}
	d.seen[e.ID] = true
	switch e.Type {
	case watch.AgentNoSVM:
		d.noSVM[vmNumber(e.VM)]++
	case watch.AgentUpdateFailed:
		d.failed[vmNumber(e.VM)] = append(d.failed[vmNumber(e.VM)], e.Time.Time)
	}
}

func vmNumber(id store.BIOSID) int {
	return int(id[12])<<24 | int(id[13])<<16 | int(id[14])<<8 | int(id[15])
}

// run lets agents ask. After a third of the time a gateway dies, for a minute.
func (d *day) run(lasts time.Duration) {
	start, next := time.Now(), 0
	alive := []int{0, 1, 2}
	dies, back := lasts/3, lasts/3+time.Minute
	for at := time.Duration(0); at < lasts; at = time.Since(start) {
		switch {
		case dies > 0 && at >= dies:
			d.crash(1)
			alive, dies = []int{0, 2}, 0
		case back > 0 && at >= back:
			d.start(1)
			alive, back = []int{0, 1, 2}, 0
		}
		for until := int(int64(at+tick) * int64(d.vms) / int64(every)); next < until; next++ {
			d.ask(next%d.vms, next/d.vms, alive)
		}
		time.Sleep(tick)
	}
	time.Sleep(time.Minute)
}

// ask asks for an agent, in a round of all. Most tell of a failed update every two hours,
// some of them every half an hour; one in ten every five minutes.
func (d *day) ask(n, round int, alive []int) {
	d.asked++
	g := d.gateway(alive[(n+round)%len(alive)])
	g.ask(n, 1, "")
	often := rounds
	switch {
	case n%10 == 0:
		often = 1
	case n%3 == 0:
		often = rounds / 4
	}
	if (round+n)%often == 0 {
		if status := g.say(n, 1, `{"updateFailed":true,"connectedTo":null}`); status != 204 {
			d.t.Errorf("a state is answered %d", status)
		}
	}
}

func (d *day) check(lasts time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	once, failures, most := 0, 0, int(lasts/watch.UpdateFailedEvery)+1
	for n := range d.vms {
		if d.noSVM[n] == 1 {
			once++
		} else if once > n-10 { // not a hundred thousand lines
			d.t.Errorf("VM %d: %d events %s, want 1", n, d.noSVM[n], watch.AgentNoSVM)
		}
		failures += len(d.failed[n])
		if len(d.failed[n]) > most || len(d.failed[n]) < most-2 {
			d.t.Errorf("VM %d: %d events %s, want %d, or one or two less", n, len(d.failed[n]), watch.AgentUpdateFailed, most)
		}
		for i := 1; i < len(d.failed[n]); i++ {
			if gap := d.failed[n][i].Sub(d.failed[n][i-1]); gap < watch.UpdateFailedEvery {
				d.t.Errorf("VM %d: two failed updates are told within %v", n, gap)
			}
		}
	}
	if once != d.vms {
		d.t.Errorf("%d of %d VMs were told of once", once, d.vms)
	}
	d.t.Logf("%d VMs asked %d times in %v: %d events %s and %d %s; %d were written by two gateways, under one id",
		d.vms, d.asked, lasts, once, watch.AgentNoSVM, failures, watch.AgentUpdateFailed, d.twice)
	for i := range d.Len() {
		if g := d.gateway(i); g.table.NumEvents() < once+failures {
			d.t.Errorf("n%d has %d events, want at least %d", i, g.table.NumEvents(), once+failures)
		}
	}
}
