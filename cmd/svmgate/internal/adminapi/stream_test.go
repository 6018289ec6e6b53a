package adminapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A message is one of a stream: an event, or a comment, or only an id.
type message struct {
	id, event, comment string
	data               store.Event
}

// readMessage reads up to the next empty line.
func readMessage(r *bufio.Reader) (m message, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return m, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "":
			if value == "" {
				return m, nil
			}
			m.comment = value
		case "data":
			if err := json.Unmarshal([]byte(value), &m.data); err != nil {
				return m, err
			}
		case "retry":
		default:
			return m, fmt.Errorf("line %q", line)
		}
	}
}

// newStream begins a stream as a request would, without one.
func newStream(api *API, wanted eventFilter, after ...store.Version) *bufio.Reader {
	account, _ := api.table.Account("root")
	s := &eventStream{api: api, account: account, wanted: &wanted}
	if len(after) > 0 {
		s.begin(after[0], true)
	} else {
		s.begin(store.Version{}, false)
	}
	return bufio.NewReaderSize(s, 16)
}

// nextEvents reads so many events.
func nextEvents(t *testing.T, r *bufio.Reader, n int) (got []message) {
	t.Helper()
	for len(got) < n {
		m, err := readMessage(r)
		check(t, err)
		if m.comment != "" {
			t.Fatalf("comment %q", m.comment)
		}
		if m.event != "" {
			got = append(got, m)
		}
	}
	return got
}

func newFeedAPI(t *testing.T) *API {
	t.Helper()
	table, err := store.Open(store.Config{})
	check(t, err)
	check(t, table.Update(func(tx *store.Tx) error {
		_, err := tx.PutAccount(store.Account{Name: "root", Role: store.RoleAdmin, Hash: "x"})
		return err
	}))
	a := &API{table: table, closing: make(chan struct{})}
	table.Subscribe(a.feed.note)
	return a
}

// TestStreamTellsWhatHappens is a stream over a connection, as a client sees it.
func TestStreamTellsWhatHappens(t *testing.T) {
	g := newGateway(t)
	emit(t, g.table, store.Event{Type: "svm.down", Message: "before"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://gateway/v1/events?type=svm.", nil)
	req.SetBasicAuth("watcher", password)
	req.Header.Set("Accept", "application/json;q=0.1, text/event-stream")
	resp, err := g.client.Do(req)
	check(t, err)
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %s %v", resp.Status, ct, resp.Header)
	}
	if n := g.api.EventStreams(); n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
	r := bufio.NewReader(resp.Body)
	emit(t, g.table, store.Event{Type: "tenant.activated"}, store.Event{ID: store.EventID{15: 9}, Type: "svm.up", SVM: ownSVM})
	m := nextEvents(t, r, 1)[0]
	if m.event != "svm.up" || m.data.ID != (store.EventID{15: 9}) || m.data.SVM != ownSVM || m.data.Time.IsZero() {
		t.Errorf("got %+v", m)
	}
	cancel()
	for g.api.EventStreams() > 0 { // the next event finds that nobody reads
		emit(t, g.table, store.Event{Type: "svm.up"})
		time.Sleep(time.Millisecond)
	}
}

func TestTooManyStreams(t *testing.T) {
	g := newGateway(t, func(c *Config) { c.EventStreams = 2 })
	open := func() (*http.Response, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://gateway/v1/events", nil)
		req.SetBasicAuth("root", password)
		req.Header.Set("Accept", "text/event-stream")
		resp, err := g.client.Do(req)
		check(t, err)
		t.Cleanup(func() { cancel(); _ = resp.Body.Close() })
		return resp, cancel
	}
	_, end := open()
	g.must(200, "HEAD", "/v1/events", "", "Accept", "text/event-stream") // which does not last
	open()
	a := g.do("GET", "/v1/events", "", "Accept", "text/event-stream")
	if a.status != 503 || a.code() != "too_many_streams" || a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a third stream: %d %s %v", a.status, a.code(), a.header)
	}
	g.must(200, "GET", "/v1/events", "")
	end()
	for g.api.EventStreams() > 1 {
		emit(t, g.table, store.Event{Type: "svm.up"})
		time.Sleep(time.Millisecond)
	}
	if resp, _ := open(); resp.StatusCode != 200 {
		t.Errorf("after one has ended: %s", resp.Status)
	}
}

func TestBadStreams(t *testing.T) {
	g := newGateway(t)
	for query, header := range map[string]string{"limit=5": "", "type=": "", "after=x": "", "": "x", "from=0": ""} {
		if a := g.do("GET", "/v1/events?"+query, "", "Accept", "text/event-stream", "Last-Event-ID", header); a.status != 400 {
			t.Errorf("%q %q: %d, want 400", query, header, a.status)
		}
	}
	if n := g.api.EventStreams(); n != 0 {
		t.Errorf("%d streams after refusals, want none", n)
	}
}

// TestStreamGoesOn comes back after every event there was, with the feed and without.
func TestStreamGoesOn(t *testing.T) {
	a := newFeedAPI(t)
	for i := range 50 {
		emit(t, a.table, store.Event{Type: "svm.up", Message: fmt.Sprint(i)})
	}
	all := allEvents(a.table)
	other := &API{table: a.table} // whose feed begins now
	a.table.Subscribe(other.feed.note)
	for _, api := range []*API{a, other} {
		for i := range all {
			r := newStream(api, eventFilter{}, all[i].Version)
			for j, m := range nextEvents(t, r, len(all)-1-i) {
				if m.data.ID != all[i+1+j].ID || m.id != cursorOf(all[i+1+j].Version) {
					t.Fatalf("after %d: event %d is %s, want %s", i, j, m.data.Message, all[i+1+j].Message)
				}
			}
		}
	}
	r := newStream(other, eventFilter{from: all[0].Time.Time})
	nextEvents(t, r, len(all))
	emit(t, a.table, store.Event{Type: "svm.down"})
	if m := nextEvents(t, r, 1)[0]; m.event != "svm.down" {
		t.Errorf("after what was there: %+v", m)
	}
}

// TestStreamGoesOnInTheOrderOfArrival comes back after an event that came earlier than
// one that is older, from another gateway that was cut off.
func TestStreamGoesOnInTheOrderOfArrival(t *testing.T) {
	a := newFeedAPI(t)
	peer, err := store.Open(store.Config{Node: "peer", Clock: func() time.Time { return time.Now().Add(-time.Second) }})
	check(t, err)
	emit(t, peer, store.Event{ID: store.EventID{1}, Type: "svm.down", Message: "late"})
	emit(t, a.table, store.Event{ID: store.EventID{2}, Type: "svm.up"})
	first := newStream(a, eventFilter{}, versionBefore(time.Now().Add(-time.Hour)))
	seen := nextEvents(t, first, 1)[0]
	late, _ := peer.Record(store.Key{Kind: store.KindEvent, ID: store.EventID{1}})
	if _, err := a.table.Apply(store.Batch{Records: []store.Record{late}, From: "peer"}); err != nil {
		t.Fatal(err)
	}
	v, _ := parseCursor(seen.id)
	if late.Version.Compare(v) >= 0 {
		t.Fatal("the late event is not older")
	}
	if m := nextEvents(t, newStream(a, eventFilter{}, v), 1)[0]; m.data.Message != "late" {
		t.Errorf("after coming back: %+v, want the event that came late", m)
	}
}

// TestStreamThatHadNothingGoesOn comes back with the id that it was given at once.
func TestStreamThatHadNothingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFeedAPI(t)
		defer a.table.Close()
		for range 2 { // with an empty feed, and with one that is not
			time.Sleep(time.Second)
			begin := time.Now()
			m, err := readMessage(newStream(a, eventFilter{}))
			check(t, err)
			v, ok := parseCursor(m.id)
			if !ok || time.Since(begin) > 0 {
				t.Fatalf("first message %+v after %s, want an id at once", m, time.Since(begin))
			}
			id := store.NewEventID()
			emit(t, a.table, store.Event{ID: id, Type: "svm.up"})
			if got := nextEvents(t, newStream(a, eventFilter{}, v), 1)[0]; got.data.ID != id {
				t.Errorf("came back to %+v", got)
			}
		}
	})
}

// TestSilentStreamBeats watches that a stream says something every 15 s, also while
// there are events that it does not want.
func TestSilentStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFeedAPI(t)
		defer a.table.Close()
		defer every(7*time.Second, func() { emit(t, a.table, store.Event{Type: "svm.up"}) })()
		r := newStream(a, eventFilter{types: []string{"none"}})
		_, err := readMessage(r)
		check(t, err)
		var last string
		for range 20 {
			begin := time.Now()
			m, err := readMessage(r)
			check(t, err)
			if took := time.Since(begin); took != heartbeat || m.event != "" || m.id == last || m.id == "" {
				t.Fatalf("%+v after %s, want a new id after %s", m, took, heartbeat)
			}
			last = m.id
		}
	})
}

// every calls fn at intervals, until it is stopped.
func every(interval time.Duration, fn func()) (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(interval):
				fn()
			case <-over:
				return
			}
		}
	}()
	return func() { close(over); <-ended }
}

// endOf reads a stream to its end and returns the last comment.
func endOf(t *testing.T, r *bufio.Reader) (comment string) {
	t.Helper()
	for {
		m, err := readMessage(r)
		if errors.Is(err, io.EOF) {
			return comment
		}
		check(t, err)
		comment = m.comment
	}
}

// TestSlowReaderIsSentAway falls further behind than is remembered. Nobody waits for it,
// and it misses nothing when it comes back.
func TestSlowReaderIsSentAway(t *testing.T) {
	a := newFeedAPI(t)
	r := newStream(a, eventFilter{})
	first, err := readMessage(r)
	check(t, err)
	for range feedSize/64 + 1 {
		emit(t, a.table, slices.Repeat([]store.Event{{Type: "svm.up"}}, 64)...)
	}
	if why := endOf(t, r); !strings.Contains(why, "4096 events behind") {
		t.Errorf("the stream ends with %q", why)
	}
	v, _ := parseCursor(first.id)
	if got := nextEvents(t, newStream(a, eventFilter{}, v), feedSize+64); got[0].data.ID != allEvents(a.table)[0].ID {
		t.Error("events are missing after coming back")
	}
}

func TestStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFeedAPI(t)
		defer a.table.Close()
		closing := make(chan struct{})
		a.closing = closing
		r := newStream(a, eventFilter{})
		go func() {
			time.Sleep(time.Second)
			close(closing)
		}()
		if why := endOf(t, r); !strings.Contains(why, "the gateway ends this stream") {
			t.Errorf("at shutdown it ends with %q", why)
		}
		a.closing = nil

		quiet, busy := newStream(a, eventFilter{}), newStream(a, eventFilter{})
		check(t, a.table.Update(func(tx *store.Tx) error {
			_, err := tx.PutAccount(store.Account{Name: "root", Role: store.RoleAdmin, Hash: "y"})
			return err
		}))
		defer every(time.Second, func() { emit(t, a.table, store.Event{Type: "svm.up"}) })()
		begin := time.Now()
		for name, r := range map[string]*bufio.Reader{"busy": busy, "quiet": quiet} {
			if why := endOf(t, r); !strings.Contains(why, "account has changed") || time.Since(begin) > 2*heartbeat {
				t.Errorf("a %s stream of an account that was changed ends with %q after %s", name, why, time.Since(begin))
			}
		}
	})
}
