package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// openly asks a server that answers one connection at a time as serve says.
func openly(t *testing.T, conns int, p pace, serve func(asked int)) (*times, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := addrOf(t, l)
	asked := make(chan int, 1)
	asked <- 0
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				for in := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					n := <-asked
					serve(n)
					asked <- n + 1
					fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	a, err := newAsker(addr, conns, testWorld.VMs, question{ask: testWorld.get, answered: httpAnswer(isSize(2))}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	return a.open(p)
}

// The rate is that which was asked for, and the same seed makes the same times.
func TestOpenLoop(t *testing.T) {
	p := pace{rate: 2000, lasts: 200 * time.Millisecond, seed: 1}
	var counts []int
	for range 2 {
		got, err := openly(t, 8, p, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.latency); n < 300 || n > 500 || len(got.late) != n {
			t.Errorf("%d answers to %d questions in 200 ms, want 400", n, len(got.late))
		}
		if !slices.IsSorted(got.latency) || !slices.IsSorted(got.late) || got.late[0] < 0 || got.latency[0] <= 0 {
			t.Error("times are not in the order of size, or less than nothing")
		}
		counts = append(counts, len(got.latency))
	}
	if counts[0] != counts[1] {
		t.Errorf("%d questions, then %d with the same seed", counts[0], counts[1])
	}
}

// A server that stalls for half of a slice has kept half of the questions waiting. A
// closed loop would show one for each connection.
func TestOpenLoopShowsAStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	got, err := openly(t, 4, pace{rate: 1000, lasts: 2 * stall, seed: 1}, func(asked int) {
		if asked == 100 {
			time.Sleep(stall) // the stall itself
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if p99 := at(got.latency, 99); p99 < float64(stall/time.Microsecond)*0.9 {
		t.Errorf("p99 is %.0f µs: a stall of %v is hidden", p99, stall)
	}
	if p75, late := at(got.latency, 75), at(got.late, 75); p75 < float64(stall/time.Microsecond)/10 || late < p75/2 {
		t.Errorf("of the slower quarter the quickest took %.0f µs and was sent %.0f µs late: want those who waited for a connection", p75, late)
	}
}

func TestPercentilesOfTimes(t *testing.T) {
	var sorted []time.Duration
	for i := range 1000 {
		sorted = append(sorted, time.Duration(i+1)*time.Microsecond)
	}
	got := timingOf(&times{latency: sorted, late: sorted[:100]})
	if want := (timing{P50: 501, P99: 991, P999: 1000, Late: 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := timingOf(&times{}); got != (timing{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

// A round that was slow for both changes no ratio; the report has ratios and times.
func TestLatencyReport(t *testing.T) {
	rounds := func(by float64) (all [][]timing) {
		for range loads {
			one := func(slow float64) timing {
				return timing{P50: 100 * by * slow, P99: 1000 * by * slow, P999: 4000 * by * slow, Late: 10}
			}
			all = append(all, []timing{one(1), one(100), one(1)})
		}
		return all
	}
	gateway := &contender{name: "svmgate, token", version: "1", loads: rounds(1.5)}
	fast := &contender{name: "fasthttp, constant", version: "2", loads: rounds(1)}
	rep := latencyReportOf(occasion{World: map[string]int{"vms": 7}, Command: "peers -latency", Rounds: 3}, 40_000, gateway, fast)
	if got := rep.Loads[0]; got.P99 != (figure{1.5, 1.5, 1.5}) || got.P50.Median != 1.5 || got.P999.Median != 1.5 || got.Rate != 8000 {
		t.Errorf("%+v, want 1.5 times as long in each round", got)
	}
	dir := t.TempDir()
	if err := save(dir, "latency", rep); err != nil {
		t.Fatal(err)
	}
	for file, wants := range map[string][]string{
		"latency.md": {
			"svmgate, token (1) and fasthttp, constant (2)", "| 80 % | 32000 | 1.50 | 1.50 to 1.50 |",
			"| 20 % | svmgate, token | 150 | 1500 | 1500 to 75750 | 6000 | 10 | 2 of 3 |", "7 VMs", "peers -latency\n",
		},
		"latency.json": {`"command": "peers -latency"`, `"ratioP99.9": {`, `"roundsWithinBound": 2`, `"capacityPerSecond": 40000`},
	} {
		page, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(page), want) {
				t.Errorf("no %q in\n%s", want, page)
			}
		}
	}
}

// Contenders are asked at every load, the first round does not count, and an interrupt
// ends it.
func TestContenders(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go constants["fasthttp"](l, constantBody(100))
	c := &contender{name: "a", server: &process{addr: addrOf(t, l)}, question: question{ask: testWorld.get, answered: httpAnswer(isSize(100))}}
	defer c.close()
	if n, err := c.capacity(t.Context(), testWorld.VMs, 10*time.Millisecond); err != nil || n < 100 {
		t.Errorf("a capacity of %.0f questions a second, %v", n, err)
	}
	p := pace{rate: 1000, lasts: 50 * time.Millisecond}
	for load := range 2 {
		for _, counts := range []bool{false, true} {
			if err := timeAll(t.Context(), []*contender{c}, testWorld.VMs, load, p, counts); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(c.loads) != 2 || len(c.loads[0]) != 1 || len(c.loads[1]) != 1 || c.loads[0][0].P50 <= 0 {
		t.Errorf("%+v, want one timing at each of two loads", c.loads)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := timeAll(ctx, []*contender{c}, testWorld.VMs, 0, p, true); !errors.Is(err, context.Canceled) {
		t.Errorf("%v after an interrupt", err)
	}
}
