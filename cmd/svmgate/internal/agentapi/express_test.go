package agentapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/express"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/store"
)

// A way is an agent plane without a network.
type way struct {
	api     *API
	server  *fasthttp.Server
	front   *express.Listener
	metrics *Metrics
	quick   int // answers that the server did not make
}

// newWay returns a plane; with the server alone, or with what stands before it.
func newWay(tb testing.TB, table *store.Table, how Auth, quick bool) *way {
	w := &way{metrics: new(Metrics)}
	w.api = newAPI(tb, table, Config{Auth: how, Metrics: w.metrics, Closing: over}) // a fuzzer may ask to wait
	w.server = fence.Server("agent", fence.Guard(w.api.Handler, w.api.Admits), slog.New(slog.DiscardHandler))
	w.front = express.Before(w.server, nil, func(uint64, int) { w.quick++ }, slog.New(slog.DiscardHandler))
	if quick {
		w.front.Use(w.api.Express)
	}
	return w
}

// over is closed: nobody waits.
var over = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// said is a connection that brings reads, one at a time, and ends.
type said struct {
	feed
	heard bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) { return s.heard.Write(p) }

// talk sends reads and returns all that is answered until the connection ends.
func (w *way) talk(reads ...string) string {
	s := &said{feed: feed{requests: func() []byte {
		if len(reads) == 0 {
			return nil
		}
		read := []byte(reads[0])
		reads = reads[1:]
		return read
	}}}
	_ = w.server.ServeConn(w.front.Wrap(s)) // its error is that of a request, which is answered, too
	return dates.ReplaceAllString(s.heard.String(), "Date: D\r\n")
}

var dates = regexp.MustCompile(`Date: [^\r]*\r\n`)

func (w *way) counts() string {
	var b strings.Builder
	w.metrics.Each(func(name, result string, value uint64) { fmt.Fprintln(&b, name, result, value) })
	return b.String()
}

// both are the two ways in to equal planes.
func both(tb testing.TB, how Auth) (slow, quick *way) {
	table := newTable(tb)
	for _, tenant := range []int{acme, idle, tagged, full} {
		setToken(tb, table, tenant, tokenOf(tenant))
	}
	return newWay(tb, table, how, false), newWay(tb, table, how, true)
}

func same(tb testing.TB, slow, quick *way, reads ...string) {
	tb.Helper()
	want := slow.talk(reads...)
	if got := quick.talk(reads...); got != want {
		tb.Errorf("%q:\n got %q\nwant %q", reads, got, want)
	}
}

const plainLines = "Host: gate.example:7270\r\nUser-Agent: agent/12.0\r\nAccept: */*\r\nConnection: keep-alive\r\n"

// question is a request in the form that is answered before the server.
func plainQuestion(target string, tenant int) string {
	return "GET /v1/agents/" + target + " HTTP/1.1\r\n" + plainLines + "Authorization: Bearer " + tokenOf(tenant) + "\r\n\r\n"
}

// A plain question is answered before the server reads it, with the same bytes.
func TestSameAnswers(t *testing.T) {
	all := vmOf(acme) + "/svm?version=12.0.1&os=server&kind=linux&current=" + svmOf(acme) + "&failed=" + svmOf(idle) +
		"," + svmOf(full) + "&limit=16&tag=a&protection=off&algorithm=extended&path=zone"
	bare := strings.ReplaceAll(vmOf(acme), "-", "")
	encoded := fmt.Sprintf("%%%02x%%%02x%s", bare[0], bare[1], bare[2:]) // as long as a plain one, and not canonical
	for _, how := range []Auth{None, Token} {
		slow, quick := both(t, how)
		plain := []string{
			plainQuestion(vmOf(acme)+"/svm", acme), plainQuestion(strings.ToUpper(vmOf(acme))+"/svm?", acme), plainQuestion(vmOf(idle)+"/svm?os=server", idle),
			plainQuestion(vmOf(tagged)+"/svm", tagged), plainQuestion(vmOf(full)+"/svm", full), plainQuestion(stranger+"/svm", acme),
			plainQuestion(all, acme), strings.ReplaceAll(plainQuestion(all, acme), "Host: gate.example:7270", "hOST: 10.0.0.1"),
		}
		for _, request := range plain {
			same(t, slow, quick, request)
			if quick.quick != 1 {
				t.Errorf("auth %v: the server had to answer %q", how, request)
			}
			quick.quick = 0
		}
		same(t, slow, quick, plain...)
		if quick.quick != len(plain) {
			t.Errorf("auth %v: %d of %d were answered before the server", how, quick.quick, len(plain))
		}
		first := plain[0]
		post := "POST /v1/agents/svm HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
		for _, other := range []string{
			strings.ReplaceAll(first, "Host: gate.example:7270\r\n", ""), strings.ReplaceAll(first, "Accept: */*", "Host: b"),
			strings.ReplaceAll(first, "keep-alive", "close"), strings.ReplaceAll(first, "Accept: */*", "Transfer-Encoding: chunked"),
			strings.ReplaceAll(first, "Accept: */*", "Content-Length: 4"), strings.ReplaceAll(first, "Accept: */*", "Expect: 100-continue"),
			strings.ReplaceAll(first, "Accept: */*", "Authorization: Bearer x"), strings.ReplaceAll(first, "Accept: */*", "accept : x"),
			strings.ReplaceAll(first, "/svm", "/svm?later=1"), strings.ReplaceAll(first, "/svm", "/svm?wait=5"), strings.ReplaceAll(first, "/svm", "/svm?os=%41"),
			strings.ReplaceAll(first, vmOf(acme), encoded), strings.ReplaceAll(first, vmOf(acme), "%7B"+bare+"}"),
			strings.ReplaceAll(first, tokenOf(acme), "wrong"), strings.ReplaceAll(first, "gate.example:7270", "a:b"), "\r\n" + first,
			post + "\r\n\r\n", post, first + first, first + first[:50],
		} {
			same(t, slow, quick, other)
			same(t, slow, quick, other, first)
			same(t, slow, quick, first, other, first)
		}
		same(t, slow, quick, first, post, "\r\n\r\n", first)
		if got, want := quick.counts(), slow.counts(); got != want {
			t.Errorf("auth %v: counted\n%swant\n%s", how, got, want)
		}
	}
}

// One byte that is another, is missing, or comes twice; and requests that come in two
// pieces: the same answers all the same.
func TestSameAnswersWhateverByte(t *testing.T) {
	slow, quick := both(t, Token)
	request := "GET /v1/agents/" + vmOf(acme) + "/svm?os=server HTTP/1.1\r\nHost: a:80\r\nAccept: b\r\nAuthorization: Bearer " + tokenOf(acme) + "\r\n\r\n"
	step := 1
	if testing.Short() {
		step = 17
	}
	for i := range request {
		for b := i % step; b < 256; b += step {
			same(t, slow, quick, request, request, request[:i]+string([]byte{byte(b)})+request[i+1:], request)
		}
		same(t, slow, quick, request[:i]+request[i+1:], request)
		same(t, slow, quick, request[:i]+request[i:i+1]+request[i:], request)
		same(t, slow, quick, request, request[:i], request[i:], request)
		same(t, slow, quick, request+request[:i], request[i:], request)
		if t.Failed() {
			return
		}
	}
	if quick.quick == 0 {
		t.Error("nothing was answered before the server")
	}
}

func FuzzSameAnswers(f *testing.F) {
	slow, quick := both(f, Token)
	first := plainQuestion(vmOf(acme)+"/svm?os=server", acme)
	f.Add(first, 10)
	f.Add(first+first, len(first))
	f.Add(plainQuestion(fmt.Sprint(vmOf(acme)+"/svm?wait=5m&revision=", ask(f, asAdmin(slow.api), acme, "").revision), acme), 100)
	f.Add("POST /v1/agents/svm HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"+first, 70)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		if strings.Contains(text, "/state") || len(text) > 4000 {
			return
		}
		cut = min(max(cut, 0), len(text))
		same(t, slow, quick, text[:cut], text[cut:])
		same(t, slow, quick, first, first, text[:cut], text[cut:], first)
	})
}
