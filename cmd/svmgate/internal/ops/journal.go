package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/svmgate/svmgate/store"
)

// A Journal measures the journal within.
type Journal struct {
	store.Journal
	took    prometheus.Histogram
	records prometheus.Counter
	failed  prometheus.Counter
}

// NewJournal returns a journal that measures j and shows the figures in r.
func NewJournal(j store.Journal, r prometheus.Registerer) *Journal {
	m := &Journal{
		Journal: j,
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "svmgate_journal_append_seconds", Help: "How long a change took until it was on disk.",
			Buckets: []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5},
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "svmgate_journal_records_total", Help: "Records written to the journal."}),
		failed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "svmgate_journal_failures_total", Help: "Changes that the journal refused."}),
	}
	r.MustRegister(m.took, m.records, m.failed)
	return m
}

// Append implements [store.Journal].
func (m *Journal) Append(records []store.Record) error {
	begin := time.Now()
	err := m.Journal.Append(records)
	if err != nil {
		m.failed.Inc()
		return err
	}
	m.took.Observe(time.Since(begin).Seconds())
	m.records.Add(float64(len(records)))
	return nil
}
