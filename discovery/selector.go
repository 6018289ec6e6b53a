package discovery

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/store"
)

// Unregistered is what an agent gets whose VM nobody registered.
type Unregistered uint8

const (
	// Deny answers [NotRegistered]: service ends when a VM is unregistered or its
	// tenant deleted. It departs from the vendor's product, on purpose.
	Deny Unregistered = iota
	// Serve answers as for a registered VM without tenant, as the vendor's
	// product does.
	Serve
)

// DefaultDeadAddress is the address of the SVM that does not exist: a host in
// TEST-NET-1, which RFC 5737 keeps unused.
const DefaultDeadAddress = "192.0.2.1"

// Config configures a [Selector]. Only Table is required; the zero value of
// every other field selects the default that its comment names.
type Config struct {
	// Table is where tenants, SVMs and VMs are looked up.
	Table *store.Table

	// Matrix says which versions fit. If nil, [DefaultMatrix].
	Matrix Matrix

	// Unregistered is what a VM gets that is not registered.
	Unregistered Unregistered

	// DeadAddress is given to agents of inactive tenants: an IP address where no
	// SVM is. If empty, [DefaultDeadAddress].
	DeadAddress string

	// OpenStackLocality is the level at which an SVM on an OpenStack platform is
	// local: PathHost (server group), PathCluster (project) or PathZone
	// (availability zone).
	OpenStackLocality store.PathLevel

	// Policy picks the first SVM for tenants whose load rule is [store.Balanced]. If
	// nil, the rule of the package comment.
	Policy Policy

	// ReturnAfter is how long a better class must have had a usable SVM before agents
	// that are well served move to it. If 0, 10 minutes; less than 0 means at once.
	ReturnAfter time.Duration

	// Node is the name by which the other gateways hear this one. If it is empty, or not all
	// of the others have been heard, this gateway leaves to them what does not divide evenly
	// of what is left under a hard cap.
	Node string

	// Gateways returns how many gateways answer agents at present, this one included.
	// It is called at every pulse. If nil, this one is alone.
	Gateways func() int

	// Tell is called every [TellEvery] while there are other gateways, by one goroutine,
	// which it must not hold up for long; they are to [Selector.Hear] what it is given. A
	// list may be heard in parts; the first part counts as all of it for the sharing of hard
	// caps. If nil, nobody is told.
	Tell func(epoch uint64, list []Sighting)

	// Admission bounds how many agents of a tenant a gateway sends to another SVM than
	// they have. The zero value sets no bound.
	Admission Admission

	// Logger receives changes of state, never single questions. If nil, nothing
	// is logged.
	Logger *slog.Logger
}

// An Admission is a bound for agents that need another SVM, so that the storm of one
// tenant starves no other and drowns no SVM: so many of each tenant a second, on this
// gateway. Those beyond it are told [Later]. Agents that keep what they have are
// always served.
type Admission struct {
	Rate  float64 // agents a second and tenant, at least 0.001 and at most a million; 0 means no bound
	Burst int     // agents at once, at most a million; if 0, what comes in two seconds, and at least 1
}

// A ConfigError reports a field of a [Config] that [New] can not accept.
type ConfigError struct {
	Field  string // name of the field, such as "Table"
	Reason string // what is wrong with it, such as "must not be nil"
}

func (e *ConfigError) Error() string { return fmt.Sprintf("discovery: %s %s", e.Field, e.Reason) }

// A Selector answers questions from a table. Its methods may be called by any
// number of goroutines. Create one with [New].
type Selector struct {
	table  *store.Table
	matrix Matrix
	log    *slog.Logger
	serve  bool
	level  store.PathLevel // at which OpenStack SVMs are local
	dead   Pick

	catalog   atomic.Pointer[catalog]
	ledger    *ledger
	policy    Policy
	admission admission

	node        string
	start       time.Time
	returnAfter time.Duration
	count       func() int // of gateways; may be nil
	tell        func(epoch uint64, list []Sighting)
	excessAt    time.Duration // see logVerdicts

	// Questions whose candidate set does not stand yet say so here. A full mailbox
	// loses what they say, and the next question of the kind says it again.
	misses chan miss
	built  sync.WaitGroup
	cancel func()
	stop   chan struct{}
	close  sync.Once
	idle   chan chan struct{}

	counts struct{ scans, builds, resets, badPicks, later, placed, moved atomic.Uint64 }
}

// New returns a Selector for cfg and starts the goroutine that builds candidate
// sets; Close stops it. If cfg is wrong the error is a [*ConfigError].
func New(cfg Config) (*Selector, error) {
	if cfg.Table == nil {
		return nil, &ConfigError{Field: "Table", Reason: "must not be nil"}
	}
	if cfg.OpenStackLocality > store.PathZone {
		return nil, &ConfigError{Field: "OpenStackLocality", Reason: "must be host, cluster or zone"}
	}
	if cfg.DeadAddress == "" {
		cfg.DeadAddress = DefaultDeadAddress
	}
	if _, err := netip.ParseAddr(cfg.DeadAddress); err != nil {
		return nil, &ConfigError{Field: "DeadAddress", Reason: fmt.Sprintf("%q is not an IP address", cfg.DeadAddress)}
	}
	admission, err := newAdmission(cfg.Admission)
	if err != nil {
		return nil, err
	}
	if cfg.Matrix == nil {
		cfg.Matrix = DefaultMatrix()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ReturnAfter == 0 {
		cfg.ReturnAfter = 10 * time.Minute
	}
	dead := &store.SVM{SVMConfig: store.SVMConfig{Address: cfg.DeadAddress}}
	s := &Selector{
		table: cfg.Table, matrix: cfg.Matrix, log: cfg.Logger,
		serve: cfg.Unregistered == Serve, level: cfg.OpenStackLocality,
		dead: Pick{
			SVM: dead, fragment: string(appendFragment(nil, dead)), index: -1,
			print: xxhash.Sum64String(string(dead.ID[:]) + dead.Address),
		},
		policy: cfg.Policy, admission: admission, node: cfg.Node, start: clock(),
		returnAfter: cfg.ReturnAfter, count: cfg.Gateways, tell: cfg.Tell,
		misses: make(chan miss, 1024), stop: make(chan struct{}), idle: make(chan chan struct{}),
	}
	s.ledger = newLedger(s)
	s.cancel = cfg.Table.Observe(s.follow)
	s.beat()
	s.built.Go(func() { s.work(s.misses) })
	return s, nil
}

// Close stops the selector's goroutine and its following of the table. Questions
// are still answered, from tenants and SVMs as they were; a VM that refers to what
// came later counts as not registered. Closing again does nothing.
func (s *Selector) Close() {
	s.close.Do(func() {
		s.cancel()
		close(s.stop)
		s.built.Wait()
	})
}

// Wait returns when the candidate sets that questions have asked for so far
// stand, if the table does not change meanwhile: a change may take away sets, and
// the next question of their kind asks again. It is for tests and benchmarks.
func (s *Selector) Wait() {
	done := make(chan struct{})
	select {
	case s.idle <- done:
		<-done
	case <-s.stop:
	}
}

// Stats are counts since the selector was made, and the sets that stand.
type Stats struct {
	Sets     int    // candidate sets that stand
	SetBytes int    // their size
	Scans    uint64 // sets that were missing when a question came
	Builds   uint64 // sets built
	Resets   uint64 // times that all sets were dropped because they were too many
	BadPicks uint64 // picks of the policy that were not in the class
	Later    uint64 // questions answered [Later]
	Placed   uint64 // agents that had no SVM and were sent to one
	Moved    uint64 // agents that were sent to another SVM
	Suspects int    // SVMs that agents, probes or other gateways can not reach, now
	Held     int    // SVMs that are down but used all the same, now
}

// Stats returns the present counts.
func (s *Selector) Stats() Stats {
	c := s.catalog.Load()
	sets := c.sets.Load()
	stats := Stats{
		Sets: sets.count, SetBytes: sets.bytes,
		Scans: s.counts.scans.Load(), Builds: s.counts.builds.Load(), Resets: s.counts.resets.Load(),
		BadPicks: s.counts.badPicks.Load(), Later: s.counts.later.Load(),
		Placed: s.counts.placed.Load(), Moved: s.counts.moved.Load(),
	}
	for i := range c.view.NumSVMs() {
		traits := s.ledger.accounts[i].traits.Load()
		stats.Suspects += int(traits / traitSuspect & 1)
		stats.Held += int(traits / traitHeld & 1)
	}
	return stats
}
