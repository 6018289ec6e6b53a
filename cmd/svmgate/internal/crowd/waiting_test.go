package crowd

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"
)

// Very many agents wait, on connections on which they have asked before: each costs
// little memory, and a deactivation reaches all of them within a second.
func TestManyWait(t *testing.T) {
	n := 500
	if *long {
		n = 10_000
	}
	g := launch(t)
	revision := regexp.MustCompile(`"revision":(\d+)`).FindStringSubmatch(g.ask(g.dial(), 0, ""))[1]
	before := g.resident()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = g.dial()
		g.ask(conns[i], i, "")
		if _, err := io.WriteString(conns[i], question(i, "wait=5m&revision="+revision)); err != nil {
			t.Fatal(err)
		}
	}
	g.await(func() bool { return g.metric("svmgate_agent_waiting") == float64(n) })
	time.Sleep(2 * time.Second)
	each := (g.resident() - before) / n
	t.Logf("%d agents wait: %d bytes each (heap %.0f, stacks %.0f, of %d)", n, each,
		g.metric("go_memstats_heap_inuse_bytes"), g.metric("go_memstats_stack_inuse_bytes"), g.resident())
	if most := 20 << 10; *long && each > most {
		t.Errorf("each costs %d bytes, want at most %d", each, most)
	}

	learnt := make([]time.Time, n)
	var wait sync.WaitGroup
	for i, c := range conns {
		wait.Go(func() {
			status, body, err := answer(c)
			learnt[i] = time.Now()
			if err != nil || status != 200 || !regexp.MustCompile(`"inactive"`).MatchString(body) {
				t.Errorf("agent %d: %d %s %v", i, status, body, err)
			}
		})
	}
	changed := time.Now()
	g.deactivate()
	wait.Wait()
	slices.SortFunc(learnt, time.Time.Compare)
	half, last := learnt[n/2].Sub(changed), learnt[n-1].Sub(changed)
	t.Logf("the deactivation reached half of them after %v, the last after %v", half, last)
	if *long && last > time.Second {
		t.Errorf("the last learnt after %v, want at most 1 s", last)
	}
}

func (g *gateway) deactivate() {
	g.t.Helper()
	req, err := http.NewRequest("POST", "http://"+g.admin+"/v1/tenants/"+tenant+"/deactivate", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.SetBasicAuth("admin", "secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		g.t.Fatal(resp.Status)
	}
}
