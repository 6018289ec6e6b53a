package crowd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// probe asks questions at a rate over some connections, and returns how long after it was
// due each was answered.
func (g *gateway) probe(rate int, lasts time.Duration) (took []time.Duration, failed int) {
	g.t.Helper()
	due := make(chan time.Time, 1024)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i := range 32 {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		wait.Go(func() {
			defer client.CloseIdleConnections()
			for at := range due {
				err := get(client, "http://"+g.agent+"/v1/agents/"+biosID(i)+"/svm")
				d := time.Since(at)
				mu.Lock()
				took = append(took, d)
				if err != nil {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	for n := range rate * int(lasts/time.Second) {
		at := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	wait.Wait()
	slices.Sort(took)
	return took, failed
}

func get(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// Thousands that send and read a byte a second take processor and memory from nobody.
func TestSlowClients(t *testing.T) {
	n, lasts := 400, 3*time.Second
	if *long {
		n, lasts = 19_000, time.Minute
	}
	g := launch(t)
	before, _ := g.probe(500, lasts)
	memory := g.resident()

	crowd := g.crowd(n)
	g.await(func() bool { return g.metric(`svmgate_connections{plane="agent"}`) >= float64(n*9/10) })
	used := g.metric("process_cpu_seconds_total")
	took, failed := g.probe(500, lasts)
	used = (g.metric("process_cpu_seconds_total") - used) / lasts.Seconds()
	open := int(g.metric(`svmgate_connections{plane="agent"}`))
	each := (g.resident() - memory) / n
	ended := crowd.end()
	t.Logf("%d questions, p50 %v, p99 %v, p99.9 %v, %d failed, beside %d slow connections (ended %d times; %d bytes each; %.2f processors); without them p50 %v, p99 %v",
		len(took), at(took, 500), at(took, 990), at(took, 999), failed, open, ended, each, used, at(before, 500), at(before, 990))
	if failed > 0 {
		t.Errorf("%d questions were not answered", failed)
	}
	if open < n*9/10 {
		t.Errorf("%d slow connections are open, want %d: there was no test", open, n)
	}
	if *long {
		if most := 24 << 10; each > most {
			t.Errorf("each costs %d bytes, want at most %d", each, most)
		}
		if ended == 0 {
			t.Error("slow connections are never ended")
		}
		if p99 := at(took, 990); p99 > 5*time.Millisecond {
			t.Errorf("p99 is %v, want at most 5 ms", p99)
		}
	}
}

// at returns what p of 1,000 times are below; the list is sorted.
func at(list []time.Duration, p int) time.Duration { return list[len(list)*p/1000] }

// When all connections are taken, whoever comes is told so at once; with a bound for each
// address, one address can not take them all.
func TestConnectionsAreLimited(t *testing.T) {
	for _, bound := range []bool{false, true} {
		args := []string{"--max-connections=100"}
		if bound {
			args = append(args, "--max-connections-per-address=80")
		}
		g := launch(t, args...)
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		for range 100 {
			c, err := from.Dial("tcp", g.agent)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "GET "); err != nil && !bound {
				t.Fatal(err)
			}
		}
		full := map[bool]float64{false: 100, true: 80}[bound]
		g.await(func() bool { return g.metric(`svmgate_connections{plane="agent"}`) == full })
		c := g.dial()
		if _, err := io.WriteString(c, question(0, "")); err != nil {
			t.Fatal(err)
		}
		status, body, err := answer(c)
		if want := map[bool]int{false: 503, true: 200}[bound]; status != want || err != nil {
			t.Errorf("bound %v: %d %s %v, want %d", bound, status, body, err, want)
		}
		if got, want := g.metric(`svmgate_connections_crowded_total{plane="agent"}`), map[bool]float64{true: 20}[bound]; got != want {
			t.Errorf("bound %v: %v were crowded, want %v", bound, got, want)
		}
	}
}
