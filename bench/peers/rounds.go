package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// A row is a server that is asked in one way. Rows of a group are measured together.
type row struct {
	group, name string
	server      *process
	version     string
	bytes       int // of an answer's body

	// slice asks the server for a while, checks all answers, and returns their number.
	slice func(lasts time.Duration) (int, error)
	close func()

	rounds []measure
}

// A measure is what one slice gave.
type measure struct {
	CPU  float64 // nanoseconds of the server's processor time for each answer
	Rate float64 // answers a second
}

// measureSlice asks for one slice. Before the first question and after the last answer
// the server has nothing to do, so the time between is that of the answers.
func (r *row) measureSlice(lasts time.Duration) (m measure, err error) {
	before, err := r.server.cpu()
	if err != nil {
		return m, err
	}
	start := time.Now()
	n, err := r.slice(lasts)
	if err != nil {
		return m, fmt.Errorf("%s: %w", r.name, err)
	}
	took := time.Since(start)
	after, err := r.server.cpu()
	if err != nil {
		return m, err
	}
	return measure{CPU: float64(after-before) / float64(n), Rate: float64(n) / took.Seconds()}, nil
}

// runRounds gives each row of a group a slice in each round, in an order that is
// shuffled anew: a machine is faster in one minute than in the next, by more than
// servers differ. A first round does not count: caches fill.
func runRounds(ctx context.Context, rows []*row, rounds int, lasts time.Duration, progress io.Writer) error {
	defer func() {
		for _, r := range rows {
			r.close()
		}
	}()
	order := slices.Clone(rows)
	for round := range rounds + 1 {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, r := range order {
			if err := ctx.Err(); err != nil {
				return err
			}
			m, err := r.measureSlice(lasts)
			if err != nil {
				return err
			}
			if round > 0 {
				r.rounds = append(r.rounds, m)
			}
		}
		fmt.Fprintf(progress, "\r%s: round %d of %d ", rows[0].group, round, rounds)
	}
	fmt.Fprintln(progress)
	return nil
}

// A figure is the median of some values, and the quartiles around it.
type figure struct {
	Median float64 `json:"median"`
	Low    float64 `json:"lowerQuartile"`
	High   float64 `json:"upperQuartile"`
}

func figureOf(values []float64) figure {
	sorted := slices.Sorted(slices.Values(values))
	return figure{Median: quantile(sorted, 0.5), Low: quantile(sorted, 0.25), High: quantile(sorted, 0.75)}
}

// quantile interpolates between the values that are nearest.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
