package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A server is what a webhook posts to.
type server struct {
	t        *testing.T
	mu       sync.Mutex
	answer   func(http.ResponseWriter, []store.Event) // nil: 204
	requests []*http.Request
	bodies   [][]byte
	took     []store.Event
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	var events []store.Event
	if err = errors.Join(err, json.Unmarshal(body, &events)); err != nil {
		s.t.Errorf("%v in %s", err, body)
	}
	s.requests, s.bodies = append(s.requests, r), append(s.bodies, body)
	answer := httptest.NewRecorder()
	if s.answer != nil {
		s.answer(answer, events)
	} else {
		answer.WriteHeader(http.StatusNoContent)
	}
	if answer.Code/100 == 2 {
		s.took = append(s.took, events...)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
}

// status answers always the same.
func status(code int, header ...string) func(http.ResponseWriter, []store.Event) {
	return func(w http.ResponseWriter, _ []store.Event) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// newWebhook returns a server on loopback and a target that posts to it.
func newWebhook(t *testing.T) (*server, *httptest.Server, Target) {
	t.Helper()
	s := &server{t: t}
	on := httptest.NewServer(s)
	t.Cleanup(on.Close)
	hook := Webhook(WebhookConfig{URL: on.URL + "/hook?token=xyz", Agent: "svmgate/1"})
	t.Cleanup(func() { _ = hook.Close() })
	return s, on, hook
}

func TestWebhookPostsAnArray(t *testing.T) {
	s, _, hook := newWebhook(t)
	events := someEvents(3)
	events[1].Message, events[1].After = "<&>\n", []byte("{\"a\":\n1}")
	check(t, deliver(t, hook, events...))
	r := s.requests[0]
	if r.Method != "POST" || r.URL.Path != "/hook" || r.Header.Get("Content-Type") != "application/json" || r.UserAgent() != "svmgate/1" {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	if len(s.took) != 3 || s.took[1].Message != "<&>\n" || s.took[2].ID != events[2].ID {
		t.Errorf("took %+v", s.took)
	}
	if n := bytes.Count(s.bodies[0], []byte("\n")); n != 3 {
		t.Errorf("%d lines, want one an event: %s", n, s.bodies[0])
	}
	if r.Header.Get(SignatureHeader) != "" {
		t.Error("signed without a secret")
	}
}

// verify is what the documentation gives to receivers.
func verify(secret []byte, header string, body []byte, now time.Time) bool {
	var t, v1 string
	for part := range strings.SplitSeq(header, ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			t = value
		case "v1":
			v1 = value
		}
	}
	sent, err := strconv.ParseInt(t, 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	sum, err := hex.DecodeString(v1)
	return err == nil && hmac.Equal(sum, mac.Sum(nil))
}

func TestWebhookSigns(t *testing.T) {
	s, on, _ := newWebhook(t)
	secret := []byte("first")
	hook := Webhook(WebhookConfig{URL: on.URL, Secret: func() ([]byte, error) { return secret, nil }})
	defer hook.Close()
	check(t, deliver(t, hook, someEvents(2)...))
	header := s.requests[0].Header.Get(SignatureHeader)
	if !verify(secret, header, s.bodies[0], time.Now()) {
		t.Errorf("signature %q does not fit", header)
	}
	for what, ok := range map[string]bool{
		"another secret": verify([]byte("second"), header, s.bodies[0], time.Now()),
		"another body":   verify(secret, header, s.bodies[0][1:], time.Now()),
		"another time":   verify(secret, header, s.bodies[0], time.Now().Add(time.Hour)),
	} {
		if ok {
			t.Errorf("the signature fits %s", what)
		}
	}
	secret = []byte("second") // without a restart
	check(t, deliver(t, hook, someEvents(1)...))
	if !verify(secret, s.requests[1].Header.Get(SignatureHeader), s.bodies[1], time.Now()) {
		t.Error("the new secret is not used")
	}
	hook.(*webhook).cfg.Secret = func() ([]byte, error) { return nil, errDown }
	if err := deliver(t, hook, someEvents(1)...); !errors.Is(err, errDown) || len(s.requests) != 2 {
		t.Errorf("without its secret: %v", err)
	}
}

func TestWebhookReadsTheAnswer(t *testing.T) {
	s, _, hook := newWebhook(t)
	for code, want := range map[int]string{
		200: "", 202: "", 204: "",
		400: "refused", 409: "refused", 413: "refused", 415: "refused", 422: "refused",
		301: "redirects are not followed", 307: "redirects are not followed",
		401: "later", 403: "later", 404: "later", 405: "later", 408: "later", 410: "later", 425: "later", 429: "later",
		500: "later", 502: "later", 503: "later", 504: "later",
	} {
		s.answer = status(code, "Location", "/elsewhere")
		taken, err := hook.Deliver(t.Context(), someEvents(1))
		var refused *RefusedError
		switch {
		case want == "" && (err != nil || taken != 1), want != "" && (err == nil || taken != 0):
			t.Errorf("%d: took %d, %v", code, taken, err)
		case errors.As(err, &refused) != (want == "refused"):
			t.Errorf("%d: %v, want %s", code, err, want)
		case want != "" && want != "later" && want != "refused" && !strings.Contains(err.Error(), want):
			t.Errorf("%d: %v, want %s", code, err, want)
		}
	}
	for _, r := range s.requests {
		if r.URL.Path != "/hook" {
			t.Errorf("a request to %s", r.URL)
		}
	}
	var later *LaterError
	s.answer = status(503, "Retry-After", "120")
	if err := deliver(t, hook, someEvents(1)...); !errors.As(err, &later) || later.After != 2*time.Minute {
		t.Errorf("%v, want later by two minutes", err)
	}
	s.answer = status(429, "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	if err := deliver(t, hook, someEvents(1)...); !errors.As(err, &later) || (later.After-time.Hour).Abs() > 2*time.Second {
		t.Errorf("%v, want later by an hour", err)
	}
	for _, text := range []string{"", "-1", "soon", "99999999999"} {
		s.answer = status(503, "Retry-After", text)
		if err := deliver(t, hook, someEvents(1)...); err == nil || errors.As(err, new(*LaterError)) {
			t.Errorf("Retry-After %q: %v", text, err)
		}
	}
}

// TestWebhookRefusesOneOfMany delivers the others.
func TestWebhookRefusesOneOfMany(t *testing.T) {
	s, _, hook := newWebhook(t)
	events := someEvents(10)
	s.answer = func(w http.ResponseWriter, got []store.Event) {
		if slices.ContainsFunc(got, func(e store.Event) bool { return e.ID == events[6].ID }) {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}
	taken, err := hook.Deliver(t.Context(), events)
	if taken != 6 || !errors.As(err, new(*RefusedError)) || len(s.took) != 6 {
		t.Errorf("took %d, %v; want 6 and a refusal", taken, err)
	}
	check(t, deliver(t, hook, events[7:]...))
	if len(s.took) != 9 {
		t.Errorf("took %d, want all but one", len(s.took))
	}
}

func TestWebhookThatIsNotThere(t *testing.T) {
	_, on, hook := newWebhook(t)
	on.Close()
	err := deliver(t, hook, someEvents(1)...)
	if err == nil || strings.Contains(err.Error(), "xyz") {
		t.Errorf("%v, want an error without what may be secret in the URL", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
	}))
	defer stuck.Close()
	hook = Webhook(WebhookConfig{URL: stuck.URL})
	defer hook.Close()
	if _, err := hook.Deliver(ctx, someEvents(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that does not answer: %v", err)
	}
}

func TestWebhookVerifiesTheServer(t *testing.T) {
	s := &server{t: t}
	on := httptest.NewUnstartedServer(s)
	on.Config.ErrorLog = log.New(io.Discard, "", 0) // which tells of clients that do not trust it
	on.StartTLS()
	defer on.Close()
	if err := deliver(t, Webhook(WebhookConfig{URL: on.URL}), someEvents(1)...); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody knows: %v", err)
	}
	known := x509.NewCertPool()
	known.AddCert(on.Certificate())
	hook := Webhook(WebhookConfig{URL: on.URL, CA: known})
	defer hook.Close()
	check(t, deliver(t, hook, someEvents(1)...))
	if err := deliver(t, Webhook(WebhookConfig{URL: strings.Replace(on.URL, "127.0.0.1", "localhost", 1), CA: known}), someEvents(1)...); err == nil {
		t.Error("a certificate for another name is taken")
	}
}

// A shortcut carries requests to a handler without a network, so that it works in a
// bubble.
type shortcut struct{ http.Handler }

func (s shortcut) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// TestWebhookIsDownForAnHour, in ways of its own, and gets everything, in order.
func TestWebhookIsDownForAnHour(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := &server{t: t}
		w := newWorld(t, func(c *Config) {
			c.Targets = []Target{Webhook(WebhookConfig{URL: "http://hook", Transport: shortcut{s}})}
		})
		for i, answer := range []func(http.ResponseWriter, []store.Event){
			status(503), status(429, "Retry-After", "30"), status(401), nil, status(301), status(500), status(404), nil, status(408),
		} {
			s.mu.Lock()
			s.answer = answer
			s.mu.Unlock()
			for range 40 {
				w.write(1 + i)
				time.Sleep(10 * time.Second)
			}
		}
		s.mu.Lock()
		s.answer = nil
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		var got []string
		for _, e := range s.took {
			got = append(got, e.Message)
		}
		if st := w.balance(); st.Backlog != 0 || st.Dropped+st.Refused != 0 || !slices.Equal(got, w.written) {
			t.Errorf("%+v: took %d, want %d", st, len(got), len(w.written))
		}
		largest := 0
		for _, b := range s.bodies {
			largest = max(largest, bytes.Count(b, []byte("\n")))
		}
		if largest != maxBatch {
			t.Errorf("up to %d events in a request, want %d", largest, maxBatch)
		}
	})
}

// TestLargeEventsMakeSmallBatches keeps requests near a megabyte.
func TestLargeEventsMakeSmallBatches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := &server{t: t}
		w := newWorld(t, func(c *Config) {
			c.Targets = []Target{Webhook(WebhookConfig{URL: "http://hook", Transport: shortcut{s}})}
		})
		evidence := []byte(`"` + strings.Repeat("x", 30<<10) + `"`)
		check(t, w.table.Update(func(tx *store.Tx) error {
			for i := range 100 {
				e := store.Event{ID: store.NewEventID(), Type: "admin.x", Message: fmt.Sprint(i), Before: evidence, After: evidence}
				if _, err := tx.Emit(e); err != nil {
					return err
				}
			}
			return nil
		}))
		if st := w.stats(); st.Delivered != 100 {
			t.Errorf("%+v", st)
		}
		for _, b := range s.bodies {
			if len(b) > maxBatchBytes*5/4 {
				t.Errorf("a request of %d bytes", len(b))
			}
		}
	})
}
