package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Churn compares throughput while VMs move with throughput while nothing
// changes, in slices that take turns.
type Churn struct {
	// PerSecond is the number of VMs that move in each second of every other slice.
	PerSecond int

	// Pairs is the number of slices of each kind; 0 means 3.
	Pairs int

	// VMs are those that move: each to where the next one is, and in the end back
	// to where it was. At least two.
	VMs []store.VM

	// Put writes VMs into the gateway's table.
	Put func(ctx context.Context, vms []store.VM) error
}

const (
	maxPairs   = 20
	churnEvery = 100 * time.Millisecond
	putAtMost  = 10_000 // VMs to a call of Put
)

func (c *Churn) check() error {
	if c == nil {
		return nil
	}
	c.Pairs = orDefault(c.Pairs, 3)
	switch {
	case c.PerSecond < 1 || c.PerSecond > MaxUpdates:
		return fmt.Errorf("bench: Churn must be from 1 to %d changes a second", MaxUpdates)
	case c.Pairs < 0 || c.Pairs > maxPairs:
		return fmt.Errorf("bench: Pairs of slices must be from 0 to %d", maxPairs)
	case len(c.VMs) < 2 || c.Put == nil:
		return errors.New("bench: Churn needs two VMs at least, and Put")
	}
	return nil
}

// churner moves VMs. A nil churner moves none.
type churner struct {
	Churn
	next    int // of VMs
	rounds  int
	touched int // how many of VMs, from the first, are not where they were
}

// begin moves VMs until the function that it returns is called, which returns how
// many were moved.
func (c *churner) begin(ctx context.Context, wanted bool) (stop func() int) {
	if c == nil || !wanted {
		return func() int { return 0 }
	}
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	var moved atomic.Int64
	go func() {
		defer close(gone)
		start := time.Now()
		for ctx.Err() == nil {
			due := int64(time.Since(start).Seconds() * float64(c.PerSecond))
			if n := due - moved.Load(); n > 0 && c.move(ctx, int(min(n, putAtMost))) == nil {
				moved.Add(min(n, putAtMost))
			}
			pause(ctx, churnEvery)
		}
	}()
	return func() int {
		cancel()
		<-gone
		return int(moved.Load())
	}
}

// move moves the next n VMs.
func (c *churner) move(ctx context.Context, n int) error {
	vms := make([]store.VM, 0, n)
	for range n {
		vm := c.VMs[c.next]
		vm.Path = c.VMs[(c.next+1+c.rounds)%len(c.VMs)].Path
		vms = append(vms, vm)
		if c.next++; c.next == len(c.VMs) {
			c.next, c.rounds = 0, c.rounds+1
		}
	}
	c.touched = max(c.touched, c.next)
	if c.rounds > 0 {
		c.touched = len(c.VMs)
	}
	if err := c.Put(context.WithoutCancel(ctx), vms); err != nil {
		return fmt.Errorf("bench: move VMs: %w", err)
	}
	return nil
}

// restore puts the VMs back.
func (c *churner) restore(ctx context.Context) error {
	if c == nil {
		return nil
	}
	for chunk := range slices.Chunk(c.VMs[:c.touched], putAtMost) {
		if err := c.Put(ctx, chunk); err != nil {
			return fmt.Errorf("bench: VMs are not put back: %w", err)
		}
	}
	c.touched = 0
	return nil
}

// churned runs slices of a step, without and with changes in turn, and compares
// their medians.
func (r *run) churned(ctx context.Context, a order) {
	var rates, cpus [2][]float64 // without, with
	updates, seconds := 0, 0.0
	for i := range 2 * r.churn.Pairs {
		with := i % 2
		a.purpose, a.churn = "churn", with == 1
		step := r.measure(ctx, a)
		if ctx.Err() != nil {
			return
		}
		rates[with] = append(rates[with], step.RateAchieved)
		if step.Server != nil {
			cpus[with] = append(cpus[with], step.Server.CPUMicrosecondsPerRequest)
		}
		if with == 1 {
			updates += step.Updates
			seconds += max(step.Seconds, a.lasts.Seconds())
		}
		pause(ctx, min(settle, max(a.lasts, churnEvery)))
	}
	told := &Churned{UpdatesPerSecond: float64(updates) / seconds}
	if without := median(rates[0]); without > 0 { // else nobody was answered, and there is nothing to compare
		told.Throughput = median(rates[1]) / without
	}
	if len(cpus[0]) > 0 && len(cpus[1]) > 0 && median(cpus[0]) > 0 {
		told.CPU = median(cpus[1]) / median(cpus[0])
	}
	r.result.Churn = told
}

func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}
