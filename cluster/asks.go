package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A question is what one node asks of another.
type question uint8

const (
	askDigest  question = 1 + iota // to exchange digests
	askPull                        // for the records of buckets
	askConfirm                     // to apply records, and say so
	askKeys                        // to look at or change encryption keys
	askRoot                        // for the root of a digest
)

// Bounds of questions: what a node asks, and what it is asked.
const (
	maxAsks        = 1024             // of our own, under way
	maxWait        = 30 * time.Second // for an answer
	maxQueued      = 256              // of peers, waiting for a worker
	maxQueuedBytes = 2 * maxBody
	maxRefusals    = 256 // waiting to be sent
	askWorkers     = 8
)

var (
	errBusy    = errors.New("busy") // the text is what peers are sent
	errGone    = errors.New("cluster: the peer is gone")
	errStopped = errors.New("cluster: the node is stopped")
	errTooMany = errors.New("cluster: too many questions under way")
)

// A refusal is the error that a peer answered with. It would do so again.
type refusal string

func (r refusal) Error() string { return string(r) }

// asks asks peers, and answers them. A question and its answer are messages of their
// own, so no connection waits for anybody.
type asks struct {
	self    string
	send    func(peer string, msg []byte) error
	answers map[question]func(peer string, body []byte) ([]byte, error)
	work    *sync.WaitGroup

	queue   chan message // questions that wait for a worker
	bytes   atomic.Int64 // in the queue
	refused chan message // questions there was no room for

	mu      sync.Mutex
	stopped bool
	sending int // questions that are on their way, whoever still waits for them
	last    uint64
	pending map[uint64]pending
}

// pending is a question that has no answer yet.
type pending struct {
	peer  string
	reply chan reply // has room for one
}

type reply struct {
	body []byte
	err  error
}

// ask asks peer, and waits for its answer until ctx ends. The answer is the
// caller's own.
func (n *Node) ask(ctx context.Context, peer string, what question, body []byte) ([]byte, error) {
	return n.asks.ask(ctx, peer, what, body)
}

// answer says who answers a question. All must be said before the node starts.
// Answers are given by a few goroutines; body is the answerer's own.
func (n *Node) answer(what question, fn func(peer string, body []byte) ([]byte, error)) {
	n.asks.answers[what] = fn
}

// init makes a ready to be told who answers what. send is called by any number of
// goroutines, and may take its time.
func (a *asks) init(self string, send func(peer string, msg []byte) error) {
	a.self, a.send = self, send
	a.answers = make(map[question]func(string, []byte) ([]byte, error))
	a.queue = make(chan message, maxQueued)
	a.refused = make(chan message, maxRefusals)
	a.pending = make(map[uint64]pending)
	a.last = rand.Uint64() // late answers to who had the name before mean nothing
}

// start answers until life ends. What runs is counted in work.
func (a *asks) start(life context.Context, work *sync.WaitGroup) {
	a.work = work
	for range askWorkers {
		work.Go(func() { a.each(life, a.queue, a.serve) })
	}
	work.Go(func() {
		a.each(life, a.refused, func(m message) { a.tell(m, nil, errBusy) })
	})
	work.Go(func() {
		<-life.Done()
		a.stop()
	})
}

func (a *asks) each(life context.Context, from <-chan message, do func(message)) {
	for {
		select {
		case <-life.Done():
			return
		case m := <-from:
			do(m)
		}
	}
}

// stop ends the waiting of all who wait for an answer.
func (a *asks) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.fail(func(pending) bool { return true }, errStopped)
}

// heard takes a question or an answer of a peer. It does not wait, and keeps m.
func (a *asks) heard(m message) {
	if m.kind == answerMessage {
		r := reply{body: m.body}
		switch m.failure {
		case "":
		case errBusy.Error():
			r.err = errBusy
		default:
			r.err = refusal(m.failure)
		}
		a.settle(m.id, r)
		return
	}
	if a.bytes.Add(int64(len(m.body))) <= maxQueuedBytes {
		select {
		case a.queue <- m:
			return
		default:
		}
	}
	a.bytes.Add(-int64(len(m.body)))
	m.body = nil
	select {
	case a.refused <- m:
	default: // whoever asked finds out by waiting
	}
}

// serve answers a question that a peer asked.
func (a *asks) serve(m message) {
	a.bytes.Add(-int64(len(m.body)))
	fn := a.answers[m.question]
	if fn == nil {
		a.tell(m, nil, fmt.Errorf("this release has no answer to question %d", m.question))
		return
	}
	body, err := fn(m.sender, m.body)
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("the answer has %d bytes, and %d are the most that can be sent", len(body), maxBody)
	}
	a.tell(m, body, err)
}

// tell sends an answer. If that fails, who asked has gone or finds out by waiting.
func (a *asks) tell(m message, body []byte, err error) {
	failure := ""
	if err != nil {
		failure, body = err.Error(), nil
		if failure == "" {
			failure = "unknown error"
		}
	}
	msg := make([]byte, 0, len(body)+min(len(failure), maxError)+16)
	_ = a.send(m.sender, appendAnswer(msg, m.id, failure, body))
}

func (a *asks) ask(ctx context.Context, peer string, what question, body []byte) ([]byte, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("cluster: the question has %d bytes, and %d are the most that can be sent", len(body), maxBody)
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	id, answer, err := a.expect(peer)
	if err != nil {
		return nil, err
	}
	defer a.settle(id, reply{})
	go func() {
		defer a.sent()
		msg := make([]byte, 0, len(body)+len(a.self)+16)
		if err := a.send(peer, appendAsk(msg, id, a.self, what, body)); err != nil {
			a.settle(id, reply{err: err})
		}
	}()
	select {
	case r := <-answer:
		if r.err != nil {
			r.err = fmt.Errorf("cluster: asking %s: %w", peer, r.err)
		}
		return r.body, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("cluster: asking %s: %w", peer, ctx.Err())
	}
}

// expect notes a question that is about to be sent: sent must be called after that,
// and settle when nobody waits for the answer.
func (a *asks) expect(peer string) (id uint64, answer <-chan reply, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopped:
		return 0, nil, errStopped
	case len(a.pending) >= maxAsks || a.sending >= maxAsks:
		return 0, nil, errTooMany
	}
	a.work.Add(1)
	a.sending++
	a.last++
	p := pending{peer: peer, reply: make(chan reply, 1)}
	a.pending[a.last] = p
	return a.last, p.reply, nil
}

func (a *asks) sent() {
	a.mu.Lock()
	a.sending--
	a.mu.Unlock()
	a.work.Done()
}

// settle ends the waiting for an answer, if it has not ended before.
func (a *asks) settle(id uint64, r reply) {
	a.mu.Lock()
	p, waits := a.pending[id]
	delete(a.pending, id)
	a.mu.Unlock()
	if waits {
		p.reply <- r
	}
}

// gone ends the waiting for answers of a peer that will give none.
func (a *asks) gone(peer string) {
	a.fail(func(p pending) bool { return p.peer == peer }, errGone)
}

func (a *asks) fail(which func(pending) bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, p := range a.pending {
		if which(p) {
			delete(a.pending, id)
			p.reply <- reply{err: err}
		}
	}
}
