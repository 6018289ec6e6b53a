package bench

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A lane is a share of the requests with connections of its own, so that long
// polls keep no question waiting.
type lane struct {
	kinds    []Kind
	share    float64 // of all requests
	dialer   *dialer // nil for the management plane
	workers  []*worker
	arrivals *arrivals // of the step
}

// A worker makes requests over one connection, one at a time, those of many
// steps. It is used by one goroutine.
type worker struct {
	r       *run
	kinds   []Kind
	weights []float64 // of kinds, summed up, the last is 1
	conn    *conn     // nil for the management plane
	alarm   *alarm    // nil if it need not be on time
	random  *rand.Rand
	request []byte
	body    []byte
	tally   *tally

	agent    int    // of long polls: whose
	revision string // and what it knows

	switched store.TenantID // a tenant that is not as it was found
	off      bool
}

func (w *worker) pick() Kind {
	if len(w.kinds) == 1 {
		return w.kinds[0]
	}
	at := w.random.Float64()
	for i, weight := range w.weights {
		if at < weight {
			return w.kinds[i]
		}
	}
	return w.kinds[len(w.kinds)-1]
}

// work takes arrivals until there are no more or ctx ends. Polls that are under
// way when enough is done are given up: they would outlast the step.
func (w *worker) work(ctx context.Context, s *step, a *arrivals) {
	for {
		due, ok := a.next()
		if !ok || !s.sleep(ctx, due, w.alarm) {
			return
		}
		kind := w.pick()
		now := time.Now()
		sent := now.Sub(s.start)
		if sent-due > w.r.cfg.Patience {
			w.tally.giveUp(kind, due, s.recovering)
			continue
		}
		o := outcome{kind: kind, due: due, sent: sent}
		switch kind {
		case Ask:
			w.agent = w.random.IntN(len(w.r.cfg.Agents))
			w.request = w.r.questions.appendAsk(w.request[:0], w.agent, Ask, "")
			w.send(s.calm, now, s, &o, w.r.cfg.Timeout)
		case Batch:
			w.request, w.body = w.r.questions.appendBatch(w.request[:0], w.body, w.random)
			w.send(s.calm, now, s, &o, w.r.cfg.Timeout)
		case Poll:
			w.poll(now, s, &o)
		default:
			w.manage(s, &o)
		}
		w.tally.record(&o, w.r.cfg.Within, s.recovering)
	}
}

// send makes the request and fills in what came of it.
func (w *worker) send(ctx context.Context, now time.Time, s *step, o *outcome, timeout time.Duration) {
	o.status, o.err = w.conn.exchange(ctx, now, w.request, timeout)
	o.done = time.Since(s.start)
	if o.err != nil || o.status != 200 {
		return
	}
	body := w.conn.answer.Body()
	if o.kind == Batch {
		if refused := bytes.Count(body, []byte(`"error":`)); refused > 0 {
			o.refused = refused
		}
		o.decisions = bytes.Count(body, []byte{'\n'}) - o.refused
		return
	}
	o.decisions = 1
	o.result = resultOf(body)
}

// poll asks as an agent that keeps a connection: for what is different from what
// it knows. One that knows nothing yet asks first, which does not count.
func (w *worker) poll(now time.Time, s *step, o *outcome) {
	if w.revision == "" {
		now = w.learn(now, s, o)
	}
	known := w.revision
	w.request = w.r.questions.appendAsk(w.request[:0], w.agent, Poll, known)
	stop := context.AfterFunc(s.polls, w.conn.interrupt)
	w.send(s.polls, now, s, o, w.r.cfg.PollWait+w.r.cfg.Timeout)
	if !stop() {
		w.conn.close() // its deadline is over, though the answer came just before
	}
	if o.err != nil {
		o.unfinished = s.polls.Err() != nil
		w.revision = ""
		return
	}
	w.revision = revisionOf(w.conn.answer.Body())
	if known == "" || o.status != 200 {
		return // an answer at once, like any other
	}
	// How long it took says nothing: gateways end waits up to a tenth early.
	if o.changed = w.revision != known; !o.changed {
		o.waited = min(w.r.cfg.PollWait, o.done-o.sent)
	}
}

// learn asks for an agent of its own what it is told now. Whatever comes of that
// shows in the poll.
func (w *worker) learn(now time.Time, s *step, o *outcome) time.Time {
	w.agent = w.random.IntN(len(w.r.cfg.Agents))
	w.request = w.r.questions.appendAsk(w.request[:0], w.agent, Ask, "")
	if status, err := w.conn.exchange(s.calm, now, w.request, w.r.cfg.Timeout); err == nil && status == 200 {
		w.revision = revisionOf(w.conn.answer.Body())
	}
	late := o.sent - o.due
	now = time.Now()
	o.sent = now.Sub(s.start)
	o.due = o.sent - late
	return now
}

// results are what an answer may say, in the words of the agent plane.
var results = [...]string{"assigned", "inactive", "no_svm", "over_capacity"}

// resultOf is the place of an answer's result among [results], from 1; 0 is another.
func resultOf(body []byte) int {
	const before = `{"result":"`
	if len(body) < len(before) || string(body[:len(before)]) != before {
		return 0
	}
	for i, name := range results {
		if bytes.HasPrefix(body[len(before):], []byte(name)) {
			return i + 1
		}
	}
	return 0
}
