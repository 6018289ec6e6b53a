package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"time"
)

// loads are the rates of the questions, as parts of what the gateway can answer.
var loads = []float64{0.2, 0.5, 0.8}

// A contender is a server whose answers are timed.
type contender struct {
	name, version string
	server        *process
	question      question

	asker *asker
	loads [][]timing // by load and round
}

// A timing is what one slice gave, in microseconds.
type timing struct {
	P50, P99, P999 float64
	Late           float64 // p99 of how late questions were sent
}

func timingOf(t *times) timing {
	return timing{P50: at(t.latency, 50), P99: at(t.latency, 99), P999: at(t.latency, 99.9), Late: at(t.late, 99)}
}

// measureLatency asks a gateway and fasthttp at the same rates, in turn, and reports
// how long their answers took.
func (l *lab) measureLatency(ctx context.Context, here occasion) error {
	gateway, fast, err := l.startLatency(ctx)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // as in measureCosts
	contenders := []*contender{gateway, fast}
	defer func() {
		for _, c := range contenders {
			c.close()
		}
	}()
	capacity, err := gateway.capacity(ctx, l.world.VMs, l.slice)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.progress, "%s answers %.0f questions a second\n", gateway.name, capacity)
	for round := range l.rounds + 1 { // the first does not count: caches fill
		for i, load := range loads {
			p := pace{rate: load * capacity, lasts: l.slice, seed: uint64(round*len(loads) + i)}
			rand.Shuffle(len(contenders), func(i, j int) { contenders[i], contenders[j] = contenders[j], contenders[i] })
			if err := timeAll(ctx, contenders, l.world.VMs, i, p, round > 0); err != nil {
				return err
			}
		}
		fmt.Fprintf(l.progress, "\rlatency: round %d of %d ", round, l.rounds)
	}
	fmt.Fprintln(l.progress)
	rep := latencyReportOf(here, capacity, gateway, fast)
	if err := rep.writeMarkdown(os.Stdout); err != nil || l.results == "" {
		return err
	}
	return save(l.results, "latency", rep)
}

// startLatency starts the two on one processor, and takes another.
func (l *lab) startLatency(ctx context.Context) (gateway, fast *contender, err error) {
	servers, ours, apart := processors()
	if !apart {
		return nil, nil, errors.New("latencies need a processor for the servers and another to ask from")
	}
	l.serverCPU = servers
	if err := l.makeWorld(); err != nil {
		return nil, nil, err
	}
	p, err := l.gateway(ctx, "token", "--agent-auth", "token")
	if err != nil {
		return nil, nil, err
	}
	if err := l.measureSize(p); err != nil {
		return nil, nil, err
	}
	gateway = &contender{name: "svmgate, token", version: l.version(), server: p, question: question{ask: l.world.get, answered: httpAnswer(isAssigned)}}
	if p, err = l.constant(ctx, "fasthttp"); err != nil {
		return nil, nil, err
	}
	fast = &contender{
		name: "fasthttp, constant", version: moduleVersion("github.com/valyala/fasthttp"), server: p,
		question: question{ask: l.world.get, answered: httpAnswer(isSize(l.size))},
	}
	return gateway, fast, settle(ours)
}

// timeAll gives each contender a slice at the same times, and keeps what it gave.
func timeAll(ctx context.Context, contenders []*contender, agents, load int, p pace, counts bool) error {
	for _, c := range contenders {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.connect(agents); err != nil {
			return err
		}
		t, err := c.asker.open(p)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		for len(c.loads) <= load {
			c.loads = append(c.loads, nil)
		}
		if counts {
			c.loads[load] = append(c.loads[load], timingOf(t))
		}
	}
	return nil
}

// connect makes the connections when they are needed: servers close those that nobody
// uses.
func (c *contender) connect(agents int) (err error) {
	if c.asker == nil {
		c.asker, err = newAsker(c.server.addr, plainConns, agents, c.question, 1)
	}
	return err
}

func (c *contender) close() {
	if c.asker != nil {
		c.asker.close()
	}
}

// capacity is how many questions a second the server answers in a closed loop: the
// median of some slices, after one that does not count.
func (c *contender) capacity(ctx context.Context, agents int, slice time.Duration) (float64, error) {
	const most = 5
	if err := c.connect(agents); err != nil {
		return 0, err
	}
	var rates []float64
	for i := range most + 1 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		start := time.Now()
		n, err := c.asker.slice(slice)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
		if i > 0 {
			rates = append(rates, float64(n)/time.Since(start).Seconds())
		}
	}
	return quantile(slices.Sorted(slices.Values(rates)), 0.5), nil
}
