package agentapi

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A reply is an answer of [API.Handler], and how long it took.
type reply struct {
	status   int
	result   string
	revision uint64
	took     time.Duration
	ctx      *fasthttp.RequestCtx
}

// ask asks for the VM of a tenant.
func ask(t testing.TB, h fasthttp.RequestHandler, tenant int, query string, headers ...string) reply {
	t.Helper()
	began := time.Now()
	ctx := call(h, "GET", "/v1/agents/"+vmOf(tenant)+"/svm?"+query, "", headers...)
	var body struct {
		Result   string
		Revision uint64
	}
	if err := json.Unmarshal(ctx.Response.Body(), &body); err != nil {
		t.Fatalf("%s: %v", ctx.Response.Body(), err)
	}
	return reply{ctx.Response.StatusCode(), body.Result, body.Revision, time.Since(began), ctx}
}

// askLater begins to ask, and returns what waits for the answer.
func askLater(t *testing.T, h fasthttp.RequestHandler, tenant int, query string, headers ...string) func() reply {
	t.Helper()
	done := make(chan reply, 1)
	go func() { done <- ask(t, h, tenant, query, headers...) }()
	synctest.Wait()
	return func() reply { return <-done }
}

// waiting is the query of a wait for an answer other than the present one.
func waiting(t *testing.T, h fasthttp.RequestHandler, tenant int, wait string, headers ...string) string {
	t.Helper()
	return fmt.Sprintf("wait=%s&revision=%d", wait, ask(t, h, tenant, "", headers...).revision)
}

func update(t *testing.T, table *store.Table, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := table.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// A waitBubble runs f in virtual time, with an API whose waits end when the bubble does.
func waitBubble(t *testing.T, cfg Config, f func(t *testing.T, a *API, table *store.Table)) {
	synctest.Test(t, func(t *testing.T) {
		table, err := store.Open(store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		update(t, table, func(tx *store.Tx) error {
			for n := acme; n <= open; n++ {
				if err := addTenant(tx, n); err != nil {
					return err
				}
			}
			return nil
		})
		selector, err := discovery.New(discovery.Config{Table: table})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Selector, cfg.Table = selector, table
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		f(t, a, table)
		time.Sleep(sweepEvery)
		if a.room.mu.Lock(); a.room.sweeping {
			t.Error("nobody waits, and there is a sweeper")
		}
		a.room.mu.Unlock()
		selector.Close()
		table.Close()
		if s := a.WaitStats(); s.Waiting != 0 {
			t.Errorf("%d still wait", s.Waiting)
		}
	})
}

func TestWaitIsAnsweredAtOnce(t *testing.T) {
	waitBubble(t, Config{}, func(t *testing.T, a *API, _ *store.Table) {
		now := ask(t, a.Handler, acme, "").revision
		for _, query := range []string{"wait=60s", fmt.Sprint("revision=", now), fmt.Sprint("wait=60s&revision=", now+1), "wait=60s&revision=0"} {
			if r := ask(t, a.Handler, acme, query); r.took != 0 || r.status != 200 || r.revision != now {
				t.Errorf("%s: %+v", query, r)
			}
		}
		head := call(a.Handler, "HEAD", "/v1/agents/"+vmOf(acme)+"/svm?wait=60s&revision="+fmt.Sprint(now), "")
		if head.Response.StatusCode() != 200 || a.WaitStats() != (WaitStats{}) {
			t.Errorf("HEAD: %d, %+v", head.Response.StatusCode(), a.WaitStats())
		}
	})
}

func TestWaitEndsInTime(t *testing.T) {
	for _, h := range []string{"agents", "administrators"} {
		waitBubble(t, Config{}, func(t *testing.T, a *API, _ *store.Table) {
			handler := map[string]fasthttp.RequestHandler{"agents": a.Handler, "administrators": asAdmin(a)}[h]
			query := waiting(t, handler, acme, "300")
			ends := map[time.Duration]bool{}
			for range 20 {
				r := ask(t, handler, acme, query)
				if r.took < 270*time.Second || r.took > 300*time.Second || r.status != 200 || r.result != "assigned" {
					t.Errorf("%s: after %v: %+v", h, r.took, r)
				}
				ends[r.took.Truncate(time.Second)] = true
			}
			if len(ends) < 8 {
				t.Errorf("20 waits of 300 s end in %d different seconds only", len(ends))
			}
			if s := a.WaitStats(); s != (WaitStats{Timeout: 20}) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What administrators do reaches an agent that waits while they still look at it.
func TestWaitEndsWithTheChange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(tx *store.Tx) error
		status int
		result string
	}{
		{"deactivation", func(tx *store.Tx) error { _, err := tx.SetActive(id(acme), false); return err }, 200, "inactive"},
		{"its SVM goes", func(tx *store.Tx) error { _, err := tx.DeleteSVM(id(200 + acme)); return err }, 200, "no_svm"},
		{"its SVM moves", func(tx *store.Tx) error {
			s := pinnedSVM(acme, id(acme))
			s.Address = "10.9.9.9"
			_, err := tx.PutSVM(s)
			return err
		}, 200, "assigned"},
		{"its VM goes", func(tx *store.Tx) error { _, err := tx.DeleteVM(id(100 + acme)); return err }, 404, ""},
	} {
		waitBubble(t, Config{}, func(t *testing.T, a *API, table *store.Table) {
			old := ask(t, a.Handler, acme, "").revision
			answer := askLater(t, a.Handler, acme, waiting(t, a.Handler, acme, "60s"))
			other := askLater(t, a.Handler, idle, waiting(t, a.Handler, idle, "60s"))
			time.Sleep(7 * time.Second)
			if n := a.WaitStats().Waiting; n != 2 {
				t.Fatalf("%d wait, want 2", n)
			}
			changed := time.Now()
			update(t, table, tt.change)
			r := answer()
			if after := time.Since(changed); after > 100*time.Millisecond {
				t.Errorf("%s: answered after %v", tt.name, after)
			}
			if r.status != tt.status || r.result != tt.result || r.revision == old {
				t.Errorf("%s: %+v", tt.name, r)
			}
			if r := other(); r.took < 54*time.Second {
				t.Errorf("%s woke another agent after %v", tt.name, r.took)
			}
			if s := a.WaitStats(); s != (WaitStats{Changed: 1, Timeout: 1}) {
				t.Errorf("%s: %+v", tt.name, s)
			}
		})
	}
}

// Alternatives come and go; an agent that has its SVM is not told.
func TestWaitIsForTheFirstSVM(t *testing.T) {
	waitBubble(t, Config{}, func(t *testing.T, a *API, table *store.Table) {
		answer := askLater(t, a.Handler, acme, waiting(t, a.Handler, acme, "60s")+"&current="+svmOf(acme))
		for n := range 20 {
			update(t, table, func(tx *store.Tx) error {
				_, err := tx.PutSVM(pinnedSVM(20+n, id(acme)))
				return err
			})
			time.Sleep(time.Second)
		}
		if r := answer(); r.took < 54*time.Second || r.result != "assigned" {
			t.Errorf("%+v", r)
		}
		if list := ask(t, a.Handler, acme, ""); list.result != "assigned" {
			t.Errorf("%+v", list)
		}
	})
}

// Who waits is not counted for an SVM, and nothing of the table moves.
func TestWaitingLeavesNoTrace(t *testing.T) {
	var decided atomic.Int64
	waitBubble(t, Config{}, func(t *testing.T, a *API, table *store.Table) {
		query := waiting(t, a.Handler, acme, "60s")
		inner := a.agents.decide
		a.agents.decide = func(q *discovery.Query, answer *discovery.Answer) { decided.Add(1); inner(q, answer) }
		answer := askLater(t, a.Handler, acme, query)
		picks := a.pickCount(table)
		for n := range 50 { // each makes a sweep
			update(t, table, func(tx *store.Tx) error {
				_, err := tx.PutVM(store.VM{BIOS: id(1000 + n), Tenant: id(acme), Name: "other"})
				return err
			})
			time.Sleep(100 * time.Millisecond)
		}
		if got := a.pickCount(table); got != picks {
			t.Errorf("%d picks, there were %d", got, picks)
		}
		answer()
	})
	if decided.Load() != 2 {
		t.Errorf("Select was called %d times, want at the start and at the end", decided.Load())
	}
}

func (a *API) pickCount(table *store.Table) (n int32) {
	for i := range table.View().NumSVMs() {
		n += table.Picks(i)
	}
	return n
}

func TestWaitEndsWithTheToken(t *testing.T) {
	waitBubble(t, Config{Auth: Token}, func(t *testing.T, a *API, table *store.Table) {
		setToken(t, table, acme, tokenOf(acme))
		shown := []string{"Authorization", "Bearer " + tokenOf(acme)}
		answer := askLater(t, a.Handler, acme, waiting(t, a.Handler, acme, "60s", shown...), shown...)
		time.Sleep(time.Second)
		setToken(t, table, acme, "another")
		if r := answer(); r.status != 401 || r.took > 1100*time.Millisecond {
			t.Errorf("%+v", r)
		}
	})
}

// Whoever loses the right to ask while his question waits gets nothing: soon, and not even
// when the answer changes or the time is over.
func TestWaitEndsWithTheRightToAsk(t *testing.T) {
	tests := []struct {
		name   string
		wait   string
		lostAt time.Duration
		change bool
	}{
		{name: "nothing else happens", wait: "5m", lostAt: 10 * time.Second},
		{name: "the answer changes", wait: "5m", lostAt: 10 * time.Second, change: true},
		{name: "the time is over before anybody looks", wait: "1s", lostAt: 899 * time.Millisecond},
	}
	for _, tt := range tests {
		waitBubble(t, Config{}, func(t *testing.T, a *API, table *store.Table) {
			var lost, answered atomic.Bool
			admin := func(ctx *fasthttp.RequestCtx) {
				answered.Store(a.Admin(ctx, func() bool { return !lost.Load() }))
			}
			target := "/v1/agents/" + vmOf(acme) + "/svm?" + waiting(t, a.Handler, acme, tt.wait)
			done := make(chan string, 1)
			go func() { done <- string(call(admin, "GET", target, "").Response.Body()) }()
			time.Sleep(tt.lostAt)
			lost.Store(true)
			if tt.change {
				update(t, table, func(tx *store.Tx) error { _, err := tx.SetActive(id(acme), false); return err })
			}
			began := time.Now()
			body := <-done
			if took := time.Since(began); answered.Load() || body != "" || took > sweepEvery {
				t.Errorf("%s: answered %v, %q after %v", tt.name, answered.Load(), body, took)
			}
		})
	}
}

func TestTooManyWait(t *testing.T) {
	waitBubble(t, Config{MaxWaiting: 2}, func(t *testing.T, a *API, _ *store.Table) {
		query := waiting(t, a.Handler, acme, "60s")
		first, second := askLater(t, a.Handler, acme, query), askLater(t, a.Handler, open, waiting(t, a.Handler, open, "60s"))
		r := ask(t, a.Handler, acme, query)
		if r.status != 429 || r.took != 0 || len(r.ctx.Response.Header.Peek("Retry-After")) == 0 {
			t.Errorf("the third: %+v", r)
		}
		if r := ask(t, a.Handler, acme, "wait=60s"); r.status != 200 {
			t.Errorf("one that does not wait: %+v", r)
		}
		first()
		second()
		if r := ask(t, a.Handler, acme, query); r.status != 200 || r.took == 0 {
			t.Errorf("when there is room again: %+v", r)
		}
		if s := a.WaitStats(); s != (WaitStats{Timeout: 3, Refused: 1}) {
			t.Errorf("%+v", s)
		}
	})
	waitBubble(t, Config{MaxWaiting: -1}, func(t *testing.T, a *API, _ *store.Table) {
		if r := ask(t, a.Handler, acme, waiting(t, a.Handler, acme, "60s")); r.status != 429 {
			t.Errorf("where none may wait: %+v", r)
		}
	})
}

// A tenant gets no more than half of the room, on both planes together, and has it again
// when its questions have left.
func TestATenantLeavesRoomToOthers(t *testing.T) {
	waitBubble(t, Config{MaxWaiting: 5}, func(t *testing.T, a *API, _ *store.Table) {
		mine, others := waiting(t, a.Handler, acme, "60s"), waiting(t, a.Handler, open, "60s")
		for range 2 {
			var waits []func() reply
			for _, h := range []fasthttp.RequestHandler{a.Handler, asAdmin(a), a.Handler} {
				waits = append(waits, askLater(t, h, acme, mine))
			}
			for _, h := range []fasthttp.RequestHandler{a.Handler, asAdmin(a)} {
				if r := ask(t, h, acme, mine); r.status != 429 || r.took != 0 || len(r.ctx.Response.Header.Peek("Retry-After")) == 0 {
					t.Errorf("the fourth: %+v", r)
				}
			}
			waits = append(waits, askLater(t, a.Handler, open, others), askLater(t, a.Handler, open, others))
			if s := a.WaitStats(); s.Waiting != 5 {
				t.Errorf("%d wait, want 5", s.Waiting)
			}
			for _, answer := range waits {
				if r := answer(); r.status != 200 || r.took == 0 {
					t.Errorf("%+v", r)
				}
			}
		}
		if s := a.WaitStats(); s.Limited != 4 || s.Refused != 0 || len(a.room.tenants) != 0 {
			t.Errorf("%+v, of tenants %v", s, a.room.tenants)
		}
	})
}

func TestWaitEndsWhenTheGatewayDoes(t *testing.T) {
	for _, ready := range []bool{true, false} {
		var out atomic.Bool
		waitBubble(t, Config{Ready: func() bool { return !out.Load() }}, func(t *testing.T, a *API, _ *store.Table) {
			closing := make(chan struct{}) // which has to be of the bubble
			a.room.closing = closing
			query := waiting(t, a.Handler, acme, "60s")
			answer := askLater(t, a.Handler, acme, query)
			time.Sleep(10 * time.Second)
			out.Store(!ready)
			close(closing)
			r := answer()
			want := map[bool]int{true: 200, false: 503}[ready]
			if r.status != want || r.took > 10100*time.Millisecond || !r.ctx.Response.ConnectionClose() {
				t.Errorf("ready %v: %+v", ready, r)
			}
			if r := ask(t, a.Handler, acme, query); r.took != 0 || r.status != want {
				t.Errorf("ready %v, afterwards: %+v", ready, r)
			}
		})
	}
}

// A change that comes after the answer, and whose sweep comes before the question waits.
func TestNoChangeIsMissed(t *testing.T) {
	waitBubble(t, Config{}, func(t *testing.T, a *API, table *store.Table) {
		other := askLater(t, a.Handler, idle, waiting(t, a.Handler, idle, "60s"))
		query := waiting(t, a.Handler, acme, "60s")
		decide, once := a.agents.decide, true
		a.agents.decide = func(q *discovery.Query, answer *discovery.Answer) {
			decide(q, answer)
			if q.BIOS == id(100+acme) && once {
				once = false
				update(t, table, func(tx *store.Tx) error { _, err := tx.SetActive(id(acme), false); return err })
				time.Sleep(2 * sweepPause)
			}
		}
		if r := ask(t, a.Handler, acme, query); r.result != "inactive" || r.took != 2*sweepPause {
			t.Errorf("%+v", r)
		}
		other()
	})
}

// Many changes do not make one sweep each.
func TestSweepsArePaced(t *testing.T) {
	waitBubble(t, Config{}, func(t *testing.T, a *API, table *store.Table) {
		var sweeps atomic.Int64
		decide := a.room.decide
		a.room.decide = func(q *discovery.Query, answer *discovery.Answer) { sweeps.Add(1); decide(q, answer) }
		answer := askLater(t, a.Handler, acme, waiting(t, a.Handler, acme, "10s"))
		for range 1000 {
			update(t, table, func(tx *store.Tx) error {
				_, err := tx.PutVM(store.VM{BIOS: id(1000), Tenant: id(acme), Name: fmt.Sprint(time.Now())})
				return err
			})
			time.Sleep(time.Millisecond)
		}
		if n := sweeps.Load(); n < 15 || n > 25 {
			t.Errorf("%d decisions in a second of changes, want some 20", n)
		}
		answer()
	})
}
