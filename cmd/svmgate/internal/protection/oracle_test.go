package protection

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

var histories = flag.Int("protection.histories", 200, "how many random `histories` TestOracle goes through")

// TestOracle holds Book and table to a model that is too simple to be wrong: it goes
// through the minutes one by one. Histories have several gateways whose tables are merged
// now and then, in any order; statements and sessions that overlap, come late, are
// nonsense, or whose end is missing; gateways that restart, with and without an orderly
// end; clocks that are set back and forth; VMs that move, go and come back.
func TestOracle(t *testing.T) {
	for seed := range uint64(*histories) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { newHistory(t, seed).play() }) {
			return
		}
	}
}

// horizon is how long a history may get, and day a day, in minutes.
const horizon, day = 14 * 24 * 60, 24 * 60

// epoch is the first minute of histories.
var epoch = time.Date(2026, 2, 24, 0, 0, 0, 0, time.UTC)

func clock(minute int) time.Time { return epoch.Add(time.Duration(minute) * time.Minute) }

// An owner is a VM with a tenant of its own time.
type owner struct {
	tenant store.TenantID
	vm     store.BIOSID
}

// heard is what a gateway of the model heard last of an agent.
type heard struct {
	at        int
	connected bool
}

// A teller is a gateway.
type teller struct {
	table *store.Table
	book  *Book
	ahead int // its machine's clock, in minutes

	last   map[store.BIOSID]heard // since it started
	behind map[owner][]int        // minutes that are proven and not on disk
}

type history struct {
	*testing.T
	*rand.Rand
	now      int
	keep     int
	gateways []*teller
	vms      []store.BIOSID
	tenants  []store.TenantID
	minutes  map[owner]*[horizon]bool // that are proven
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		T: t, Rand: rand.New(rand.NewPCG(seed, 7)), now: 4 * day, keep: store.MaxDays,
		tenants: []store.TenantID{{}, {1}, {2}}, minutes: map[owner]*[horizon]bool{},
	}
	if h.IntN(3) == 0 {
		h.keep = 1 + h.IntN(6)
	}
	for i := range 1 + h.IntN(3) {
		h.vms = append(h.vms, store.BIOSID{byte(i + 1)})
	}
	for i := range 1 + h.IntN(3) {
		table, err := store.Open(store.Config{Node: fmt.Sprint("gw-", i), Clock: h.clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = table.Close() })
		g := &teller{table: table, ahead: h.clockError()}
		h.start(g)
		h.gateways = append(h.gateways, g)
	}
	for i := range h.tenants[1:] {
		h.change(h.gateways[0], func(tx *store.Tx) error {
			_, err := tx.PutTenant(store.Tenant{ID: h.tenants[i+1], Name: fmt.Sprint("tenant ", i), Discovery: store.DefaultDiscovery()})
			return err
		})
	}
	for i := range h.vms {
		h.register(h.gateways[0], i)
	}
	for _, to := range h.gateways[1:] {
		h.bring(h.gateways[0], to)
	}
	return h
}

// clock is that of the tables: gateways agree on the time.
func (h *history) clock() time.Time { return clock(h.now) }

// clockError is by how much a machine's clock is wrong, by which statements are told.
func (h *history) clockError() int { return []int{0, 0, 0, 5, -5, 60, -60, 180, -180}[h.IntN(9)] }

// start starts a gateway anew: what it had heard is gone.
func (h *history) start(g *teller) {
	var err error
	if g.book, err = New(Config{Table: g.table, Collect: true, Keep: h.keep, Clock: h.clock}); err != nil {
		h.Fatal(err)
	}
	g.last, g.behind = map[store.BIOSID]heard{}, map[owner][]int{}
}

// flush brings to disk what waits.
func (h *history) flush(g *teller) {
	g.book.writeAll(h.Context(), g.book.queue.take(nil))
	for who, minutes := range g.behind {
		h.mark(who, minutes)
	}
	clear(g.behind)
}

// mark has minutes written down, but for those of days that are yet to come.
func (h *history) mark(who owner, minutes []int) {
	if h.minutes[who] == nil {
		h.minutes[who] = new([horizon]bool)
	}
	for _, m := range minutes {
		if m/day <= h.now/day {
			h.minutes[who][m] = true
		}
	}
}

// change changes a table; what waits is written before, so that it is the model's, too.
func (h *history) change(g *teller, fn func(*store.Tx) error) {
	h.flush(g)
	if err := g.table.Update(fn); err != nil {
		h.Fatal(err)
	}
}

func (h *history) register(g *teller, vm int) {
	tenant := h.tenants[h.IntN(len(h.tenants))]
	h.change(g, func(tx *store.Tx) error {
		_, err := tx.PutVM(store.VM{BIOS: h.vms[vm], Tenant: tenant, Name: fmt.Sprint("vm ", vm)})
		return err
	})
}

// merge brings all that one gateway has to another.
func (h *history) merge() {
	from, to := h.gateways[h.IntN(len(h.gateways))], h.gateways[h.IntN(len(h.gateways))]
	h.bring(from, to)
}

func (h *history) bring(from, to *teller) {
	if from == to {
		return
	}
	h.flush(to)
	var records []store.Record
	from.table.Records(func(r store.Record) bool { records = append(records, r); return true })
	h.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	if _, err := to.table.Apply(store.Batch{Records: records, From: "peer", Lenient: true}); err != nil {
		h.Fatal(err)
	}
}

func (h *history) play() {
	for range 30 + h.IntN(120) {
		h.step()
	}
	for range 2 {
		for _, g := range h.gateways {
			h.flush(g)
			for _, to := range h.gateways {
				h.bring(g, to)
			}
		}
	}
	want := h.expected()
	for _, g := range h.gateways {
		if got := h.reported(g); !slices.Equal(got, want) {
			h.Errorf("a gateway that keeps %d days, on %s, reports\n%s\nwant\n%s", h.keep, clock(h.now), got, want)
		}
	}
}

func (h *history) step() {
	g := h.gateways[h.IntN(len(h.gateways))]
	vm := h.IntN(len(h.vms))
	h.now += []int{0, 1, 5, 5, 5, 30, 59, 60, 61, 300, 1440}[h.IntN(11)]
	if h.IntN(8) == 0 { // shortly before midnight
		h.now = max(h.now, h.now/day*day+day-1-h.IntN(70))
	}
	h.now = min(h.now, 11*day)
	switch p := h.IntN(100); {
	case p < 52:
		h.say(g, h.vms[vm], h.IntN(4) > 0)
	case p < 71:
		h.session(g, h.vms[vm])
	case p < 78:
		h.merge()
	case p < 82:
		h.register(g, vm)
	case p < 84:
		h.change(g, func(tx *store.Tx) error {
			if _, err := tx.DeleteVM(h.vms[vm]); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return nil
		})
	case p < 87:
		h.flush(g)
	case p < 90: // killed
		h.start(g)
	case p < 92: // stopped
		h.flush(g)
		h.start(g)
	case p < 93:
		g.book.tidy()
	case p < 94:
		if _, err := g.table.ForgetProtection(g.book.kept(h.clock()).first); err != nil {
			h.Fatal(err)
		}
	default:
		g.ahead = h.clockError()
	}
}

// say has an agent tell whether it is connected.
func (h *history) say(g *teller, id store.BIOSID, connected bool) {
	at := h.now + g.ahead
	g.book.Said(id, connected, clock(at).Add(time.Duration(h.IntN(1e9)))) // fractions of a second say nothing
	vm, ok := g.table.VM(id)
	if !ok {
		return
	}
	who, last := owner{vm.Tenant, id}, g.last[id]
	for m := range horizon {
		between := last.connected && last.at <= m && m < at && at-last.at <= 60
		if between || connected && m == at {
			g.behind[who] = append(g.behind[who], m)
		}
	}
	g.last[id] = heard{at, connected}
}

// session has an SVM tell of a connection, or of nonsense.
func (h *history) session(g *teller, id store.BIOSID) {
	to := h.now + 3 - h.IntN([]int{6, 100, 3 * day}[h.IntN(3)])
	from := to + 5 - h.IntN([]int{10, 300, 2 * day}[h.IntN(3)])
	if h.IntN(4) == 0 {
		to = to / day * day // midnight
	}
	from, to = max(0, from), max(0, to)
	vm, registered := g.table.VM(id)
	_, refused, err := g.book.Take([]Session{{id, clock(from), clock(to)}})
	if err != nil {
		h.Fatal(err)
	}
	oldest := h.now/day*day - (h.keep-1)*day // the first minute that is kept
	var minutes []int
	for m := range horizon {
		if m >= max(0, oldest) && (from <= m && m < to || from == to && m == from) {
			minutes = append(minutes, m)
		}
	}
	bad := !registered || to < from || to > h.now+1 || len(minutes) == 0
	if (refused[0] != nil) != bad {
		h.Errorf("a session from %d to %d, now %d, registered %v: %v", from, to, h.now, registered, refused[0])
	}
	if !bad {
		h.mark(owner{vm.Tenant, id}, minutes)
	}
}

// expected are the days that are to be reported.
func (h *history) expected() (list []string) {
	for who, minutes := range h.minutes {
		for d := max(0, h.now/day-h.keep+1); d <= h.now/day; d++ {
			if slices.Contains(minutes[d*day:(d+1)*day], true) {
				list = append(list, fmt.Sprintln(who.tenant, who.vm, clock(d*day).Format(time.DateOnly)))
			}
		}
	}
	slices.Sort(list)
	return list
}

func (h *history) reported(g *teller) (list []string) {
	var before Period
	g.book.Periods(Query{}, func(p *Period) bool {
		if before.Protection != nil && before.VM == p.VM && before.Tenant == p.Tenant && p.First <= before.Last+1 {
			h.Errorf("a period to %s is followed by one from %s", before.Last, p.First)
		}
		before = Period{&store.Protection{VM: p.VM, Tenant: p.Tenant}, p.First, p.Last}
		for d := p.First; d <= p.Last; d++ {
			list = append(list, fmt.Sprintln(p.Tenant, p.VM, d))
		}
		return true
	})
	slices.Sort(list)
	return list
}
