package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/sink"
	"github.com/svmgate/svmgate/store"
)

// A hook is a webhook's server, which can be down.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	down bool
	took []string // ids
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var events []store.Event
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down || json.Unmarshal(body, &events) != nil || r.Header.Get(sink.SignatureHeader) == "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, e := range events {
		h.took = append(h.took, e.ID.String())
	}
}

func (h *hook) setDown(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

func (h *hook) events() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.took)
}

// emit writes so many events.
func (r *running) emit(n int) {
	r.t.Helper()
	if err := r.assembly.table.Update(func(tx *store.Tx) error {
		for range n {
			if _, err := tx.Emit(store.Event{ID: store.NewEventID(), Type: "svm.up", Message: "an SVM is back"}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
}

// events are the ids of those that the gateway lists.
func (r *running) events() (ids []string) {
	r.t.Helper()
	for next := "?limit=1000"; next != ""; {
		status, body := r.get("admin", "/v1/events"+next, "admin:one")
		var page struct {
			Items []store.Event
			Next  string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 {
			r.t.Fatalf("%d %v %s", status, err, body)
		}
		for _, e := range page.Items {
			ids = append(ids, e.ID.String())
		}
		if next = ""; page.Next != "" {
			next = "?limit=1000&after=" + page.Next
		}
	}
	return ids
}

// TestEventsGoOut to every sink, each once and in order, with the receiver down meanwhile
// and a restart.
func TestEventsGoOut(t *testing.T) {
	hook, dir := newHook(t), t.TempDir()
	file := filepath.Join(t.TempDir(), "events.ndjson")
	flags := map[string]string{
		"data": dir, "admin-password": "one", "events-webhook": hook.URL, "events-file": file, "events-log": "true",
		"events-webhook-secret-file": write(t, "secret", "0123456789abcdef\n"), "events-syslog": "unix:///no/such/socket",
	}
	first := start(t, flags)
	first.emit(250)
	eventually(t, "events come", func() bool { return len(hook.events()) == len(first.events()) })
	hook.setDown(true)
	first.emit(10)
	eventually(t, "the file has them", func() bool { return slices.Equal(linesOf(file), first.events()) })
	eventually(t, "it is said that the hook is down", func() bool {
		return strings.Contains(first.log.String(), `sink=webhook reason="the server answers 503`)
	})
	if _, metrics := first.get("ops", "/metrics", ""); !strings.Contains(metrics, `svmgate_sink_failing{sink="webhook"} 1`) ||
		!strings.Contains(metrics, `svmgate_sink_backlog{sink="webhook"} 10`) || !strings.Contains(metrics, `svmgate_sink_dropped_total{sink="syslog"} 0`) ||
		!strings.Contains(metrics, "svmgate_events ") || !strings.Contains(metrics, "svmgate_event_streams 0") {
		t.Error("metrics are missing")
	}
	first.stop()
	if info, err := os.Stat(filepath.Join(dir, sinksName)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info, err)
	}
	second := start(t, flags)
	second.emit(10)
	hook.setDown(false)
	for what, events := range map[string]func() []string{"webhook": hook.events, "file": func() []string { return linesOf(file) }} {
		eventually(t, "all have come to the "+what, func() bool { return len(events()) >= len(second.events()) })
		if got, want := events(), second.events(); !slices.Equal(got, want) {
			t.Errorf("the %s has %d events, the gateway %d, or in another order", what, len(got), len(want))
		}
	}
	logged := func() int { return strings.Count(second.log.String(), `msg="an SVM is back" event=svm.up`) }
	eventually(t, "the log has the last events", func() bool { return logged() >= 10 })
	if n := logged(); n != 10 {
		t.Errorf("the log has %d events, want 10", n)
	}
}

// linesOf are the ids of the events in a file.
func linesOf(file string) (ids []string) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		var e store.Event
		if json.Unmarshal([]byte(line), &e) == nil {
			ids = append(ids, e.ID.String())
		}
	}
	return ids
}

// TestStreamsEndWithTheGateway: who follows events does not hold up the end.
func TestStreamsEndWithTheGateway(t *testing.T) {
	r := start(t, map[string]string{"admin-password": "one", "shutdown-timeout": "1m"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", r.plane("admin").url()+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", "one")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	r.emit(1)
	for line := ""; !strings.HasPrefix(line, "data: "); {
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	r.stop()
	rest, err := io.ReadAll(in)
	if err != nil || !strings.Contains(string(rest), ": the gateway ends this stream") {
		t.Errorf("it ends with %q, %v", rest, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the end took %s", took)
	}
}

// TestEventsAreForgotten, and how many follows the settings as they are read again.
func TestEventsAreForgotten(t *testing.T) {
	every, jitter := forgetEvery, forgetJitter
	forgetEvery, forgetJitter = 20*time.Millisecond, 5*time.Millisecond
	defer func() { forgetEvery, forgetJitter = every, jitter }()
	flags := map[string]string{"events-max": "2000"}
	r := start(t, flags)
	r.emit(1500)
	time.Sleep(3 * forgetEvery)
	if n := r.assembly.table.NumEvents(); n < 1500 {
		t.Errorf("%d events, want 1500 at least", n)
	}
	r.emit(1000)
	eventually(t, "2000 are kept", func() bool { return r.assembly.table.NumEvents() <= 2000 })
	flags["events-max"] = "1000"
	opt, err := r.options(flags)
	if err != nil {
		t.Fatal(err)
	}
	r.Reload(opt.Settings)
	eventually(t, "1000 are kept", func() bool { return r.assembly.table.NumEvents() <= 1000 })
	r.stop()
}

// TestManyGatewaysDeliverOnce: each event goes out once, by whichever wrote it, and all
// list the same.
func TestManyGatewaysDeliverOnce(t *testing.T) {
	hook := newHook(t)
	secret := write(t, "secret", "0123456789abcdef\n")
	var all []*running
	for _, name := range []string{"gw-1", "gw-2", "gw-3"} {
		flags := join(name, map[string]string{"events-webhook": hook.URL, "events-webhook-secret-file": secret, "admin-password": "one"}, all...)
		all = append(all, start(t, flags))
	}
	for i := range 30 {
		all[i%3].emit(10)
	}
	// Meanwhile gateways may tell that they have met: until all is quiet there can be more.
	eventually(t, "all list the same, and that is what was delivered", func() bool {
		want := all[2].events()
		return len(want) >= 300 && slices.Equal(all[0].events(), want) && slices.Equal(all[1].events(), want) &&
			slices.Equal(slices.Sorted(slices.Values(hook.events())), slices.Sorted(slices.Values(want)))
	})
}
