package ops

import (
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/sink"
	"github.com/svmgate/svmgate/store"
)

// EventFamilies tells how many events a table has, and how many clients follow them.
func EventFamilies(t *store.Table, streams func() int) []Family {
	return []Family{
		{Name: "events", Help: "Events in the table.", Read: func(emit Emit) { emit(float64(t.NumEvents())) }},
		{Name: "event_streams", Help: "Clients that follow events.", Read: func(emit Emit) { emit(float64(streams())) }},
	}
}

// SinkFamilies tells how events are delivered.
func SinkFamilies(s *sink.Sinks) []Family {
	one := func(name, help string, counter bool, n func(sink.Stats) float64) Family {
		return Family{Name: name, Help: help, Labels: []string{"sink"}, Counter: counter, Read: func(emit Emit) {
			for _, stats := range s.Stats() {
				emit(n(stats), stats.Name)
			}
		}}
	}
	return []Family{
		one("sink_delivered_total", "Events delivered, restarts included.", true, func(s sink.Stats) float64 { return float64(s.Delivered) }),
		one("sink_dropped_total", "Events that were never delivered: more waited than may, or the table forgot them first. Restarts included.", true,
			func(s sink.Stats) float64 { return float64(s.Dropped) }),
		one("sink_refused_total", "Events that the receiver does not want, restarts included.", true,
			func(s sink.Stats) float64 { return float64(s.Refused) }),
		one("sink_backlog", "Events that wait to be delivered.", false, func(s sink.Stats) float64 { return float64(s.Backlog) }),
		one("sink_failing", "Whether the last try to deliver failed (1) or not (0).", false, func(s sink.Stats) float64 { return number(s.Failing) }),
		one("sink_oldest_seconds", "How long the oldest event that waits has done so; 0 if none does.", false, func(s sink.Stats) float64 {
			if s.Oldest.IsZero() {
				return 0
			}
			return max(time.Since(s.Oldest).Seconds(), 0)
		}),
	}
}
