package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bound is how long an answer may take at most, in 99 of 100 cases.
const bound = 5 * time.Millisecond

// A latencyReport is how long answers took.
type latencyReport struct {
	occasion
	Capacity float64    `json:"capacityPerSecond"` // of the gateway, in a closed loop
	Servers  [2]served  `json:"servers"`           // the gateway, and what it is held against
	Loads    []loadLine `json:"loads"`
}

// served is who answered.
type served struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A loadLine is what there was at one rate.
type loadLine struct {
	Load    float64 `json:"ofCapacity"`
	Rate    float64 `json:"questionsPerSecond"`
	Gateway spread  `json:"gateway"`
	Against spread  `json:"against"`

	// Ratios are those of one round each, as all ratios here.
	P50  figure `json:"ratioP50"`
	P99  figure `json:"ratioP99"`
	P999 figure `json:"ratioP99.9"`
}

// A spread is what one server's answers took, in microseconds.
type spread struct {
	P50    figure `json:"p50Microseconds"`
	P99    figure `json:"p99Microseconds"`
	P999   figure `json:"p99.9Microseconds"`
	Late   figure `json:"sentLateP99Microseconds"`
	Within int    `json:"roundsWithinBound"` // those with a p99 of at most [bound]
}

// over sums up one thing of all rounds.
func over(rounds []timing, of func(timing) float64) figure {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	return figureOf(values)
}

// ratio is over of a thing in each round, beside that of another server in the same.
func ratio(rounds, against []timing, of func(timing) float64) figure {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r) / of(against[i])
	}
	return figureOf(values)
}

func p50(t timing) float64  { return t.P50 }
func p99(t timing) float64  { return t.P99 }
func p999(t timing) float64 { return t.P999 }
func late(t timing) float64 { return t.Late }

func spreadOf(rounds []timing) spread {
	s := spread{P50: over(rounds, p50), P99: over(rounds, p99), P999: over(rounds, p999), Late: over(rounds, late)}
	for _, r := range rounds {
		if r.P99 <= float64(bound/time.Microsecond) {
			s.Within++
		}
	}
	return s
}

// latencyReportOf sums up what was measured.
func latencyReportOf(here occasion, capacity float64, gateway, against *contender) *latencyReport {
	r := &latencyReport{
		occasion: here, Capacity: capacity,
		Servers: [2]served{{gateway.name, gateway.version}, {against.name, against.version}},
	}
	for i, rounds := range gateway.loads {
		others := against.loads[i]
		r.Loads = append(r.Loads, loadLine{
			Load: loads[i], Rate: loads[i] * capacity, Gateway: spreadOf(rounds), Against: spreadOf(others),
			P50: ratio(rounds, others, p50), P99: ratio(rounds, others, p99), P999: ratio(rounds, others, p999),
		})
	}
	return r
}

// writeMarkdown writes the report as a page of tables.
func (r *latencyReport) writeMarkdown(out io.Writer) error {
	var b strings.Builder
	gateway, against := r.Servers[0], r.Servers[1]
	fmt.Fprintf(&b, "# How long answers take, beside a constant one\n\n")
	r.writeWorld(&b)
	fmt.Fprintf(&b, "%s (%s) and %s (%s) are asked at the same times, in turn, over %d connections: an open loop, with\n",
		gateway.Name, gateway.Version, against.Name, against.Version, plainConns)
	fmt.Fprintf(&b, "exponential times between questions, and a latency counts from when its question was due. One processor serves, another asks.\n")
	fmt.Fprintf(&b, "The rates are parts of the %.0f questions a second that %s answers in a closed loop.\n", r.Capacity, gateway.Name)
	fmt.Fprintf(&b, "\n## Ratios\n\nOf the two in the same round: the median, and the quartiles.\nWhat the machine takes from both is in both, so they say more than the times do.\n\n")
	fmt.Fprintf(&b, "| load | questions/s | p50 | quartiles | p99 | quartiles | p99.9 | quartiles |\n|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, l := range r.Loads {
		fmt.Fprintf(&b, "| %.0f %% | %.0f |", l.Load*100, l.Rate)
		for _, f := range []figure{l.P50, l.P99, l.P999} {
			fmt.Fprintf(&b, " %.2f | %.2f to %.2f |", f.Median, f.Low, f.High)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n## Times\n\nMedians of the rounds, in microseconds. Sent late is how late questions were sent: where its p99 is as long as that\n")
	fmt.Fprintf(&b, "of the latency, the client was held up, or all connections waited.\n\n")
	fmt.Fprintf(&b, "| load | server | p50 | p99 | quartiles | p99.9 | sent late, p99 | rounds with p99 ≤ %v |\n|--:|---|--:|--:|--:|--:|--:|--:|\n", bound)
	for _, l := range r.Loads {
		for i, s := range []spread{l.Gateway, l.Against} {
			fmt.Fprintf(&b, "| %.0f %% | %s | %.0f | %.0f | %.0f to %.0f | %.0f | %.0f | %d of %d |\n", l.Load*100, r.Servers[i].Name,
				s.P50.Median, s.P99.Median, s.P99.Low, s.P99.High, s.P999.Median, s.Late.Median, s.Within, r.Rounds)
		}
	}
	r.writeFoot(&b)
	_, err := io.WriteString(out, b.String())
	return err
}
