package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/bench"
)

// runShown runs and shows on a terminal how far it is.
func (f *benchFlags) runShown(cmd *cobra.Command) (*bench.Result, error) {
	p := showProgress(cmd, "asking")
	defer p.end()
	if p != nil {
		f.cfg.Progress = func(at bench.Progress) {
			left := ""
			if rest := (at.Of - at.Done).Round(time.Second); rest > 0 {
				left = fmt.Sprintf(", %v left", rest)
			}
			p.tell(fmt.Sprintf("step %d (%s, %.0f/s%s): %.0f/s, p99 %v, %d errors", at.Step+1, at.Purpose, at.Asked, left,
				at.Moment.Rate, micros(at.Moment.P99), at.Moment.Errors))
		}
	}
	return bench.Run(cmd.Context(), f.cfg)
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// showBench writes a result for people.
func showBench(w io.Writer, r *bench.Result) error {
	header := table.Row{"STEP", "ASKED/S", "ANSWERED/S", "GOOD/S", "ERRORS", "P50", "P99", "P99.9", "MAX", "LAG P99", "SERVER CPU/REQ", "MEMORY"}
	rows := make([]table.Row, 0, len(r.Steps))
	for i := range r.Steps {
		s := &r.Steps[i]
		failed := 0
		for _, n := range s.Errors {
			failed += n
		}
		cpu, memory := "-", "-"
		if s.Server != nil {
			cpu, memory = fmt.Sprintf("%.1fµs", s.Server.CPUMicrosecondsPerRequest), fmt.Sprintf("%.0f MiB", s.Server.ResidentBytes/(1<<20))
		}
		name := s.Purpose
		if s.OfCapacity > 0 {
			name = fmt.Sprintf("%s %.0f%%", name, s.OfCapacity*100)
		}
		if s.Updates > 0 {
			name += " +changes"
		}
		rows = append(rows, table.Row{
			name, round(s.Asked), round(s.RateAchieved), round(s.Goodput), failed, micros(s.Latency.P50).String(), micros(s.Latency.P99).String(),
			micros(s.Latency.P999).String(), micros(s.Latency.Max).String(), micros(s.Lag.P99).String(), cpu, memory,
		})
	}
	err := printTable(w, header, rows)
	var notes strings.Builder
	for i := range r.Steps {
		noteStep(&notes, &r.Steps[i])
	}
	noteRun(&notes, r)
	_, err2 := io.WriteString(w, notes.String())
	return errors.Join(err, err2)
}

func round(v float64) string { return fmt.Sprintf("%.0f", v) }

// noteStep tells what a row has no room for.
func noteStep(w *strings.Builder, s *bench.Step) {
	if s.Purpose != "rate" {
		return
	}
	fmt.Fprintf(w, "\nat %.0f/s:\n", s.Asked)
	for _, kind := range slices.Sorted(maps.Keys(s.Kinds)) {
		k := s.Kinds[kind]
		fmt.Fprintf(w, "  %s: %d of %d answered, p50 %v, p99 %v", kind, k.Answered, k.Scheduled, micros(k.Latency.P50), micros(k.Latency.P99))
		if k.Decisions > k.Answered {
			fmt.Fprintf(w, ", %.0f decisions/s", float64(k.Decisions)/max(s.Seconds, 0.001))
		}
		if k.Changed+k.Unfinished > 0 {
			fmt.Fprintf(w, ", %d changed, %d still waited", k.Changed, k.Unfinished)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "  the generator was held up: p99 %v, at most %v\n", micros(s.Pauses.P99), micros(s.Pauses.Max))
	for _, result := range slices.Sorted(maps.Keys(s.Results)) {
		fmt.Fprintf(w, "  result %s: %d\n", result, s.Results[result])
	}
	for _, kind := range slices.Sorted(maps.Keys(s.Errors)) {
		fmt.Fprintf(w, "  error: %s: %d\n", kind, s.Errors[kind])
	}
	if s.Connects.Dialed > 0 {
		fmt.Fprintf(w, "  connections made: %d, TLS handshakes: %d full, %d resumed\n", s.Connects.Dialed, s.Connects.Full, s.Connects.Resumed)
	}
	if s.RecoverySeconds != nil {
		if *s.RecoverySeconds < 0 {
			fmt.Fprintln(w, "  did not recover from the overload")
		} else {
			fmt.Fprintf(w, "  recovered from the overload after %.1f s\n", *s.RecoverySeconds)
		}
	}
}

func noteRun(w *strings.Builder, r *bench.Result) {
	if c := r.Capacity; c != nil {
		fmt.Fprintf(w, "\ncapacity: %.0f requests/s", c.RequestsPerSecond)
		switch {
		case c.Told:
			fmt.Fprint(w, ", as was told")
		case c.FailedAt > 0:
			fmt.Fprintf(w, "; at %.0f %s", c.FailedAt, c.Why)
		default:
			fmt.Fprint(w, " at least: no rate failed")
		}
		fmt.Fprintln(w)
	}
	if c := r.Churn; c != nil {
		fmt.Fprintf(w, "\nwith %.0f changes/s: %.1f%% of the throughput", c.UpdatesPerSecond, c.Throughput*100)
		if c.CPU > 0 {
			fmt.Fprintf(w, ", %.1f%% of the processor time for a request", c.CPU*100)
		}
		fmt.Fprintln(w)
	}
	for _, v := range r.Verdicts {
		word := "kept:  "
		if !v.Holds {
			word = "MISSED:"
		}
		at := ""
		if v.Step >= 0 {
			at = fmt.Sprintf("at %.0f/s ", r.Steps[v.Step].Asked)
		}
		fmt.Fprintf(w, "%s %s%s\n", word, at, v)
	}
}
