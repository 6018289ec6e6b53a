package lab

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// million imports a million VMs into a gateway.
func (g *gateway) million() (took time.Duration) {
	start := time.Now()
	for part := range 10 {
		var b strings.Builder
		b.WriteString("biosId,tenant,name,os,kind,host,cluster,zone\n")
		for n := part * 100_000; n < (part+1)*100_000; n++ {
			fmt.Fprintf(&b, "%s,%s,vm-%d,server,linux,host-%d,cluster-%d,zone\n", biosID(n), tenantID(n%1_000), n, n%2_000, n%100)
		}
		g.importCSV(b.String())
	}
	return time.Since(start)
}

// An empty gateway joins a million VMs; and a million VMs are imported while others
// are there. The one that is joined goes on answering nearly as fast as before,
// which is compared in turns, three times: machines have moods.
func TestMillion(t *testing.T) {
	needLong(t)
	if !inside(t) {
		return
	}
	l := newLab(t, 3)
	last := l.gateways[2]
	last.kill()
	donor := l.gateways[0]
	donor.do("POST", "/v1/import", world{tenants: 1_000, vms: 0}.lines(), nil)
	await(t, 30*time.Second, func() error { return l.equal(l.gateways[:2]...) })
	t.Logf("an import of 1,000,000 VMs took %s", donor.million())
	took := await(t, 120*time.Second, func() error { return l.equal(l.gateways[:2]...) })
	t.Logf("the other gateway is equal %s after its end", took)
	if took > 20*time.Second {
		t.Errorf("the other gateway was equal %s after the import, want at most 20 s", took)
	}

	donor.apart()
	time.Sleep(5 * time.Second) // the import's last collections and comparisons
	var alone, joined []told
	for range 3 {
		alone = append(alone, donor.questions(func() { time.Sleep(8 * time.Second) })...)
		joined = append(joined, donor.questions(func() {
			start := time.Now()
			last.start()
			last.awaitReady() // asks the one that joins, and nobody else
			took = time.Since(start)
		})...)
		t.Logf("an empty gateway was equal %s after its start: %.0f VMs/s", took, 1e6/took.Seconds())
		if took > 20*time.Second {
			t.Errorf("joining took %s, want at most 20 s", took)
		}
		if err := l.equal(); err != nil {
			t.Errorf("ready, and not equal: %v", err)
		}
		last.loseDisk()
	}
	without, late := tell(t, "without one that joins", alone)
	with, _ := tell(t, "with one", joined)
	t.Logf("p99 %s without and %s with one that joins: %.2f times", without, with, float64(with)/float64(without))
	if late > maxLate {
		t.Errorf("the asker was late by %s while nobody joined, which is other work on this machine: a p99 without one that joins which is high because of that allows any with one", late)
	}
	if with > without*3/2 {
		t.Errorf("with one that joins the donor's p99 is %s, want at most 1.5 times %s", with, without)
	}
}

// tell logs what questions took, and returns the p99 of that and of how late they were asked.
func tell(t *testing.T, when string, list []told) (p99, late99 time.Duration) {
	times, late := durations(list, told.took), durations(list, told.late)
	p99, late99 = percentile(times, 990), percentile(late, 990)
	t.Logf("%d questions to the donor %s: p50 %s, p95 %s, p99 %s, p99.5 %s, p99.9 %s; sent late by p50 %s, p99 %s", len(list), when,
		percentile(times, 500), percentile(times, 950), p99, percentile(times, 995), percentile(times, 999), percentile(late, 500), late99)
	return p99, late99
}

// A told is when a question was to be sent, was sent, and was answered.
type told struct{ due, sent, answered time.Time }

// took is what the gateway and the way to it took. Whoever asks waits for no answer before
// the next question, so a slow answer keeps none from being asked, and none is left out.
func (q told) took() time.Duration { return q.answered.Round(0).Sub(q.sent.Round(0)) }

// late is by how much the asker itself was held up.
func (q told) late() time.Duration { return q.sent.Sub(q.due) }

func durations(list []told, of func(told) time.Duration) (d []time.Duration) {
	for _, q := range list {
		d = append(d, of(q))
	}
	return d
}

// maxLate is for how long the asker may wait for its own processor, at p99, while nobody
// joins: on a quiet machine that is a quarter of a millisecond.
const maxLate = time.Millisecond / 2

// percentile returns what p of 1,000 times are below.
func percentile(list []time.Duration, p int) time.Duration {
	return slices.Sorted(slices.Values(list))[len(list)*p/1000]
}

// questions asks 500 questions a second while something is done, at a fixed rate
// whatever the answers.
func (g *gateway) questions(while func()) (list []told) {
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		while()
	}()
	var mu sync.Mutex
	var wait sync.WaitGroup
	gate := make(chan struct{}, 1024)
	idle := make(chan *stamped, cap(gate))
	defer func() {
		wait.Wait()
		for len(idle) > 0 {
			_ = (<-idle).Close()
		}
	}()
	start := time.Now()
	for n := 0; ; n++ {
		due := start.Add(time.Duration(n) * 2 * time.Millisecond)
		sleepUntil(due)
		select {
		case <-stop:
			wait.Wait()
			return list
		case gate <- struct{}{}:
		}
		wait.Go(func() {
			q := told{due: due}
			err := g.askStamped(idle, biosID(n*7919%1_000_000), &q)
			<-gate
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				g.lab.t.Errorf("a question to the donor: %v", err)
				return
			}
			list = append(list, q)
		})
	}
}

// askStamped asks on one of the idle connections, or on a new one.
func (g *gateway) askStamped(idle chan *stamped, biosID string, q *told) (err error) {
	var c *stamped
	select {
	case c = <-idle:
	default:
		if c, err = dialStamped(ipOf(g.i) + ":7270"); err != nil {
			return err
		}
	}
	if q.sent, q.answered, err = c.ask(biosID); err != nil {
		_ = c.Close()
		return err
	}
	idle <- c
	return nil
}

// sleepUntil is more exact than a timer of the runtime's, which may be a millisecond
// late: as late as an answer takes.
func sleepUntil(due time.Time) {
	for d := time.Until(due); d > 0; d = time.Until(due) {
		t := syscall.NsecToTimespec(d.Nanoseconds())
		_ = syscall.Nanosleep(&t, nil)
	}
}
