package ops

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// ErrStarting is why a gateway is not ready that has not been told otherwise.
var ErrStarting = errors.New("the gateway is starting")

// A Plane serves the operations plane. Its methods may be called from many
// goroutines.
type Plane struct {
	handler  http.Handler
	unready  atomic.Pointer[error] // nil: ready
	disk     atomic.Pointer[disk]
	subjects atomic.Pointer[subjects]
	centers  atomic.Pointer[Centers] // nil if there are none
}

// disk tells whether changes can be kept.
type disk struct {
	fault   func() error
	appends *Appends
}

// subjects are what the debug pages show, once they exist.
type subjects struct {
	table    *store.Table
	selector *discovery.Selector
}

// New returns a plane that shows what registry gathers. It is not ready, with
// [ErrStarting] as the reason. It starts no goroutine.
func New(registry *prometheus.Registry, log *slog.Logger) *Plane {
	p := &Plane{}
	p.SetReady(ErrStarting)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError),
	}))
	mux.Handle("/debug/", localOnly(p.debugPages()))
	p.handler = mux
	return p
}

// SetReady makes the gateway ready if why is nil, and otherwise not, because of
// why.
func (p *Plane) SetReady(why error) {
	if why == nil {
		p.unready.Store(nil)
		return
	}
	p.unready.Store(&why)
}

// Watch lets readiness follow whether changes can be kept: a gateway of which
// fault tells why it can keep none any more is not ready, and one whose last
// change was refused says so.
func (p *Plane) Watch(fault func() error, appends *Appends) { p.disk.Store(&disk{fault, appends}) }

// Ready reports whether the gateway is ready.
func (p *Plane) Ready() bool { return p.whyNot() == nil }

// whyNot returns why the gateway is not ready, or nil if it is.
func (p *Plane) whyNot() error {
	if why := p.unready.Load(); why != nil {
		return *why
	}
	// It can learn of no change any more; agents are better off elsewhere. It goes
	// on answering those who ask.
	if d := p.disk.Load(); d != nil {
		return d.fault()
	}
	return nil
}

// Show gives the debug pages their subjects.
func (p *Plane) Show(t *store.Table, s *discovery.Selector) { p.subjects.Store(&subjects{t, s}) }

// ShowCenters gives the index of the debug pages what Kaspersky Security Centers said.
func (p *Plane) ShowCenters(c *Centers) { p.centers.Store(c) }

// Server returns a server for the plane, with limits of its own: fewer and slower
// clients than the others have.
func (p *Plane) Server(log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           p.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // a profile runs for as long as it is asked to
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.With("plane", "ops").Handler(), slog.LevelDebug),
	}
}

func (p *Plane) readyz(w http.ResponseWriter, _ *http.Request) {
	if why := p.whyNot(); why != nil {
		say(w, http.StatusServiceUnavailable, "not ready: "+why.Error())
		return
	}
	text := "ready"
	if d := p.disk.Load(); d != nil {
		if why := d.appends.Refused(); why != nil {
			text += "; but the last change was refused: " + why.Error()
		}
	}
	say(w, http.StatusOK, text)
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error means that the client has gone.
	_, _ = io.WriteString(w, text+"\n")
}
