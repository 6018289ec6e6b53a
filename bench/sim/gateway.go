package sim

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// What is between gateways.
const (
	passOnEvery = 200 * time.Millisecond // news, as gossip does
	leastDelay  = 100 * time.Millisecond
	mostDelay   = time.Second
	lost        = 0.01        // of messages
	silentFor   = time.Minute // makes an SVM down; or three intervals of its reports, if that is longer
)

// A gateway is what a process of the daemon has of selection.
type gateway struct {
	run      *run
	number   int
	table    *store.Table
	selector *discovery.Selector
	stop     []func()

	news   []store.Record // not passed on yet
	report []int          // SVMs that report to it at this tick

	mu   sync.Mutex
	told []telling // by its selector's goroutine, not passed on yet
}

// A telling is what a selector told the others.
type telling struct {
	epoch uint64
	list  []discovery.Sighting
}

func (g *gateway) name() string { return fmt.Sprintf("gateway-%d", g.number) }

// open gives a gateway its table.
func (g *gateway) open(l *Lab) error {
	w := &g.run.World
	table, remove, err := l.table(w, store.Config{Node: g.name(), SVMTTL: max(silentFor, 3*w.Report)}, g.run.policy.Rule)
	if err != nil {
		return err
	}
	g.table, g.stop = table, []func(){func() { g.run.must(remove()) }}
	return nil
}

// start gives a gateway its selector.
func (g *gateway) start() error {
	r := g.run
	cfg := discovery.Config{
		Table: g.table, Node: g.name(), Gateways: func() int { return len(r.gateways) }, Admission: r.Admission,
	}
	if r.policy.Pick != nil {
		cfg.Policy = r.policy.Pick()
	}
	if len(r.gateways) > 1 {
		cfg.Tell = g.tell
	}
	s, err := discovery.New(cfg)
	if err != nil {
		return err
	}
	g.selector = s
	g.stop = append(g.stop, s.Close, g.table.Subscribe(g.learn))
	return nil
}

func (g *gateway) close() {
	for _, stop := range slices.Backward(g.stop) {
		stop()
	}
}

// learn keeps what others are to be told of: all but what came from them.
func (g *gateway) learn(news *store.News) {
	if news.From == "" {
		g.news = append(g.news, news.Records...)
	}
}

// tell is called by the selector's goroutine.
func (g *gateway) tell(epoch uint64, list []discovery.Sighting) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, telling{epoch, slices.Clone(list)})
}

// passOn sends news to every other gateway. Configuration arrives for certain, since
// gateways compare tables; loads may be lost.
func (g *gateway) passOn() {
	if len(g.news) == 0 {
		return
	}
	records := g.news
	g.news = nil
	certain := slices.ContainsFunc(records, func(r store.Record) bool { return r.Key.Kind != store.KindSVMLoad })
	g.run.each(g, certain, func(peer *gateway) {
		_, err := peer.table.Apply(store.Batch{Records: records, From: g.name()})
		g.run.must(err)
	})
}

// passTold sends what the selector has told to every other gateway.
func (g *gateway) passTold() {
	g.mu.Lock()
	told := g.told
	g.told = nil
	g.mu.Unlock()
	for _, t := range told {
		g.run.each(g, false, func(peer *gateway) { peer.selector.Hear(g.name(), t.epoch, t.list) })
	}
}

// each calls fn with every gateway but one, at a time of its own for each.
func (r *run) each(but *gateway, certain bool, fn func(peer *gateway)) {
	for _, peer := range r.gateways {
		if peer == but || !certain && r.rand.Float64() < lost {
			continue
		}
		delay := leastDelay + time.Duration(r.rand.Int64N(int64(mostDelay-leastDelay)))
		r.calls.add(r.tick+ticks(delay), func() { fn(peer) })
	}
}

// takeReports brings in the reports of this tick.
func (g *gateway) takeReports() {
	if len(g.report) == 0 {
		return
	}
	r := g.run
	r.must(g.table.Update(func(tx *store.Tx) error {
		for _, i := range g.report {
			s := &r.svms[i]
			// A gateway that has not been told of an SVM yet refuses its report.
			if _, err := tx.ReportSVM(s.id, s.facts, s.connected); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	}))
	g.report = g.report[:0]
}
