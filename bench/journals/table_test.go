package journals

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/svmgate/svmgate/bench"
)

// A row of the table that the benchmarks print when all are done.
type row struct {
	what, unit, who string
	series
	ratio float64
}

var table []row

// printTable prints what the benchmarks measured, if any ran.
func printTable(out io.Writer) {
	if len(table) == 0 {
		return
	}
	m := bench.ThisMachine()
	fmt.Fprintf(out, "\n%s, %d cores, %s; medians of alternating slices\n\n", m.Processor, m.CPUs, m.Go)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\t\tper second\tratio\tp50 µs\tp99 µs\tmax µs\t")
	for _, r := range table {
		fmt.Fprintf(w, "%s, %s\t%s\t%.0f\t%.2f\t%d\t%d\t%d\t\n", r.what, r.unit, r.who, r.rate, r.ratio,
			r.took.ValueAtQuantile(50), r.took.ValueAtQuantile(99), r.took.Max())
	}
	_ = w.Flush()
	fmt.Fprintln(out)
}
