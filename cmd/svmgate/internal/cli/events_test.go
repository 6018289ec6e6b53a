package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

// newEvents is a gateway with the sample inventory and some events: one of each kind.
func newEvents(t *testing.T) *gateway {
	g := newSample(t)
	acme, _ := g.table.TenantByName("acme")
	g.emit(
		store.Event{Type: "tenant.deactivated", Tenant: acme.ID, Actor: "admin", From: "10.0.0.1"},
		store.Event{Type: "svm.down", SVM: store.SVMID{15: 0xA1}, Message: "it is silent"},
		store.Event{Type: "agent.no_svm", Tenant: acme.ID, VM: store.BIOSID{15: 0xB2}, Message: "its tenant is inactive"},
		store.Event{Type: "svm.up", SVM: store.SVMID{15: 0x77}},
		store.Event{Type: "admin.backup", Actor: "admin", Message: "made a backup"},
	)
	return g
}

func (g *gateway) emit(events ...store.Event) {
	g.t.Helper()
	check(g.t, g.table.Update(func(tx *store.Tx) error {
		for _, e := range events {
			e.ID = store.NewEventID()
			if _, err := tx.Emit(e); err != nil {
				return err
			}
		}
		return nil
	}))
}

var atStart = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  `)

func TestEvents(t *testing.T) {
	g := newEvents(t)
	const loaded = "admin.import  -  imported an inventory: 6 records changed  by root from 127.0.0.1\n" // the sample
	const deactivated, down = "tenant.deactivated  acme  by admin from 10.0.0.1\n", "svm.down  svm-1  it is silent\n"
	const noSVM = "agent.no_svm  acme 00000000-0000-0000-0000-0000000000b2  its tenant is inactive\n"
	const up, backup = "svm.up  00000000-0000-0000-0000-000000000077\n", "admin.backup  -  made a backup  by admin\n"
	for _, tt := range []struct {
		args string
		want string
	}{
		{"", loaded + deactivated + down + noSVM + up + backup},
		{"--type svm.", down + up},
		{"--type svm.down,admin.backup", down + backup},
		{"--type svm.down --type admin.", loaded + down + backup},
		{"--tenant acme", deactivated + noSVM},
		{"--tenant 00000000-0000-0000-0000-00000000007e --type agent.", noSVM},
		{"--svm svm-1", down},
		{"--vm {00000000-0000-0000-0000-0000000000B2}", noSVM},
		{"--since 1h --type admin.", loaded + backup},
		{"--since 2020-01-01T00:00:00+01:00 --until 2999-01-01T00:00:00Z --type admin.", loaded + backup},
		{"--until 2020-01-01T00:00:00Z", ""},
		{"--type none.", ""},
	} {
		got := g.must(append([]string{"events"}, strings.Fields(tt.args)...)...)
		if n := len(atStart.FindAllString(got, -1)); n != strings.Count(got, "\n") {
			t.Errorf("%s: %d lines have a time: %s", tt.args, n, got)
		}
		got = atStart.ReplaceAllString(got, "")
		if got != tt.want {
			t.Errorf("events %s:\n%s\nwant\n%s", tt.args, got, tt.want)
		}
	}
}

func TestEventsAsJSON(t *testing.T) {
	g := newEvents(t)
	var page struct {
		Items []store.Event
		Next  string
	}
	out := g.must("events", "--output", "json")
	if err := json.Unmarshal([]byte(out), &page); err != nil || len(page.Items) != 6 || page.Items[1].Actor != "admin" || page.Next != "" {
		t.Errorf("%v: %s", err, out)
	}
	if out := g.must("events", "--type", "none", "--output", "json"); out != `{"items":[],"next":""}`+"\n" {
		t.Errorf("none: %s", out)
	}
}

func TestEventsUsage(t *testing.T) {
	g := newEvents(t)
	for args, exit := range map[string]int{
		"x": 2, "--since yesterday": 2, "--since -1h": 2, "--until 2020-01-01": 2, "--follow --until 1h": 2, "--output xml": 2,
		"--tenant nobody": 1, "--svm nobody": 1, "--vm nobody": 1, "--follow --vm nobody": 1, "--type ,": 1,
	} {
		if r := g.run(append([]string{"events"}, strings.Fields(args)...)...); r.exit() != exit {
			t.Errorf("events %s: exit %d (%v), want %d", args, r.exit(), r.err, exit)
		}
	}
	if r := execute(nil, "events", "--follow", "--server", "http://127.0.0.1:1", "--user", "root:x"); r.exit() != 1 {
		t.Errorf("no gateway: exit %d", r.exit())
	}
}

// A lockedText is written by a command while a test reads it.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// has waits until the text has something.
func (l *lockedText) has(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(l.String(), what); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %s", what, l.String())
		}
	}
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// follow runs events --follow until it is stopped.
func follow(t *testing.T, server string, args ...string) (out, errOut *lockedText, stop func() error, ended chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, errOut = &lockedText{}, &lockedText{}
	root := &cobra.Command{Use: "svmgate", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(Commands()...)
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetArgs(append([]string{"events", "--follow", "--server", server, "--user", "root:" + password}, args...))
	ended = make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	stop = func() error { cancel(); err := <-ended; ended <- err; return err }
	t.Cleanup(func() { _ = stop() })
	return out, errOut, stop, ended
}

func TestFollowEvents(t *testing.T) {
	g := newEvents(t)
	out, _, stop, _ := follow(t, g.server, "--since", "1h", "--type", "svm.,tenant.")
	out.has(t, "svm.up")
	g.emit(store.Event{Type: "admin.x"}, store.Event{Type: "svm.down", SVM: store.SVMID{15: 0xA1}, Message: "again"})
	out.has(t, "svm.down  svm-1  again\n")
	check(t, stop())
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines, want 4: %s", n, out)
	}
	out, _, _, _ = follow(t, g.server, "--output", "json")
	for !strings.Contains(out.String(), `"message":"now"`) { // it begins when it is there
		g.emit(store.Event{Type: "svm.down", Message: "now"})
		time.Sleep(time.Millisecond)
	}
	for line := range strings.Lines(out.String()) {
		var e store.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Message != "now" {
			t.Errorf("%v: %s", err, line)
		}
	}
}

// TestFollowGoesOn where a stream ended, with the id of the last event that came whole.
func TestFollowGoesOn(t *testing.T) {
	before := comeBack
	comeBack = time.Millisecond
	defer func() { comeBack = before }()
	var asked []string
	var mu sync.Mutex
	refuse := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/events" {
			_, _ = io.WriteString(w, `{"items":[],"next":""}`)
			return
		}
		mu.Lock()
		asked = append(asked, r.Header.Get("Last-Event-ID"))
		n := len(asked)
		code := refuse
		mu.Unlock()
		if code != 0 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"status":%d,"detail":"no","code":"no"}`, code)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "retry: 1\nid: a%d\n\nid: b%d\nevent: svm.up\ndata: {\"id\":\"\",\"type\":\"svm.up\",\"message\":\"number %d.\"}\n\n", n, n, n)
		fmt.Fprintf(w, ": bye\n\nid: c%d\nevent: svm.up\n", n) // and no more
	}))
	defer server.Close()
	set := func(code int) (n int) {
		mu.Lock()
		defer mu.Unlock()
		refuse = code
		return len(asked)
	}
	out, errOut, _, ended := follow(t, server.URL)
	out.has(t, "number 3.")
	errOut.has(t, "(bye); trying to go on")
	set(503)
	time.Sleep(5 * time.Millisecond)
	out.has(t, fmt.Sprintf("number %d.", set(0)+2))
	mu.Lock()
	if got := strings.Join(asked[:3], " "); got != " b1 b2" {
		t.Errorf("asked for %q, want those after the last whole event", got)
	}
	mu.Unlock()
	set(401)
	err := <-ended
	ended <- err
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("an account that is gone ends it with %v", err)
	}
}
