package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/svmgate/svmgate/bench"
)

// An occasion is where, when and how something was measured.
type occasion struct {
	Machine bench.Machine  `json:"machine"`
	Kernel  string         `json:"kernel"`
	Load    string         `json:"load"` // of the machine when it began, as /proc/loadavg has it
	Date    string         `json:"date"`
	Commit  string         `json:"commit"`
	Command string         `json:"command"`
	World   map[string]int `json:"world"`
	Rounds  int            `json:"rounds"`
	Slice   float64        `json:"sliceSeconds"`
}

// thisOccasion is that of this run.
func thisOccasion(ctx context.Context, o *options) occasion {
	return occasion{
		Machine: bench.ThisMachine(), Kernel: kernel(), Load: loadavg(), Date: time.Now().UTC().Format(time.DateOnly),
		Commit: commit(ctx), Command: strings.Join(os.Args, " "),
		World:  map[string]int{"vms": o.vms, "tenants": o.tenants, "svms": o.svms},
		Rounds: o.rounds, Slice: o.slice.Seconds(),
	}
}

// writeWorld begins a page with what is asked about.
func (o *occasion) writeWorld(b *strings.Builder) {
	fmt.Fprintf(b, "%d VMs, %d tenants, %d SVMs, random agents; %d rounds of slices of %g s, in an order shuffled for each round.\n",
		o.World["vms"], o.World["tenants"], o.World["svms"], o.Rounds, o.Slice)
}

// writeFoot ends a page with where and by what command it was made.
func (o *occasion) writeFoot(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s, %d processors, kernel %s, %s, load %s before; commit %s, %s:\n\n```sh\n%s\n```\n",
		o.Machine.Processor, o.Machine.CPUs, o.Kernel, o.Machine.Go, o.Load, o.Commit, o.Date, o.Command)
}

// A report is what a run measured.
type report struct {
	occasion
	Groups  []group           `json:"groups"`
	Skipped map[string]string `json:"skipped,omitempty"`
}

// A group is what was measured together, against the same server.
type group struct {
	Name    string `json:"name"`
	Against string `json:"against"`
	Rows    []line `json:"rows"`
}

// A line is what one server needed.
type line struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Bytes   int    `json:"answerBytes"`
	CPU     figure `json:"cpuMicroseconds"`
	Ratio   figure `json:"ratio"` // of processor time, to the server of the group in the same round
	Rate    figure `json:"requestsPerSecond"`
}

// lineOf sums up a row's rounds, beside those of another.
func lineOf(r, against *row) line {
	cpu, ratio, rate := make([]float64, len(r.rounds)), make([]float64, len(r.rounds)), make([]float64, len(r.rounds))
	for i, m := range r.rounds {
		cpu[i], rate[i] = m.CPU/1000, m.Rate
		ratio[i] = m.CPU / against.rounds[i].CPU
	}
	return line{
		Name: r.name, Version: r.version, Bytes: r.bytes, CPU: figureOf(cpu), Ratio: figureOf(ratio), Rate: figureOf(rate),
	}
}

// busy returns the share of the time in which the server had its processor.
func (l *line) busy() float64 { return l.CPU.Median * l.Rate.Median / 1e6 }

// writeMarkdown writes the report as a page of tables.
func (r *report) writeMarkdown(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# The same question, put to others\n\n")
	r.writeWorld(&b)
	fmt.Fprintf(&b, "Processor time of the server for each answer, user and system, as the kernel accounts it: medians,\n")
	fmt.Fprintf(&b, "and of the ratios in the same round also the quartiles. One processor serves, another asks.\n")
	for _, g := range r.Groups {
		fmt.Fprintf(&b, "\n## %s\n\n", g.Name)
		fmt.Fprintf(&b, "| server | version | answer, bytes | CPU, µs | × %s | quartiles | requests/s | busy |\n|---|---|--:|--:|--:|--:|--:|--:|\n", g.Against)
		for _, l := range g.Rows {
			fmt.Fprintf(&b, "| %s | %s | %d | %.2f | %.3f | %.3f to %.3f | %.0f | %.0f %% |\n",
				l.Name, l.Version, l.Bytes, l.CPU.Median, l.Ratio.Median, l.Ratio.Low, l.Ratio.High, l.Rate.Median, 100*l.busy())
		}
	}
	if len(r.Skipped) > 0 {
		b.WriteString("\nSkipped:\n\n")
		for _, name := range slices.Sorted(maps.Keys(r.Skipped)) {
			fmt.Fprintf(&b, "- %s: %s\n", name, r.Skipped[name])
		}
	}
	r.writeFoot(&b)
	_, err := io.WriteString(out, b.String())
	return err
}

// groupOf sums up a group, whose ratios are to fasthttp.
func groupOf(rows []*row) group {
	against := rows[slices.IndexFunc(rows, func(r *row) bool { return strings.HasPrefix(r.name, "fasthttp") })]
	g := group{Name: rows[0].group, Against: against.name}
	for _, r := range rows {
		g.Rows = append(g.Rows, lineOf(r, against))
	}
	return g
}

// save writes a report into a directory, for people and for programs.
func save(dir, name string, r interface{ writeMarkdown(out io.Writer) error }) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for ending, write := range map[string]func(io.Writer) error{".md": r.writeMarkdown, ".json": func(out io.Writer) error {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}} {
		f, err := os.Create(filepath.Join(dir, name+ending))
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
