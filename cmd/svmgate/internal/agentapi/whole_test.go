package agentapi

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/express"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

var wholeVMs = flag.Int("whole.vms", 1_000_000, "VMs of the table of BenchmarkWhole; 20,000 with -short")

// From the handler's entry to its return nothing is allocated, whatever the
// answer, with and without a token.
func TestHandlerDoesNotAllocate(t *testing.T) {
	skipIfRace(t)
	table := newTable(t)
	for _, tenant := range []int{acme, idle, tagged, full} {
		setToken(t, table, tenant, tokenOf(tenant))
	}
	for _, how := range []Auth{None, Token} {
		a := newAPI(t, table, Config{Auth: how, Feed: watch.NewFeed(), Connections: true})
		for _, tt := range []struct {
			name   string
			tenant int
			target string
			status int
		}{
			{"assigned", acme, vmOf(acme) + "/svm", 200},
			{"inactive", idle, vmOf(idle) + "/svm", 200},
			{"no SVM", tagged, vmOf(tagged) + "/svm", 200},
			{"over capacity", full, vmOf(full) + "/svm", 200},
			{"not registered", acme, stranger + "/svm", 404},
			{"encoded", acme, "%7B" + vmOf(acme) + "%7D/svm?tag=%41+b&version=12%2e0", 200},
			{"all parameters", acme, vmOf(acme) + "/svm?version=12.0.1&os=server&kind=linux&current=" + svmOf(acme) + "&failed=" + svmOf(idle) +
				"," + svmOf(full) + "&limit=16&tag=a&protection=off&algorithm=extended&path=zone", 200},
		} {
			ctx := call(a.Handler, "GET", "/v1/agents/"+tt.target, "", "Authorization", "Bearer "+tokenOf(tt.tenant))
			if got := ctx.Response.StatusCode(); got != tt.status {
				t.Fatalf("auth %v, %s: %d, want %d: %s", how, tt.name, got, tt.status, ctx.Response.Body())
			}
			allocs := testing.AllocsPerRun(1000, func() { a.Handler(ctx) })
			if allocs != 0 {
				t.Errorf("auth %v, %s: %v allocations, want 0", how, tt.name, allocs)
			}
		}
	}
}

// A line of a batch costs no allocation either; what a batch as a whole costs
// does not depend on its lines.
func TestBatchDoesNotAllocatePerLine(t *testing.T) {
	skipIfRace(t)
	a := newAPI(t, newTable(t), Config{Feed: watch.NewFeed(), Connections: true})
	line := `{"biosId":"` + vmOf(idle) + `"}` + "\n" + `{"biosId":"` + vmOf(acme) + `","version":"12.0","failed":["` + svmOf(idle) + `"],"limit":2}` + "\n" + `{"biosId":"` + stranger + `"}` + "\n"
	few := batchAllocs(a, strings.Repeat(line, 200))
	many := batchAllocs(a, strings.Repeat(line, 3000))
	if many > few+1 {
		t.Errorf("9,000 lines: %v allocations; 600 lines: %v", many, few)
	}
}

func batchAllocs(a *API, body string) float64 {
	ctx := new(fasthttp.RequestCtx)
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/v1/agents/svm")
	ctx.Request.SetBodyString(body)
	return testing.AllocsPerRun(20, func() {
		a.Handler(ctx)
		ctx.Response.BodyWriteTo(io.Discard)
		ctx.Response.Reset()
	})
}

// bigWorld is a table of many VMs, 10,000 tenants and 4,000 SVMs on 2,000 hosts.
func bigWorld(b *testing.B) (*store.Table, []store.BIOSID) {
	b.Helper()
	vms := *wholeVMs
	if testing.Short() {
		vms = min(vms, 20_000)
	}
	tenants, svms, hosts := 10_000, 4000, 2000
	table, err := store.Open(store.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { table.Close() })
	ids := make([]store.BIOSID, vms)
	host := func(i int) store.Path { return store.Path{Host: fmt.Sprint("host-", i%hosts)} }
	steps := []struct {
		n   int
		put func(tx *store.Tx, i int) error
	}{
		{tenants, func(tx *store.Tx, i int) error {
			tenant := store.Tenant{ID: id(i + 1), Name: fmt.Sprint("tenant ", i), Type: store.Simple, Discovery: store.DefaultDiscovery()}
			if _, err := tx.PutTenant(tenant); err != nil {
				return err
			}
			_, err := tx.SetToken(store.Token{Tenant: tenant.ID, Current: auth.SumToken(tokenOf(i))})
			return err
		}},
		{svms, func(tx *store.Tx, i int) error {
			s := pinnedSVM(i, store.TenantID{})
			s.Tenants, s.Path, s.Address = nil, host(i), fmt.Sprintf("10.9.%d.%d", i/250, i%250)
			_, err := tx.PutSVM(s)
			return err
		}},
		{vms, func(tx *store.Tx, i int) error {
			for j := range ids[i] {
				ids[i][j] = byte(rand.Uint32())
			}
			_, err := tx.PutVM(store.VM{BIOS: ids[i], Tenant: id(i%tenants + 1), Path: host(i)})
			return err
		}},
	}
	for _, step := range steps {
		const chunk = 10_000
		for from := 0; from < step.n; from += chunk {
			err := table.Update(func(tx *store.Tx) error {
				for i := from; i < min(from+chunk, step.n); i++ {
					if err := step.put(tx, i); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return table, ids
}

// warm asks for random VMs until the candidate sets of all of them stand: what
// is measured is a gateway at work, not one that has just started.
func warm(b *testing.B, table *store.Table, ids []store.BIOSID) *discovery.Selector {
	b.Helper()
	selector, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(selector.Close)
	var answer discovery.Answer
	for range 100 {
		scans := selector.Stats().Scans
		for range 20_000 {
			q := discovery.Query{BIOS: ids[rand.IntN(len(ids))], Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
			selector.Decide(&q, &answer)
			q.Kind = store.AgentLinux
			selector.Decide(&q, &answer)
		}
		selector.Wait()
		if selector.Stats().Scans == scans {
			return selector
		}
	}
	b.Fatal("the candidate sets do not stand after 100 rounds")
	return nil
}

// A feed is a connection without a network: each Read brings the next request,
// and answers are counted and dropped.
type feed struct {
	net.Conn
	requests func() []byte // nil at the end
	rest     []byte
	answers  int
}

func (f *feed) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.rest = f.requests(); f.rest == nil {
			return 0, io.EOF
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *feed) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("HTTP/1.1 200 ")) {
		f.answers++
	}
	return len(p), nil
}

func (f *feed) Close() error                     { return nil }
func (f *feed) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (f *feed) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (f *feed) SetDeadline(time.Time) error      { return nil }
func (f *feed) SetReadDeadline(time.Time) error  { return nil }
func (f *feed) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkWhole is one question as an agent asks it, of a random VM: from the
// request to the answer, fed from memory. way=express is how most are answered;
// way=server is how the server answers what is handed to it; answer=constant is the
// server alone, with an answer of the same length, for comparison.
func BenchmarkWhole(b *testing.B) {
	table, ids := bigWorld(b)
	const headers = " HTTP/1.1\r\nHost: 127.0.0.1:7270\r\nUser-Agent: agent/12.0\r\n"
	selector := warm(b, table, ids)
	for _, how := range []Auth{None, Token} {
		a, err := New(Config{Selector: selector, Table: table, Auth: how, Feed: watch.NewFeed(), Connections: true})
		if err != nil {
			b.Fatal(err)
		}
		// Requests lie behind one another in the order in which they come: from a network
		// they come out of a buffer that is at hand, too.
		target := func(i int) string {
			return "/v1/agents/" + ids[i].String() + "/svm?version=12.0&os=server&kind=linux"
		}
		var requests [][]byte
		var text []byte
		for _, i := range rand.Perm(len(ids)) {
			from := len(text)
			text = fmt.Appendf(text, "GET %s%sAuthorization: Bearer %s\r\n\r\n", target(i), headers, tokenOf(i%10_000))
			requests = append(requests, text[from:len(text):len(text)])
		}
		b.Run(fmt.Sprintf("way=express/answer=decided/auth=%v/vms=%d", how, len(ids)), func(b *testing.B) {
			benchServer(b, guarded(a.Handler), a.Express, requests)
		})
		b.Run(fmt.Sprintf("way=server/answer=decided/auth=%v/vms=%d", how, len(ids)), func(b *testing.B) {
			benchServer(b, guarded(a.Handler), nil, requests)
		})
		if how == None {
			constant := call(a.Handler, "GET", target(0), "").Response.Body()
			b.Run(fmt.Sprintf("way=server/answer=constant/auth=%v/vms=%d", how, len(ids)), func(b *testing.B) {
				benchServer(b, func(ctx *fasthttp.RequestCtx) {
					ctx.Response.Header.SetContentType("application/json")
					ctx.Response.SetBody(constant)
				}, nil, requests)
			})
		}
	}
}

func guarded(h fasthttp.RequestHandler) fasthttp.RequestHandler { return fence.Wrap(h, nil) }

func benchServer(b *testing.B, h fasthttp.RequestHandler, answer express.Answer, requests [][]byte) {
	b.ReportAllocs()
	s := fence.Server("agent", h, slog.New(slog.DiscardHandler))
	front := express.Before(s, nil, func(uint64, int) {}, slog.New(slog.DiscardHandler))
	front.Use(answer)
	left, next := b.N, rand.IntN(len(requests))
	f := &feed{requests: func() []byte {
		if left--; left < 0 {
			return nil
		}
		if next++; next == len(requests) {
			next = 0
		}
		return requests[next]
	}}
	b.ResetTimer()
	before := processorTime(b)
	if err := s.ServeConn(front.Wrap(f)); err != nil && !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
	if f.answers != b.N {
		b.Fatalf("%d answers to %d requests", f.answers, b.N)
	}
}

// processorTime is what this process has used: on a machine that does other things as
// well it tells more than the time that has passed.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBatch is 1,000 questions of random VMs in one request; ns/line is what counts.
// way=handler is what the lines cost; way=server is from the request to the answer, fed from
// memory.
func BenchmarkBatch(b *testing.B) {
	table, ids := bigWorld(b)
	a, err := New(Config{Selector: warm(b, table, ids), Feed: watch.NewFeed(), Connections: true})
	if err != nil {
		b.Fatal(err)
	}
	const perBatch = 1000
	bodies := make([][]byte, 64)
	for i := range bodies {
		for range perBatch {
			bodies[i] = fmt.Appendf(bodies[i], `{"biosId":"%s","version":"12.0","os":"server"}`+"\n", ids[rand.IntN(len(ids))])
		}
	}
	b.Run(fmt.Sprintf("way=server/lines=%d/vms=%d", perBatch, len(ids)), func(b *testing.B) {
		requests := make([][]byte, len(bodies))
		for i, body := range bodies {
			requests[i] = fmt.Appendf(nil, "POST /v1/agents/svm HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
		before := processorTime(b)
		benchServer(b, guarded(a.Handler), a.Express, requests)
		b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/perBatch, "cpu-ns/line")
	})
	b.Run(fmt.Sprintf("way=handler/lines=%d/vms=%d", perBatch, len(ids)), func(b *testing.B) {
		b.ReportAllocs()
		ctx := new(fasthttp.RequestCtx)
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/v1/agents/svm")
		before := processorTime(b)
		for i := 0; b.Loop(); i++ {
			ctx.Request.SetBodyRaw(bodies[i%len(bodies)])
			a.Handler(ctx)
			if err := ctx.Response.BodyWriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
			ctx.Response.Reset()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/perBatch, "ns/line")
		b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/perBatch, "cpu-ns/line")
	})
}
