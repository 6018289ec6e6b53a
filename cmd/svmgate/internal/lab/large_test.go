package lab

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// needLong skips what takes minutes, unless it is asked for.
func needLong(t *testing.T) {
	t.Helper()
	if !*long {
		t.Skip("make lab runs this one")
	}
}

// How long until a deactivation is in every answer of sixteen gateways.
func TestPropagation(t *testing.T) {
	needLong(t)
	if !inside(t) {
		return
	}
	l := newLab(t, 16)
	const trials = 40
	l.gateways[0].do("POST", "/v1/import", world{tenants: trials, vms: 1}.lines(), nil)
	await(t, 30*time.Second, func() error { return l.equal() })
	var mu sync.Mutex
	var delays []time.Duration
	for n := range trials {
		from := l.gateways[n%len(l.gateways)]
		from.deactivate(n)
		start := time.Now() // acknowledged
		var wait sync.WaitGroup
		for _, g := range l.gateways {
			wait.Go(func() {
				for {
					result, err := g.ask(biosID(n))
					if took := time.Since(start); err == nil && result == "inactive" || took > 10*time.Second {
						mu.Lock()
						delays = append(delays, took)
						mu.Unlock()
						return
					}
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
		wait.Wait()
	}
	slices.Sort(delays)
	p50, p99 := delays[len(delays)/2], delays[len(delays)*99/100]
	t.Logf("deactivation on 16 gateways, from its acknowledgement until each answers so: p50 %s, p99 %s, at most %s", p50, p99, delays[len(delays)-1])
	if p99 > 100*time.Millisecond {
		t.Errorf("p99 %s, want at most 100 ms", p99)
	}
}

// 4,000 reports of SVMs a second into three gateways: each knows all counts.
func TestReports(t *testing.T) {
	needLong(t)
	if !inside(t) {
		return
	}
	const svms, rate, lasting, fresh = 4_000, 4_000, 60 * time.Second, 5 * time.Second
	l := newLab(t, 3)
	var b strings.Builder
	id := func(n int) string { return fmt.Sprintf("5e000000-0000-4000-8000-%012d", n) }
	for n := range svms {
		fmt.Fprintf(&b, `{"svm":{"id":%q,"name":"svm%d","address":"10.9.%d.%d","version":"6.0"}}`+"\n", id(n), n, n/250, n%250+1)
	}
	l.gateways[0].do("POST", "/v1/import", b.String(), nil)
	await(t, 30*time.Second, func() error { return l.equal() })

	// Every SVM reports once a second; what it reports is how often it has.
	var failed, sent atomic.Int64
	start := time.Now()
	var wait sync.WaitGroup
	const senders = 24
	for s := range senders {
		wait.Go(func() {
			for n := s; n < int(lasting.Seconds())*rate; n += senders {
				time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / rate)))
				status, _, err := l.gateways[n%3].try("POST", "/v1/svms/"+id(n%svms)+"/report", map[string]int{"connectedAgents": n / svms})
				if sent.Add(1); err != nil || status != 200 {
					failed.Add(1)
				}
			}
		})
	}
	oldest := time.Duration(0)
	for time.Since(start) < lasting-fresh {
		time.Sleep(2 * time.Second)
		for _, g := range l.gateways {
			oldest = max(oldest, g.oldest(id, start))
		}
	}
	wait.Wait()
	t.Logf("%d reports in %s, %d refused; the oldest count that a gateway had was %s old", sent.Load(), time.Since(start), failed.Load(), oldest)
	if oldest > fresh || failed.Load() > 0 {
		t.Errorf("want counts at most %s old and no report refused", fresh)
	}
	for _, g := range l.gateways {
		t.Logf("%s: %s", g.name(), g.clusterText())
	}
}

// oldest returns how old the oldest of some counts is that a gateway has.
func (g *gateway) oldest(id func(int) string, start time.Time) time.Duration {
	worst := time.Duration(0)
	for n := 0; n < 4_000; n += 397 {
		var svm struct{ ConnectedAgents int }
		asked := time.Now()
		g.do("GET", "/v1/svms/"+id(n), nil, &svm)
		// The count k was reported k seconds after the start; the next one was due a
		// second later, and until then it was fresh.
		worst = max(worst, asked.Sub(start.Add(time.Duration(svm.ConnectedAgents+1)*time.Second)))
	}
	return worst
}
