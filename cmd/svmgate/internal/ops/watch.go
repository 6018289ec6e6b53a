package ops

import "github.com/svmgate/svmgate/cmd/svmgate/internal/watch"

// WatchFamilies tells what events are made of, and how many.
func WatchFamilies(w *watch.Watch) []Family {
	each := func(name, help, label string, each func(func(string, uint64))) Family {
		return Family{Name: name, Help: help, Labels: []string{label}, Counter: true, Read: func(emit Emit) {
			each(func(value string, n uint64) { emit(float64(n), value) })
		}}
	}
	one := func(name, help string, n func(watch.Stats) uint64) Family {
		return Family{Name: name, Help: help, Counter: true, Read: func(emit Emit) { emit(float64(n(w.Stats()))) }}
	}
	return []Family{
		each("events_total", "Events that this gateway wrote by type; those of the audit together, as admin.", "type", w.EachEvent),
		each("watch_notices_total", "What answers to agents, and agents themselves, said of them.", "what", w.EachNotice),
		each("watch_dropped_total", "Notices dropped because the feed or a queue was full, or because no gateway took them: agents ask again.", "why", w.EachDrop),
		one("watch_told_total", "Notices that other gateways took, whose VMs they watch.", func(s watch.Stats) uint64 { return s.Told }),
		one("watch_heard_total", "Notices of other gateways that this one took.", func(s watch.Stats) uint64 { return s.Heard }),
		one("watch_refused_total", "Notices of other gateways that this one did not take: it does not watch the VM, or not yet, or has too many.",
			func(s watch.Stats) uint64 { return s.Refused }),
	}
}
