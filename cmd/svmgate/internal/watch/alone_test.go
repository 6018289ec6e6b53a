package watch_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/agentapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
	"github.com/valyala/fasthttp"
)

// Things of the tests, by number.
func tenantID(n int) store.TenantID { return store.TenantID{1, 15: byte(n)} }
func svmID(n int) store.SVMID       { return store.SVMID{2, 15: byte(n)} }
func vmID(n int) store.BIOSID {
	return store.BIOSID{3, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
}

// A gateway is a table with a selector, an agent plane and a watch.
type gateway struct {
	t        testing.TB
	table    *store.Table
	selector *discovery.Selector
	feed     *watch.Feed
	agents   *agentapi.API
	watch    *watch.Watch
	end      func() // ends the watch, and waits
	said     *said
}

// said is what a protection book is told.
type said struct {
	mu   sync.Mutex
	list []watch.Notice
}

func (s *said) Said(vm store.BIOSID, connected bool, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := watch.Disconnected
	if connected {
		what = watch.Connected
	}
	s.list = append(s.list, watch.Notice{VM: vm, What: what})
}

// newGateway opens a gateway that is alone, in a bubble.
func newGateway(t testing.TB, cfg store.Config, edit ...func(*watch.Config)) *gateway {
	t.Helper()
	g := openGateway(t, cfg)
	g.begin(func(c *watch.Config) {
		for _, fn := range edit {
			fn(c)
		}
	})
	return g
}

// openGateway opens one whose watch does not run yet.
func openGateway(t testing.TB, cfg store.Config) *gateway {
	t.Helper()
	g := &gateway{t: t, feed: watch.NewFeed(), said: new(said)}
	var err error
	g.table, err = store.Open(cfg)
	check(t, err)
	g.selector, err = discovery.New(discovery.Config{Table: g.table})
	check(t, err)
	g.agents, err = agentapi.New(agentapi.Config{Selector: g.selector, Table: g.table, Auth: agentapi.Token, Feed: g.feed, Connections: true})
	check(t, err)
	life, end := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = g.table.Run(life) })
	g.end = func() { end(); work.Wait() }
	t.Cleanup(func() { g.close() })
	return g
}

// begin lets the watch run.
func (g *gateway) begin(edit func(*watch.Config)) {
	cfg := watch.Config{Table: g.table, Feed: g.feed, Protection: g.said, LicenseWarning: 30 * 24 * time.Hour}
	edit(&cfg)
	var err error
	g.watch, err = watch.New(cfg)
	check(g.t, err)
	life, end := context.WithCancel(context.Background())
	done, before := make(chan struct{}), g.end
	go func() { g.watch.Run(life); close(done) }()
	g.end = func() { end(); <-done; before() }
}

func (g *gateway) close() {
	if g.end != nil {
		g.end()
		g.end = nil
		g.selector.Close()
		check(g.t, g.table.Close())
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must changes the table.
func (g *gateway) must(fn func(*store.Tx) error) {
	g.t.Helper()
	check(g.t, g.table.Update(fn))
}

// tenant makes a tenant with an agent token.
func (g *gateway) tenant(n int, kind store.TenantType) {
	g.t.Helper()
	g.must(func(tx *store.Tx) error {
		id := tenantID(n)
		if _, err := tx.PutTenant(store.Tenant{ID: id, Name: string(rune('a' + n)), Type: kind, Discovery: store.DefaultDiscovery()}); err != nil {
			return err
		}
		_, err := tx.SetToken(store.Token{Tenant: id, Current: tokenSum(n)})
		return err
	})
}

func (g *gateway) activate(n int, active bool) {
	g.t.Helper()
	g.must(func(tx *store.Tx) error { _, err := tx.SetActive(tenantID(n), active); return err })
}

func (g *gateway) vm(n, tenant int) {
	g.t.Helper()
	g.must(func(tx *store.Tx) error {
		_, err := tx.PutVM(store.VM{BIOS: vmID(n), Tenant: tenantID(tenant), Name: "vm"})
		return err
	})
}

// svm makes an SVM, which is up.
func (g *gateway) svm(n int, edit ...func(*store.SVM)) {
	g.t.Helper()
	s := store.SVM{ID: svmID(n), SVMConfig: store.SVMConfig{Name: "svm", Address: "10.9.0.1", Pinned: true},
		SVMFacts: store.SVMFacts{Version: "6.0", License: store.License{State: store.LicenseValid}}}
	for _, fn := range edit {
		fn(&s)
	}
	g.must(func(tx *store.Tx) error { _, err := tx.PutSVM(s); return err })
}

// ask asks as an agent of a tenant does.
func (g *gateway) ask(vm, tenant int, query string) {
	request(g.agents, "GET", vm, "/svm"+query, tenant, "")
}

// say says what an agent says of itself, and waits for its turn.
func (g *gateway) say(vm, tenant int, body string) int {
	return request(g.agents, "PUT", vm, "/state", tenant, body)
}

func request(api *agentapi.API, method string, vm int, rest string, tenant int, body string) int {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI("/v1/agents/" + vmID(vm).String() + rest)
	ctx.Request.Header.Set("Authorization", "Bearer "+token(tenant))
	if body != "" {
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.SetBodyString(body)
	}
	api.Handler(&ctx)
	return ctx.Response.StatusCode()
}

// events returns the types of all events of a VM or an SVM, in their order.
func (g *gateway) events(about [16]byte) (types []string) {
	g.table.Events(store.Version{}, func(e *store.Event) bool {
		if e.VM == about || e.SVM == store.SVMID(about) {
			types = append(types, e.Type)
		}
		return true
	})
	return types
}

// want fails the test unless the events of something are of these types.
func (g *gateway) want(what string, about [16]byte, types ...string) {
	g.t.Helper()
	time.Sleep(3 * time.Second) // it is told by then
	synctest.Wait()
	if got := g.events(about); !slices.Equal(got, types) {
		g.t.Errorf("%s: the events are %v, want %v", what, got, types)
	}
}

func inBubble(t *testing.T, fn func(*testing.T)) { synctest.Test(t, fn) }

// An agent's lack of an SVM is told once on each occasion: a deactivation of its tenant, or
// a time without an SVM.
func TestNoSVMIsToldOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const no = watch.AgentNoSVM
		g := newGateway(t, store.Config{})
		g.tenant(1, store.Complete)
		g.tenant(2, store.Simple)
		g.vm(1, 1)
		g.vm(2, 2)
		askOften := func() {
			for range 5 {
				g.ask(1, 1, "")
				g.ask(2, 2, "")
				g.ask(3, 1, "") // nobody registered it
				time.Sleep(time.Second)
			}
		}
		g.svm(1)
		askOften()
		g.want("never active", vmID(1), no)
		g.activate(1, false)
		askOften()
		g.want("deactivated again", vmID(1), no)
		g.activate(1, true)
		askOften()
		g.want("active", vmID(1), no)
		g.activate(1, false)
		askOften()
		g.want("deactivated", vmID(1), no, no)
		g.activate(1, true)
		g.activate(1, false)
		askOften()
		g.want("deactivated, and it never heard that it was active", vmID(1), no, no, no)
		if vm, _ := g.table.Lookup(ptr(vmID(1))); !vm.Amiss() {
			t.Error("nothing is amiss with a VM whose tenant is inactive")
		}

		g.want("a simple tenant's", vmID(2))
		g.must(func(tx *store.Tx) error { _, err := tx.DeleteSVM(svmID(1)); return err })
		askOften()
		g.want("a simple tenant's, without an SVM", vmID(2), no)
		g.svm(2)
		askOften()
		if vm, _ := g.table.Lookup(ptr(vmID(2))); vm.Amiss() {
			t.Error("something is amiss with a VM that has an SVM again")
		}
		g.want("with one", vmID(2), no)
		g.must(func(tx *store.Tx) error { _, err := tx.DeleteSVM(svmID(2)); return err })
		askOften()
		g.want("without, again", vmID(2), no, no)

		g.must(func(tx *store.Tx) error { _, err := tx.DeleteVM(vmID(2)); return err })
		askOften()
		g.vm(2, 2)
		askOften()
		g.want("registered anew", vmID(2), no, no, no)
		g.want("not registered", vmID(3))
	})
}

func ptr[T any](v T) *T { return &v }

// An agent that has no SVM when its tenant is deactivated is told of for that, too, and
// not again for the old reason alone.
func TestReasonsAreOccasions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const no = watch.AgentNoSVM
		g := newGateway(t, store.Config{})
		g.tenant(1, store.Complete)
		g.vm(1, 1)
		g.activate(1, true)
		g.ask(1, 1, "")
		g.want("no SVM is there", vmID(1), no)
		g.activate(1, false)
		g.ask(1, 1, "")
		g.want("and then it is deactivated", vmID(1), no, no)
		var says []string
		g.table.Events(store.Version{}, func(e *store.Event) bool { says = append(says, e.Message); return true })
		if !strings.Contains(says[0], "no SVM suits") || !strings.Contains(says[1], "activate the tenant") {
			t.Errorf("the messages are %q", says)
		}
	})
}

// Failed updates of a VM are told every two hours at most, and never sooner: also by a
// gateway that was restarted.
func TestFailedUpdates(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const failed = watch.AgentUpdateFailed
		g := newGateway(t, store.Config{})
		g.tenant(1, store.Complete)
		g.vm(1, 1)
		g.vm(2, 1)
		for range 9 * 60 { // minutes
			if status := g.say(1, 1, `{"updateFailed":true}`); status != 204 {
				t.Fatalf("an agent's state is answered %d", status)
			}
			g.say(2, 1, `{"updateFailed":false}`)
			time.Sleep(time.Minute)
			if time.Now().Hour() == 5 && time.Now().Minute() == 30 { // and then restart
				g.close()
				g = newGateway(t, store.Config{Journal: journal(recordsOf(g.table))})
			}
		}
		var last time.Time
		n := 0
		g.table.Events(store.Version{}, func(e *store.Event) bool {
			if e.Type != failed || e.VM != vmID(1) {
				t.Errorf("event %s of %s", e.Type, e.VM)
			}
			if gap := e.Time.Sub(last); gap < watch.UpdateFailedEvery {
				t.Errorf("two events within %v", gap)
			}
			last = e.Time.Time
			n++
			return true
		})
		if n != 5 {
			t.Errorf("%d events in 9 hours, want 5", n)
		}
		g.want("none failed", vmID(2))
	})
}

// An agent that tries every two hours, now a little earlier, now later, is told of as often.
func TestFailedUpdatesEveryTwoHours(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := newGateway(t, store.Config{})
		g.tenant(1, store.Complete)
		g.vm(1, 1)
		g.vm(2, 1)
		begin := time.Now()
		const times = 5
		for i := range times {
			time.Sleep(time.Until(begin.Add(time.Duration(i)*watch.UpdateFailedEvery + time.Duration(i%2)*-20*time.Second)))
			g.say(1, 1, `{"updateFailed":true}`)
			g.say(1, 1, `{"updateFailed":true}`)
			time.Sleep(time.Until(begin.Add(time.Duration(i)*watch.UpdateFailedEvery + time.Minute)))
			g.say(2, 1, `{"updateFailed":true}`)
			time.Sleep(10 * time.Minute)
			g.say(2, 1, `{"updateFailed":true}`)
		}
		time.Sleep(time.Minute)
		for _, vm := range []int{1, 2} {
			if n := len(g.events(vmID(vm))); n != times {
				t.Errorf("%d events of VM %d, want %d", n, vm, times)
			}
		}
	})
}

// What agents say of their connections reaches who keeps account of protection.
func TestConnectionsAreSaid(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := newGateway(t, store.Config{})
		g.tenant(1, store.Simple)
		g.vm(1, 1)
		g.svm(1)
		g.ask(1, 1, "?current="+svmID(1).String())
		g.say(1, 1, `{"connectedTo":null}`)
		g.say(1, 1, `{"connectedTo":"`+svmID(1).String()+`"}`)
		time.Sleep(time.Second)
		want := []watch.Notice{{VM: vmID(1), What: watch.Connected}, {VM: vmID(1), What: watch.Disconnected}, {VM: vmID(1), What: watch.Connected}}
		g.said.mu.Lock()
		got := slices.Clone(g.said.list)
		g.said.mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("said was %v, want %v", got, want)
		}
		g.want("connections", vmID(1))
	})
}

// recordsOf is what a table has on disk.
func recordsOf(table *store.Table) (list []store.Record) {
	table.Records(func(r store.Record) bool {
		r.Value = slices.Clone(r.Value)
		if r.Key.Kind != store.KindSVMLoad {
			list = append(list, r)
		}
		return true
	})
	return list
}

// A journal is what a table had on disk; nothing is added.
type journal []store.Record

func (j journal) Append([]store.Record) error { return nil }
func (j journal) Close() error                { return nil }
func (j journal) Replay(fn func(store.Record) error) error {
	for _, r := range j {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// What a gateway finds out while it catches up with others, before it watches, is told.
func TestConflictsBeforeItRuns(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		other := openGateway(t, store.Config{Node: "b"})
		g := openGateway(t, store.Config{Node: "a"})
		other.tenant(1, store.Complete)
		learn := func() {
			_, err := g.table.Apply(store.Batch{Records: recordsOf(other.table), From: "b"})
			check(t, err)
		}
		learn()
		other.activate(1, false)
		time.Sleep(time.Second)
		g.activate(1, true) // it does not know
		w, err := watch.New(watch.Config{Table: g.table})
		check(t, err)
		learn()
		time.Sleep(time.Minute)
		if n := g.count(string(store.TenantConflict)); n != 0 {
			t.Fatalf("%d events before it runs", n)
		}
		life, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(life); close(done) }()
		time.Sleep(5 * time.Second)
		if n := g.count(string(store.TenantConflict)); n != 1 {
			t.Errorf("%d events %s, want 1", n, store.TenantConflict)
		}
		end()
		<-done
	})
}
