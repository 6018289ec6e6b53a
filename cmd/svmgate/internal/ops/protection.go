package ops

import "github.com/svmgate/svmgate/cmd/svmgate/internal/protection"

// ProtectionFamilies tells what is collected of VMs' protection, and which reports are
// kept.
func ProtectionFamilies(b *protection.Book, f *protection.Files) []Family {
	one := func(name, help string, counter bool, n func(protection.Stats) float64) Family {
		return Family{Name: "protection_" + name, Help: help, Counter: counter, Read: func(emit Emit) { emit(n(b.Stats())) }}
	}
	return []Family{
		{
			Name: "protection_collecting", Help: "Whether it is collected on which days VMs are protected (1) or not (0).",
			Read: func(emit Emit) { emit(number(b.Collecting())) },
		},
		one("statements_total", "What agents said of their connections.", true, func(s protection.Stats) float64 { return float64(s.Said) }),
		one("agents_known", "Agents whose last statement is remembered.", false, func(s protection.Stats) float64 { return float64(s.Known) }),
		one("days_written_total", "Days, or days in a row, of a VM that were new.", true, func(s protection.Stats) float64 { return float64(s.Written) }),
		one("days_waiting", "Proven days that wait to be written down.", false, func(s protection.Stats) float64 { return float64(s.Waiting) }),
		one("days_dropped_total", "Proven days that found no room among those that wait; the agent's next statement proves them again.", true,
			func(s protection.Stats) float64 { return float64(s.Dropped) }),
		one("days_unwritten_total", "Proven days that were not written, because the VM was unregistered meanwhile or a clock was set back.", true,
			func(s protection.Stats) float64 { return float64(s.Unwritten) }),
		one("write_failures_total", "Attempts to write days down that the table refused; they are repeated.", true,
			func(s protection.Stats) float64 { return float64(s.Failures) }),
		{
			Name: "protection_sessions_total", Help: "Sessions that SVMs told of by what became of them.", Labels: []string{"result"}, Counter: true,
			Read: func(emit Emit) {
				s := b.Stats()
				emit(float64(s.Sessions), "taken")
				emit(float64(s.RefusedSessions), "refused")
			},
		}, {
			Name: "protection_reports", Help: "Reports of the Integration Server's API that are kept here.",
			Read: func(emit Emit) { ids, _ := f.Kept(); emit(float64(len(ids))) },
		}, {
			Name: "protection_report_bytes", Help: "How large they are together.",
			Read: func(emit Emit) { _, bytes := f.Kept(); emit(float64(bytes)) },
		},
	}
}
