package adminapi

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/store"
)

const (
	// DefaultEventStreams is how many clients may follow events at a time.
	DefaultEventStreams = 100

	streamType = "text/event-stream"
	// heartbeat is how long a stream is silent at most: proxies cut what is silent for
	// longer, and a client that has gone is noticed.
	heartbeat = 15 * time.Second
	// streamRetry is how long a client waits before it comes back.
	streamRetry = 2 * time.Second
	// streamPage is how many events are encoded at once.
	streamPage = 64
)

// streamEvents follows events as they come, in the form of server-sent events. The
// client comes back with the id of the last that it has.
func (a *API) streamEvents(c *call) error {
	wanted, err := c.eventFilter()
	if err != nil {
		return err
	}
	if c.ctx.QueryArgs().Has("limit") {
		return badParameter("limit", string(c.ctx.QueryArgs().Peek("limit")), "none with a stream, which has no pages")
	}
	after, given, err := c.cursor()
	if err != nil {
		return err
	}
	if text := string(c.ctx.Request.Header.Peek("Last-Event-ID")); text != "" {
		if after, given = parseCursor(text); !given {
			return refuse(400, "invalid_header", "Last-Event-ID "+strconv.Quote(text)+" is not the id of an event of this stream")
		}
	}
	if a.streams.Add(1) > int64(a.maxStreams) {
		a.streams.Add(-1)
		c.ctx.Response.Header.Set("Retry-After", strconv.Itoa(int(heartbeat/time.Second)))
		return refuse(503, "too_many_streams", "as many clients follow events as event-streams allows; list them instead, or try again")
	}
	c.ctx.SetContentType(streamType)
	c.ctx.Response.Header.Set("X-Accel-Buffering", "no") // proxies hold back what looks like a page
	s := &eventStream{api: a, account: c.account, wanted: wanted}
	s.begin(after, given)
	fence.Send(c.ctx, s, -1)
	return nil
}

// EventStreams returns how many clients follow events now.
func (a *API) EventStreams() int { return int(a.streams.Load()) }

// An eventStream is the body of an answer that goes on until one of both sides ends it.
// The server reads it, and so what a slow client does not take is not made.
type eventStream struct {
	api     *API
	account store.Account
	wanted  *eventFilter

	replay bool          // whether events are still read from the table
	at     store.Version // the last event that was looked at
	seen   uint64        // how many came to the feed up to here, unless replay

	text    bytes.Buffer
	spoken  time.Time // when something was last said
	checked time.Time // when the account was last seen to be what it was
	over    bool
	closed  atomic.Bool
}

// begin finds where to go on: in the order in which events came if the feed still has
// the last that the client has, else from its version on. Who has none begins at
// "from", else now.
func (s *eventStream) begin(after store.Version, given bool) {
	if s.seen, s.at = s.api.feed.end(); s.seen == 0 {
		s.at = versionBefore(time.Now())
	}
	if given {
		seen, ok := s.api.feed.find(after)
		s.at, s.replay = s.wanted.start(after), !ok
		if ok {
			s.at, s.seen = after, seen
		}
	} else if !s.wanted.from.IsZero() {
		s.at, s.replay = s.wanted.start(store.Version{}), true
	}
	s.text.WriteString("retry: " + strconv.FormatInt(streamRetry.Milliseconds(), 10) + "\n")
	s.mark()
	s.spoken = time.Now()
	s.checked = s.spoken
}

// mark tells the client where it is, though there is no event for it.
func (s *eventStream) mark() { s.text.WriteString("id: " + cursorOf(s.at) + "\n\n") }

// Read implements [io.Reader]. It waits until there is something to say.
func (s *eventStream) Read(p []byte) (int, error) {
	for s.text.Len() == 0 {
		switch {
		case s.over:
			return 0, io.EOF
		case !s.admitted():
			s.end("the account has changed: log in again")
		case s.replay:
			s.readTable()
		default:
			s.follow()
		}
	}
	s.spoken = time.Now()
	return s.text.Read(p)
}

// readTable reads the next events of the table. What comes to the feed meanwhile is
// looked at after the last page: it may be in that, too.
func (s *eventStream) readTable() {
	seen, _ := s.api.feed.end()
	page, last := s.api.eventPage(s.at, s.wanted, streamPage)
	s.at = last
	for i := range page.Items {
		s.put(&page.Items[i])
	}
	if page.Next == "" {
		s.replay, s.seen = false, seen
	}
}

// follow waits for the next events of the feed.
func (s *eventStream) follow() {
	records, more, ok := s.api.feed.next(s.seen, streamPage)
	if !ok {
		s.end("this client is more than " + strconv.Itoa(feedSize) + " events behind; come back with Last-Event-ID")
		return
	}
	for i := range records {
		s.seen++
		s.at = records[i].Version
		if e, ok := store.EventOf(&records[i]); ok && s.wanted.has(&e) {
			s.put(&e)
		}
	}
	if len(records) > 0 && time.Since(s.spoken) < heartbeat {
		return
	}
	timer := time.NewTimer(time.Until(s.spoken.Add(heartbeat)))
	defer timer.Stop()
	select {
	case <-more:
	case <-timer.C:
		s.mark()
	case <-s.api.closing:
		s.end("the gateway ends this stream; come back with Last-Event-ID")
	}
}

// admitted reports whether the account is what it was, as of a heartbeat ago.
func (s *eventStream) admitted() bool {
	if time.Since(s.checked) < heartbeat {
		return true
	}
	s.checked = time.Now()
	return s.api.isStill(&s.account)
}

func (s *eventStream) end(why string) {
	s.text.WriteString(": " + why + "\n\n")
	s.over = true
}

// put writes an event: its data is one line.
func (s *eventStream) put(e *store.Event) {
	s.text.WriteString("id: " + cursorOf(e.Version) + "\nevent: " + e.Type + "\ndata: ")
	enc := json.NewEncoder(&s.text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil { // it was read from a record that was checked
		s.end("an event can not be written: " + err.Error())
		return
	}
	s.text.WriteByte('\n')
}

// Close implements [io.Closer].
func (s *eventStream) Close() error {
	if !s.closed.Swap(true) {
		s.api.streams.Add(-1)
	}
	return nil
}
