package watch_test

import (
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/store"
)

// reporting makes an SVM that reports, and lets it.
func (g *gateway) reporting(n, agents int, edit ...func(*store.SVM)) {
	g.t.Helper()
	g.svm(n, append(edit, func(s *store.SVM) { s.Pinned, s.State, s.ConnectedAgents = false, store.Down, agents })...)
}

func (g *gateway) report(n, agents int) {
	g.t.Helper()
	s, _ := g.table.SVM(svmID(n))
	g.must(func(tx *store.Tx) error { _, err := tx.ReportSVM(svmID(n), s.SVMFacts, agents); return err })
}

// An SVM that was up and falls silent is down, once, and up again when it reports. One
// that never reported is not down, one that drains is not, nor is one that is forgotten.
func TestSVMsDownAndUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const down, up = watch.SVMDown, watch.SVMUp
		g := newGateway(t, store.Config{})
		g.reporting(1, 0)
		g.reporting(2, 0)
		g.reporting(3, 0)
		g.must(func(tx *store.Tx) error { // it never reports
			_, err := tx.ConfigureSVM(svmID(4), store.SVMConfig{Name: "new", Address: "10.9.0.4"}, store.Ready)
			return err
		})
		time.Sleep(14 * time.Minute)
		g.must(func(tx *store.Tx) error { _, err := tx.ConfigureSVM(svmID(2), config(), store.Draining); return err })
		g.must(func(tx *store.Tx) error { _, err := tx.DeleteSVM(svmID(3)); return err })
		time.Sleep(time.Hour)
		g.want("silent", svmID(1), down)
		g.want("draining", svmID(2))
		g.want("forgotten", svmID(3))
		g.want("new", svmID(4))

		g.report(1, 0)
		g.want("reporting again", svmID(1), down, up)
		time.Sleep(20 * time.Minute)
		g.want("silent again", svmID(1), down, up, down)

		// A restart is no news: an SVM that is down is taken for up, until its time is over.
		g.close()
		g = newGateway(t, store.Config{Journal: journal(recordsOf(g.table))})
		if s, _ := g.table.SVM(svmID(1)); s.State != store.Ready {
			t.Fatalf("after a restart the SVM is %v", s.State)
		}
		g.want("after a restart", svmID(1), down, up, down)
		time.Sleep(20 * time.Minute)
		g.want("long after a restart", svmID(1), down, up, down)
		g.report(1, 0)
		g.want("reporting after a restart", svmID(1), down, up, down, up)

		// What was amiss with one that was forgotten is not that of one that gets its id.
		time.Sleep(20 * time.Minute)
		g.want("silent a third time", svmID(1), down, up, down, up, down)
		g.must(func(tx *store.Tx) error { _, err := tx.DeleteSVM(svmID(1)); return err })
		time.Sleep(5 * time.Second)
		g.reporting(1, 0)
		g.want("another with its id", svmID(1), down, up, down, up, down)
		time.Sleep(20 * time.Minute)
		g.want("which falls silent", svmID(1), down, up, down, up, down, down)
	})
}

func config() store.SVMConfig { return store.SVMConfig{Name: "svm", Address: "10.9.0.1"} }

// A pinned SVM is down when somebody says so.
func TestPinnedSVMs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := newGateway(t, store.Config{})
		g.svm(1)
		g.svm(2, func(s *store.SVM) { s.State = store.Down })
		time.Sleep(time.Hour)
		g.want("pinned", svmID(1))
		g.want("down from the start", svmID(2))
		g.svm(1, func(s *store.SVM) { s.State = store.Down })
		g.want("set down", svmID(1), watch.SVMDown)
		g.svm(1)
		g.want("set up", svmID(1), watch.SVMDown, watch.SVMUp)
	})
}

// An SVM above its hard cap is told once, until it has a tenth of it free.
func TestSVMsOverCapacity(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const over = watch.SVMOverCapacity
		g := newGateway(t, store.Config{})
		g.reporting(1, 100, func(s *store.SVM) { s.HardCap = 100 })
		g.want("full", svmID(1))
		g.report(1, 101)
		g.want("over", svmID(1), over)
		for _, agents := range []int{100, 102, 91, 110} {
			g.report(1, agents)
			time.Sleep(time.Minute)
		}
		g.want("still over", svmID(1), over)
		g.report(1, 90)
		time.Sleep(time.Minute)
		g.report(1, 101)
		g.want("over again", svmID(1), over, over)
		g.must(func(tx *store.Tx) error { _, err := tx.ConfigureSVM(svmID(1), config(), store.Ready); return err })
		g.want("without a cap", svmID(1), over, over)
		g.reporting(1, 101, func(s *store.SVM) { s.HardCap = 100 })
		g.want("with one again", svmID(1), over, over, over)
	})
}

// The end of a licence is told once, in time; another end is told again.
func TestLicensesExpire(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const expiring = watch.LicenseExpiring
		g := newGateway(t, store.Config{}, func(c *watch.Config) { c.LicenseWarning = 2 * time.Hour })
		ends := func(in time.Duration) func(*store.SVM) {
			at := time.Now().Add(in)
			return func(s *store.SVM) { s.License.Expires = store.Time{Time: at} }
		}
		g.svm(1, ends(3*time.Hour))
		g.svm(2)
		g.svm(3, ends(3*time.Hour), func(s *store.SVM) { s.License.State = store.LicenseDenied })
		g.svm(4, ends(-time.Hour))
		time.Sleep(55 * time.Minute)
		g.want("five minutes before", svmID(1))
		time.Sleep(6 * time.Minute)
		g.want("in time", svmID(1), expiring)
		g.close()
		g = newGateway(t, store.Config{Journal: journal(recordsOf(g.table))}, func(c *watch.Config) { c.LicenseWarning = 2 * time.Hour })
		time.Sleep(30 * time.Minute)
		g.want("after a restart", svmID(1), expiring)
		if _, err := g.table.ForgetEvents(store.Time{Time: time.Now()}, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		g.want("when the event is forgotten", svmID(1))
		g.svm(1, ends(time.Hour))
		time.Sleep(time.Minute)
		g.want("another end", svmID(1), expiring)
		g.want("without an end", svmID(2))
		g.want("denied", svmID(3))
		g.want("over already", svmID(4))
	})
}
