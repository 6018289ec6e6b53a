package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
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
	askProgram                     // what the program wants to know: Node.Ask
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

// Errors of questions.
var (
	// ErrBusy says that there are too many questions: here, or where the question went.
	// It may be put again later.
	ErrBusy = errors.New(busy)

	// ErrNoMember says that there is no such member, or that it is dead, or left, as
	// far as this node knows, before it answered.
	ErrNoMember = errors.New("no such member is alive")

	errGone    = fmt.Errorf("%w any more", ErrNoMember)
	errStopped = errors.New("cluster: the node is stopped")
	errTooMany = fmt.Errorf("cluster: too many questions are under way here: %w", ErrBusy)
)

// busy is what peers are sent in place of an answer.
const busy = "busy"

// A Refusal is the error that a member answered with. It would do so again.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// asks asks peers, and answers them. A question and its answer are messages of their
// own, so no connection waits for anybody.
type asks struct {
	self    string
	send    func(peer string, msg []byte) error
	answers map[question]func(peer string, body []byte) ([]byte, error)
	work    *sync.WaitGroup

	own     desk         // for what nodes ask
	program desk         // for what their programs ask; without a serve if this one answers nobody
	refused chan message // questions there was no room for

	mu       sync.Mutex
	stopped  bool
	under    int            // are under way, of this node's: waited for, or still being sent
	programs map[string]int // of those, the program's, by whom they are put to
	pending  map[uint64]pending
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
// Answers are given by a few goroutines; body is the answerer's own, and what it
// returns is not.
func (n *Node) answer(what question, fn func(peer string, body []byte) ([]byte, error)) {
	n.asks.answers[what] = fn
}

// init makes a ready to be told who answers what. send is called by any number of
// goroutines, may take its time, and keeps nothing of msg.
func (a *asks) init(self string, send func(peer string, msg []byte) error) {
	a.self, a.send = self, send
	a.answers = make(map[question]func(string, []byte) ([]byte, error))
	a.own.init(maxQueued, maxQueuedBytes, a.serve)
	a.refused = make(chan message, maxRefusals)
	a.pending = make(map[uint64]pending)
	a.programs = make(map[string]int)
}

// start answers until life ends. What runs is counted in work.
func (a *asks) start(life context.Context, work *sync.WaitGroup) {
	a.work = work
	for range askWorkers {
		work.Go(func() { each(life, a.own.queue, a.own.take) })
	}
	if a.program.serve != nil {
		for range maxAnswering {
			work.Go(func() { each(life, a.program.queue, a.program.take) })
		}
	}
	work.Go(func() {
		each(life, a.refused, func(m message) { a.tell(m, nil, ErrBusy) })
	})
	work.Go(func() {
		<-life.Done()
		a.stop()
	})
}

func each[T any](life context.Context, from <-chan T, do func(T)) {
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
		case busy:
			r.err = ErrBusy
		default:
			r.err = Refusal(m.failure)
		}
		a.settle(m.id, r)
		return
	}
	at := &a.own
	if m.question == askProgram && a.program.serve != nil {
		at = &a.program
	}
	if at.put(m) {
		return
	}
	at.refused.Add(1)
	m.body = nil
	select {
	case a.refused <- m:
	default: // whoever asked finds out by waiting
	}
}

// serve answers a question that a peer asked.
func (a *asks) serve(w waiting) {
	m := w.message
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
	reuse(body)
}

// tell sends an answer. If that fails, who asked has gone or finds out by waiting.
func (a *asks) tell(m message, body []byte, err error) {
	failure := ""
	if err != nil {
		failure, body = cmp.Or(err.Error(), "unknown error"), nil
		if errors.Is(err, ErrBusy) {
			failure = busy
		}
	}
	msg := appendAnswer(buffer(len(body)+min(len(failure), maxError)+16), m.id, failure, body)
	_ = a.send(m.sender, msg)
	reuse(msg)
}

func (a *asks) ask(ctx context.Context, peer string, what question, body []byte) ([]byte, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("cluster: the question has %d bytes, and %d are the most that can be sent", len(body), maxBody)
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	id, answer, err := a.expect(peer, what)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	defer close(ended)
	defer a.settle(id, reply{})
	go func() {
		defer a.over(peer, what)
		msg := appendAsk(buffer(len(body)+len(a.self)+16), id, a.self, what, body)
		if err := a.send(peer, msg); err != nil {
			a.settle(id, reply{err: err})
		}
		reuse(msg)
		<-ended
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

// expect notes a question that is about to be sent: settle must be called when nobody
// waits for the answer, and over when it is not being sent any more, either. Answers
// are told apart by numbers that nobody can guess: so one that is believed is that of
// the peer who was told the number.
func (a *asks) expect(peer string, what question) (id uint64, answer <-chan reply, err error) {
	var random [8]byte
	_, _ = rand.Read(random[:])
	id = binary.BigEndian.Uint64(random[:])
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopped:
		return 0, nil, errStopped
	case a.under >= maxAsks || what == askProgram && a.tooManyLocked(peer):
		return 0, nil, errTooMany
	}
	a.work.Add(1)
	a.under++
	if what == askProgram {
		a.programs[peer]++
	}
	p := pending{peer: peer, reply: make(chan reply, 1)}
	a.pending[id] = p
	return id, p.reply, nil
}

// tooManyLocked reports whether the program may ask a peer nothing now: however long
// peers take to answer, the node itself has questions, too.
func (a *asks) tooManyLocked(peer string) bool {
	all := 0
	for _, n := range a.programs {
		all += n
	}
	return all >= maxAsking || a.programs[peer] >= maxAskingOne
}

func (a *asks) over(peer string, what question) {
	a.mu.Lock()
	a.under--
	if what == askProgram {
		if a.programs[peer]--; a.programs[peer] == 0 {
			delete(a.programs, peer)
		}
	}
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
