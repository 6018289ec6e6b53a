package cli

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	// quietFor is how long a job may take before anything is shown of it.
	quietFor = 500 * time.Millisecond
	// redrawEvery is how often what is shown is drawn anew.
	redrawEvery = 100 * time.Millisecond
)

// A progress shows how far a job is, in one line of standard error that is gone
// at the end. Its methods may be called from many goroutines. A nil progress
// shows nothing.
type progress struct {
	out  io.Writer
	stop chan struct{} // closed by end
	gone chan struct{} // closed when nothing is drawn any more

	mu          sync.Mutex
	what        string
	done, total int64                    // bytes; total is 0 if nobody knows it, done if there are none to tell
	bar         *progressbar.ProgressBar // nil while nothing is drawn
}

// showProgress shows the progress of a job, if cmd has a terminal to show it on.
// The caller calls end.
func showProgress(cmd *cobra.Command, what string) *progress {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return startProgress(f, what)
}

func startProgress(out io.Writer, what string) *progress {
	p := &progress{out: out, what: what, stop: make(chan struct{}), gone: make(chan struct{})}
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.gone)
	next := time.NewTimer(quietFor)
	defer next.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-next.C:
			p.draw()
			next.Reset(redrawEvery)
		}
	}
}

// at tells that so many bytes are done, of total if that is not 0. It fits
// [store.Progress].
func (p *progress) at(done, total int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if total != p.total || p.done == 0 && done > 0 {
		p.clear() // the next one looks different
	}
	p.done, p.total = done, total
}

// now tells that the job has come to its next part.
func (p *progress) now(what string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.what, p.done, p.total = what, 0, 0
}

// tell says something else of the same part.
func (p *progress) tell(what string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what = what; p.bar != nil {
		p.bar.Describe(what)
	}
}

// without calls fn, which writes to the terminal, while nothing is drawn.
func (p *progress) without(fn func()) {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.clear()
	}
	fn()
}

// end removes what is shown. It may be called twice.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	<-p.gone
	p.without(func() {})
}

// clear removes what is drawn; it needs the lock held.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear() // an error means that the terminal has gone
		p.bar = nil
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// What drawing returns are errors of the terminal, or that a file grew while
	// it was read: neither is worth a word.
	if p.bar == nil {
		p.bar = p.newBar()
	}
	if p.done == 0 {
		_ = p.bar.RenderBlank()
		return
	}
	_ = p.bar.Set64(p.done)
}

func (p *progress) newBar() *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(p.what), progressbar.OptionSetWidth(30),
		progressbar.OptionUseIECUnits(true), progressbar.OptionSpinnerType(14), progressbar.OptionSetSpinnerChangeInterval(0),
		progressbar.OptionSetElapsedTime(true), progressbar.OptionClearOnFinish(),
	}
	if p.done > 0 {
		options = append(options, progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(p.total > 0), progressbar.OptionShowCount())
	}
	most := p.total
	if most <= 0 {
		most = -1 // a spinner
	}
	return progressbar.NewOptions64(most, options...)
}

// watched is a reader that tells p how much of size bytes was read from it, and,
// once that is all, that the job has come to then.
type watched struct {
	io.Reader
	p          *progress
	done, size int64
	then       string
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if w.done += int64(n); n > 0 {
		w.p.at(w.done, w.size)
		if w.done == w.size {
			w.p.now(w.then)
		}
	}
	return n, err
}
