package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// What the program asks, and is answered, in bytes; see [Node.Ask].
const (
	MaxQuestion = 64 << 10
	MaxAnswer   = 256 << 10
)

// Bounds of the program's questions.
const (
	maxAsking          = 128 // under way, of this node's
	maxAskingOne       = 32  // of those, put to one member: one that hangs keeps nobody from asking others
	maxAnswering       = 8   // of others', given to the program
	maxUnanswered      = 64  // of others', waiting for that
	maxUnansweredBytes = maxUnanswered * (MaxQuestion + maxName + 8)
)

// programs counts the program's questions.
type programs struct {
	asked, timedOut, answered, refused atomic.Uint64
}

// Ask puts a question to another member, by name, and returns its answer: what its
// [Config.Answer] makes of it. It waits until ctx ends, for 30 s at most. Question and
// answer have at most [MaxQuestion] and [MaxAnswer] bytes, and go over connections of
// their own. Of one node 128 questions are under way at most, 32 of them to one member.
//
// The error is, or wraps,
//
//   - [ErrNoMember] if nobody of that name is alive, as far as this node knows, or not
//     any more; this node itself is nobody here;
//   - [ErrBusy] if too many questions are under way, or the member has too much to do;
//   - a [Refusal] if the member answered with an error, or answers no questions, as
//     older releases do;
//   - that of ctx, or [context.DeadlineExceeded], if no answer came in time.
//
// Any of them may come though the member has answered, and what strangers recorded
// they can send again: so what a question brings about must do no harm when it comes
// about twice. No answer is believed but that of the member who was asked, to this
// question. The answer is the caller's own; question is not kept.
func (n *Node) Ask(ctx context.Context, member string, question []byte) ([]byte, error) {
	if len(question) > MaxQuestion {
		return nil, fmt.Errorf("cluster: the question has %d bytes, and %d are the most", len(question), MaxQuestion)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cluster: asking %s: %w", member, err)
	}
	if n.peers.node(member) == nil {
		return nil, fmt.Errorf("cluster: asking %s: %w", member, ErrNoMember)
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	until, _ := ctx.Deadline()
	answer, err := n.ask(ctx, member, askProgram, appendQuestion(nil, member, time.Until(until), question))
	switch {
	case errors.Is(err, errTooMany):
		n.programs.refused.Add(1)
		return nil, err
	case errors.Is(err, context.DeadlineExceeded):
		n.programs.timedOut.Add(1)
	case len(answer) > MaxAnswer:
		answer, err = nil, fmt.Errorf("cluster: asking %s: %w", member, errMalformed)
	}
	n.programs.asked.Add(1)
	return answer, err
}

// initQuestions says who answers the program's questions, if anybody does.
func (n *Node) initQuestions() {
	if n.cfg.Answer != nil {
		n.asks.program.init(maxUnanswered, maxUnansweredBytes, n.answerQuestion)
		return
	}
	n.answer(askProgram, func(string, []byte) ([]byte, error) {
		n.programs.refused.Add(1)
		return nil, errors.New("it answers no questions")
	})
}

// answerQuestion answers askProgram, if there is still somebody who waits.
func (n *Node) answerQuestion(w waiting) {
	to, wait, question, err := readQuestion(w.body)
	switch {
	case err == nil && to != n.cfg.Name: // who had the address before, or a stranger sent it again
		err = fmt.Errorf("this is %s", n.cfg.Name)
	case err == nil && n.peers.node(w.sender) == nil:
		err = ErrNoMember
	}
	if err != nil {
		n.programs.refused.Add(1)
		n.asks.tell(w.message, nil, err)
		return
	}
	ctx, cancel := context.WithDeadline(n.life, w.since.Add(wait))
	defer cancel()
	var answer []byte
	if ctx.Err() == nil {
		answer, err = n.cfg.Answer(ctx, w.sender, question)
	}
	if ctx.Err() != nil {
		n.programs.refused.Add(1)
		return
	}
	if err == nil && len(answer) > MaxAnswer {
		err = fmt.Errorf("the answer has %d bytes, and %d are the most", len(answer), MaxAnswer)
	}
	n.programs.answered.Add(1)
	n.asks.tell(w.message, answer, err)
}

// The body of an askProgram is the name of whom it is put to, for how many
// milliseconds somebody waits for the answer, and the question.

func appendQuestion(buf []byte, to string, wait time.Duration, question []byte) []byte {
	buf = binary.AppendUvarint(appendName(buf, to), uint64((max(wait, 0)+time.Millisecond-1)/time.Millisecond))
	return append(buf, question...)
}

func readQuestion(body []byte) (to string, wait time.Duration, question []byte, err error) {
	r := reader{rest: body}
	to = r.name()
	wait = time.Duration(r.number(int(maxWait/time.Millisecond))) * time.Millisecond
	question = r.all(MaxQuestion)
	if err := r.end(); err != nil {
		return "", 0, nil, err
	}
	return to, wait, question, nil
}

// questionStats fills in counts of the program's questions.
func (n *Node) questionStats(s *Stats) {
	c := &n.programs
	s.QuestionsAsked, s.QuestionsTimedOut = c.asked.Load(), c.timedOut.Load()
	s.QuestionsAnswered = c.answered.Load()
	s.QuestionsRefused = c.refused.Load() + n.asks.program.refused.Load()
}
