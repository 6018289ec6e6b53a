package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// beat is how often pauses are looked for. A shorter one would be work that shows in
// what is measured; this one is five hundred wakings a second.
const beat = 2 * time.Millisecond

// Pauses watches, until stop is called, how late this process wakes when it has asked
// to: what its machine, its neighbours there and its own work take from it. A request
// that falls due at any time would be so much later, however quick who is asked.
//
// A pause counts for all the moments that it held up, not once, as latencies do (see
// the package comment): so the percentiles of both can be compared.
func Pauses() (stop func() Percentiles) {
	quit, gone := make(chan struct{}), make(chan struct{})
	sum := pauses{next: beat, late: histogram(3)}
	start := time.Now() // to begin late is to be held up, too
	go func() {
		defer close(gone)
		alarm := newAlarm()
		defer alarm.close()
		for {
			alarm.sleep(sum.next - time.Since(start))
			sum.woke(time.Since(start))
			select {
			case <-quit:
				return
			default:
			}
		}
	}()
	return func() Percentiles {
		close(quit)
		<-gone
		return percentiles(sum.late)
	}
}

// pauses is what somebody saw who wanted to wake at each beat. Times are since the
// start.
type pauses struct {
	next time.Duration
	late *hdrhistogram.Histogram
}

// woke notes how late it is for all the beats that are over.
func (p *pauses) woke(now time.Duration) {
	for ; p.next <= now; p.next += beat {
		_ = p.late.RecordValue(micros(now - p.next)) // micros returns no value out of range
	}
}

// doubt says why a step that missed a limit of its latency may have missed it through
// no fault of the gateway's: the generator was held up for half of the limit or more.
// It is empty if there is no such doubt. One that is kept is kept in spite of pauses.
func (s *Step) doubt(limit time.Duration) string {
	p99 := time.Duration(s.Pauses.P99) * time.Microsecond
	if s.Pauses.Count == 0 || p99 < limit/2 {
		return ""
	}
	return fmt.Sprintf("the generator's own pauses have p99 %v", p99)
}
