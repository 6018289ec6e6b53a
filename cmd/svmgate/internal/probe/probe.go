package probe

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/store"
)

// Numbers of the package comment.
const (
	Every       = 5 * time.Second
	Jitter      = time.Second
	Timeout     = 2 * time.Second
	Concurrency = 64

	patience = 2 // failures in a row that make an SVM suspect
	watchers = 2 // gateways that probe an SVM
	alone    = 3 // so many SVMs that can not be reached, and no other that can: it is us
	maxLines = 10
)

// Config configures a [Prober]. All fields but Gateways, Dial and Log are required.
type Config struct {
	Table *store.Table
	Port  int    // TCP
	Self  string // name of this gateway

	// Suspect is told when an SVM becomes suspect, and when it no longer is.
	Suspect func(id store.SVMID, suspect bool)

	// Gateways returns the names of the gateways that are there, this one included. If
	// nil, it is alone.
	Gateways func() []string

	// Dial opens a connection; if nil, that of [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Log is told of changes of state, at most ten in a round. If nil, nobody is.
	Log *slog.Logger
}

// Stats are counts of a [Prober] since it was made, and how many SVMs are suspect to it
// now.
type Stats struct {
	Reached, Failed uint64
	Suspects        int
}

// A Prober probes SVMs while it runs.
type Prober struct {
	cfg  Config
	port string
	seen map[store.SVMID]*state // of those that fall to this gateway; only Run uses it

	reached, failed atomic.Uint64
	suspects        atomic.Int64
}

// state is what is known of an SVM.
type state struct {
	failures int // in a row
	suspect  bool
}

// A target is an SVM in a round, and what came of it.
type target struct {
	svm *store.SVMEntry
	err error // nil: it was reached
}

// New returns a Prober, which does nothing before it runs.
func New(cfg Config) *Prober {
	if cfg.Gateways == nil {
		cfg.Gateways = func() []string { return nil }
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Prober{cfg: cfg, port: strconv.Itoa(cfg.Port), seen: map[store.SVMID]*state{}}
}

// Stats returns the present counts. It may be called by any goroutine.
func (p *Prober) Stats() Stats {
	return Stats{Reached: p.reached.Load(), Failed: p.failed.Load(), Suspects: int(p.suspects.Load())}
}

// Run probes until ctx ends. It is called once.
func (p *Prober) Run(ctx context.Context) {
	timer := time.NewTimer(rand.N(Jitter)) // gateways that start together do not probe together
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next := time.Now().Add(Every - Jitter + rand.N(2*Jitter))
		p.round(ctx)
		timer.Reset(time.Until(next))
	}
}

// round probes every SVM that falls to this gateway, once.
func (p *Prober) round(ctx context.Context) {
	targets := p.targets()
	var work sync.WaitGroup
	todo := make(chan *target)
	for range min(Concurrency, len(targets)) {
		work.Go(func() {
			for t := range todo {
				t.err = p.probe(ctx, t.svm.Address)
			}
		})
	}
	for i := range targets {
		todo <- &targets[i]
	}
	close(todo)
	work.Wait()
	if ctx.Err() == nil {
		p.judge(targets)
	}
}

// targets are the SVMs that fall to this gateway.
func (p *Prober) targets() (list []target) {
	gateways, view := p.cfg.Gateways(), p.cfg.Table.View()
	for i := range view.NumSVMs() {
		e := view.SVM(i)
		if e != nil && p.cfg.Table.Load(i).State() != store.Down && p.watches(e.ID, gateways) {
			list = append(list, target{svm: e})
		}
	}
	return list
}

// watches reports whether an SVM falls to this gateway: fewer than two others have a
// greater hash of both.
func (p *Prober) watches(id store.SVMID, gateways []string) bool {
	own, before := weight(p.cfg.Self, id), 0
	for _, name := range gateways {
		if name != p.cfg.Self && weight(name, id) > own {
			before++
		}
	}
	return before < watchers
}

func weight(gateway string, id store.SVMID) uint64 {
	return xxhash.Sum64(append([]byte(gateway), id[:]...))
}

// probe reports why an address can not be reached.
func (p *Prober) probe(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	conn, err := p.cfg.Dial(ctx, "tcp", net.JoinHostPort(address, p.port))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// judge draws the consequences of a round.
func (p *Prober) judge(targets []target) {
	targets = slices.DeleteFunc(targets, func(t target) bool {
		_, unknown := errors.AsType[*net.DNSError](t.err)
		return unknown
	})
	before := p.seen
	p.seen = make(map[store.SVMID]*state, len(targets))
	reached, lines := 0, maxLines
	for _, t := range targets {
		if t.err == nil {
			reached++
		}
	}
	p.reached.Add(uint64(reached))
	p.failed.Add(uint64(len(targets) - reached))
	isolated := reached == 0 && len(targets) >= alone
	for _, t := range targets {
		s := before[t.svm.ID]
		if s == nil {
			s = new(state)
		}
		delete(before, t.svm.ID)
		p.seen[t.svm.ID] = s
		if s.failures++; t.err == nil {
			s.failures = 0
		}
		if suspect := s.failures >= patience && !isolated; suspect != s.suspect {
			p.mark(t.svm.ID, s, suspect)
			if lines--; lines >= 0 {
				p.say(&t, suspect)
			}
		}
	}
	for id, s := range before { // they fall to others now, are down, or gone
		if s.suspect {
			p.mark(id, s, false)
		}
	}
	if lines < 0 {
		p.cfg.Log.Warn("more SVMs became suspect or were reached again", "svms", -lines)
	}
}

func (p *Prober) mark(id store.SVMID, s *state, suspect bool) {
	s.suspect = suspect
	if suspect {
		p.suspects.Add(1)
	} else {
		p.suspects.Add(-1)
	}
	p.cfg.Suspect(id, suspect)
}

// say tells of an SVM that became suspect, or no longer is.
func (p *Prober) say(t *target, suspect bool) {
	at := []any{"svm", t.svm.ID, "name", t.svm.Name, "address", net.JoinHostPort(t.svm.Address, p.port)}
	switch {
	case suspect:
		p.cfg.Log.Warn("an SVM can not be reached: it is used last", append(at, "reason", t.err.Error())...)
	case t.err != nil:
		p.cfg.Log.Warn("no SVM can be reached from here: none is suspected for that", append(at, "reason", t.err.Error())...)
	default:
		p.cfg.Log.Info("an SVM is reached again", at...)
	}
}
