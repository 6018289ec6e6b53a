package ops

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/svmgate/svmgate/store"
)

// Appends measures what a table appends to its journal, and logs when changes
// begin to be refused and when they are accepted again: once each, however many
// are tried in between, unless the reason becomes another.
type Appends struct {
	log     *slog.Logger
	took    prometheus.Histogram
	records prometheus.Counter
	failed  prometheus.Counter
	full    prometheus.Gauge

	refused atomic.Pointer[error] // why the last change was; nil if it was not
}

// NewAppends returns Appends that show their figures in r. Its Observe is for
// [store.Config.OnAppend].
func NewAppends(r prometheus.Registerer, log *slog.Logger) *Appends {
	a := &Appends{
		log: log,
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "svmgate_journal_append_seconds", Help: "How long a change took until it was on disk.",
			Buckets: []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5},
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "svmgate_journal_records_total", Help: "Records written to the journal."}),
		failed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "svmgate_journal_failures_total", Help: "Times that the journal refused changes."}),
		full: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "svmgate_journal_full", Help: "Whether the last change was refused for want of space on the disk (1) or not (0).",
		}),
	}
	r.MustRegister(a.took, a.records, a.failed, a.full)
	return a
}

// Observe counts one append of so many records that took so long and ended with
// err. It may be called from many goroutines.
func (a *Appends) Observe(records int, took time.Duration, err error) {
	if err != nil {
		a.failed.Inc()
		a.full.Set(number(noSpace(err)))
		if before := a.refused.Swap(&err); before == nil || (*before).Error() != err.Error() {
			a.log.Error("changes are refused; questions go on", "reason", err.Error())
		}
		return
	}
	a.took.Observe(took.Seconds())
	a.records.Add(float64(records))
	if a.refused.Load() != nil && a.refused.Swap(nil) != nil {
		a.full.Set(0)
		a.log.Info("changes are accepted again")
	}
}

// Refused returns why the last change was refused, or nil if it was not.
func (a *Appends) Refused() error {
	if why := a.refused.Load(); why != nil {
		return *why
	}
	return nil
}

func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// DiskFamilies tells what a table keeps on disk and whether it can be written.
func DiskFamilies(disk func() store.DiskStats) []Family {
	one := func(name, help string, counter bool, n func(store.DiskStats) float64) Family {
		return Family{Name: name, Help: help, Counter: counter, Read: func(emit Emit) { emit(n(disk())) }}
	}
	return []Family{
		one("log_bytes", "Bytes of the log that the next start would replay.", false, func(d store.DiskStats) float64 { return float64(d.LogBytes) }),
		one("snapshot_bytes", "Bytes of the newest snapshot.", false, func(d store.DiskStats) float64 { return float64(d.SnapshotBytes) }),
		{
			Name: "snapshot_age_seconds", Help: "Time since the newest snapshot was written; absent while there is none.",
			Read: func(emit Emit) {
				if at := disk().SnapshotTime; !at.IsZero() {
					emit(time.Since(at).Seconds())
				}
			},
		},
		one("snapshots_total", "Snapshots written since the start.", true, func(d store.DiskStats) float64 { return float64(d.Snapshots) }),
		one("snapshot_failures_total", "Snapshots that could not be written.", true,
			func(d store.DiskStats) float64 { return float64(d.SnapshotFailures) }),
		one("journal_broken", "Whether nothing can be written until a restart (1) or not (0).", false,
			func(d store.DiskStats) float64 { return number(d.Fault != nil) }),
	}
}
