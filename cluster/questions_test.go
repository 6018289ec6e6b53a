package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

type answer = func(ctx context.Context, from string, question []byte) ([]byte, error)

// newPair returns nodes on a wire: a, who asks, and b, who answers.
func newPair(t *testing.T, answer answer) (w *wire, a, b *Node) {
	w = &wire{nodes: make(map[string]*asks)}
	life, end := context.WithCancel(t.Context())
	w.end = end
	t.Cleanup(func() {
		end()
		w.work.Wait()
	})
	pair := map[string]*Node{"a": {}, "b": {cfg: Config{Answer: answer}}}
	for name, n := range pair {
		n.cfg.Name, n.life = name, life
		n.peers.init(name, nil)
		for other := range pair {
			n.peers.met(&memberlist.Node{Name: other, Addr: net.IPv4(10, 0, 0, 1)}, time.Now())
		}
		n.asks.init(name, w.send)
		n.initQuestions()
		w.nodes[name] = &n.asks
	}
	for _, as := range w.nodes {
		as.start(life, &w.work)
	}
	return w, pair["a"], pair["b"]
}

func yes(context.Context, string, []byte) ([]byte, error) { return []byte("yes"), nil }

// What comes late, again, or from somebody who does not know the number of a question
// is not taken for its answer.
func TestNoAnswerButThatOfWhoWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := newPair(t, func(_ context.Context, _ string, q []byte) ([]byte, error) { return q, nil })
		var late atomic.Pointer[message]
		w.hold = func(_ string, m message) error {
			switch {
			case m.kind == answerMessage && string(m.body) == "first":
				late.Store(&m)
				time.Sleep(2 * time.Second)
			case m.kind == askMessage && bytes.HasSuffix(m.body, []byte("second")):
				first := *late.Load()
				for _, fake := range []message{first, // and guesses at the next number
					{kind: answerMessage, id: first.id + 1, body: []byte("false")},
					{kind: answerMessage, id: m.id + 1, body: []byte("false")},
					{kind: answerMessage, id: m.id - 1, failure: "false"}} {
					w.nodes["a"].heard(fake)
				}
				time.Sleep(5 * time.Second) // the late answer comes now
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if answer, err := a.Ask(ctx, "b", []byte("first")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %q (%v), want that the time is over", answer, err)
		}
		if answer, err := a.Ask(t.Context(), "b", []byte("second")); string(answer) != "second" || err != nil {
			t.Errorf("got %q (%v), want the answer to the second question", answer, err)
		}
	})
}

func TestNumbersOfQuestionsCanNotBeGuessed(t *testing.T) {
	var a asks
	a.init("a", nil)
	a.work = new(sync.WaitGroup)
	var ids []uint64
	for range maxAsks {
		id, _, err := a.expect("b", askRoot)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i]-ids[i-1] < 1<<24 { // one time in a million it would be by chance
			t.Fatalf("questions have the numbers %x and %x", ids[i-1], ids[i])
		}
	}
}

func TestQuestionsThatTheProgramIsSpared(t *testing.T) {
	body := func(to string, wait time.Duration, n int) []byte {
		return appendQuestion(nil, to, wait, make([]byte, n))
	}
	for _, tt := range []struct {
		name, from string
		body       []byte
		want       string // what whoever asked is told; empty if nothing
	}{
		{"of who is no member", "x", body("b", time.Second, 1), "no such member is alive"},
		{"for another that had the address", "a", body("c", time.Second, 1), "this is b"},
		{"for nobody", "a", body("", time.Second, 1), errMalformed.Error()},
		{"that nobody waits for", "a", body("b", 0, 1), ""},
		{"that lasts for too long", "a", body("b", maxWait+time.Millisecond, 1), errMalformed.Error()},
		{"that is too long", "a", body("b", time.Second, MaxQuestion+1), errMalformed.Error()},
		{"that is larger than all that may wait", "a", body("b", time.Second, maxUnansweredBytes), busy},
		{"of nothing", "a", nil, errMalformed.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _, b := newPair(t, func(context.Context, string, []byte) ([]byte, error) {
					t.Error("the program is asked")
					return nil, nil
				})
				told := ""
				w.hold = func(peer string, m message) error {
					if peer == tt.from && m.kind == answerMessage {
						told = m.failure
					}
					return nil
				}
				b.asks.heard(message{kind: askMessage, id: 7, sender: tt.from, question: askProgram, body: tt.body})
				time.Sleep(time.Minute)
				synctest.Wait()
				var s Stats
				b.questionStats(&s)
				if want := (Stats{QuestionsRefused: 1}); told != tt.want || s.QuestionsRefused != 1 || s.QuestionsAnswered != 0 {
					t.Errorf("it is told %q, and counted as %+v, want %q and %+v", told, s, tt.want, want)
				}
			})
		})
	}
}

// A program that hangs is given no more than it can take at a time, and nothing that
// nobody waits for any more.
func TestProgramThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, most, now atomic.Int64
		w, a, b := newPair(t, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			asked.Add(1)
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		var all sync.WaitGroup
		ask := func(wait time.Duration, want error) {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				if _, err := a.Ask(ctx, "b", nil); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
			time.Sleep(10 * time.Millisecond)
		}
		for range maxAnswering {
			ask(10*time.Second, context.DeadlineExceeded)
		}
		for range 10 {
			ask(time.Second, context.DeadlineExceeded)
		}
		within(t, 11*time.Second, all.Wait)
		time.Sleep(10 * time.Millisecond) // of the way
		if n := asked.Load(); n != maxAnswering || most.Load() != maxAnswering || now.Load() != 0 {
			t.Errorf("the program was asked %d questions, %d at a time, want %d", n, most.Load(), maxAnswering)
		}
		var ours, theirs Stats
		a.questionStats(&ours)
		b.questionStats(&theirs)
		if ours.QuestionsAsked != 18 || ours.QuestionsTimedOut != 18 || theirs.QuestionsRefused != 18 || theirs.QuestionsAnswered != 0 {
			t.Errorf("counted as %+v and %+v", ours, theirs)
		}

		// The node's own questions do not wait behind those.
		for range maxAnswering {
			ask(10*time.Second, errStopped)
		}
		w.nodes["b"].answers[askRoot] = func(string, []byte) ([]byte, error) { return nil, nil }
		within(t, 10*time.Millisecond, func() {
			if _, err := a.ask(t.Context(), "b", askRoot, nil); err != nil {
				t.Errorf("the node's own question: %v", err)
			}
		})
		w.end()
		within(t, 0, all.Wait)
		if synctest.Wait(); now.Load() != 0 {
			t.Errorf("%d questions still wait for the program, which was told that the node stops", now.Load())
		}
	})
}

// What waits for an answer has a bound; beyond it questions fail at once.
func TestWaitingForTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := newPair(t, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, nil
		})
		for range maxAskingOne {
			w.work.Go(func() { _, _ = a.Ask(t.Context(), "b", nil) })
		}
		time.Sleep(time.Second) // all are sent
		within(t, 0, func() {
			if _, err := a.Ask(t.Context(), "b", nil); !errors.Is(err, ErrBusy) {
				t.Errorf("got %v, want that there are too many", err)
			}
		})
	})
}

// So has what nobody waits for any more but is still on its way. Questions to others
// do not fail, until there are too many in all.
func TestAskingTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := newPair(t, yes)
		stuck := make(chan struct{})
		w.hold = func(peer string, m message) error {
			if m.kind == askMessage && peer != "b" {
				<-stuck
			}
			return nil
		}
		var hung []string
		for i := range maxAsking/maxAskingOne + 1 {
			hung = append(hung, fmt.Sprint("hung-", i))
			a.peers.met(&memberlist.Node{Name: hung[i], Addr: net.IPv4(10, 0, 0, 2)}, time.Now())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		fill := func(peer string, n int) {
			for range n {
				go func() { _, _ = a.Ask(ctx, peer, nil) }()
			}
			synctest.Wait()
		}
		full := func(peer string) {
			t.Helper()
			within(t, 0, func() {
				if _, err := a.Ask(t.Context(), peer, nil); !errors.Is(err, ErrBusy) {
					t.Errorf("asking %s: %v, want that there are too many", peer, err)
				}
			})
		}
		free := func() {
			t.Helper()
			if _, err := a.Ask(t.Context(), "b", nil); err != nil {
				t.Errorf("asking b: %v", err)
			}
		}
		fill(hung[0], maxAskingOne)
		full(hung[0])
		free()
		for _, peer := range hung[1 : len(hung)-1] {
			fill(peer, maxAskingOne)
		}
		full(hung[len(hung)-1])
		full("b")
		time.Sleep(10 * time.Second) // nobody waits any more
		full(hung[0])
		full("b")
		if _, err := a.ask(t.Context(), "b", askRoot, nil); errors.Is(err, ErrBusy) {
			t.Errorf("the node's own question: %v", err)
		}
		close(stuck)
		time.Sleep(time.Second)
		free()
		synctest.Wait()
		if len(a.asks.programs) != 0 || a.asks.under != 0 {
			t.Errorf("%v, and %d in all, are said to be under way", a.asks.programs, a.asks.under)
		}
		var s Stats
		if a.questionStats(&s); s.QuestionsRefused != 5 {
			t.Errorf("%d refusals are counted, want 5", s.QuestionsRefused)
		}
	})
}

func TestMoreThanCanBeAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		w, _, b := newPair(t, func(context.Context, string, []byte) ([]byte, error) { <-stuck; return nil, nil })
		var refused atomic.Int64
		w.hold = func(_ string, m message) error {
			if m.kind == answerMessage && m.failure == busy {
				refused.Add(1)
			}
			return nil
		}
		const more = 5
		for i := range maxAnswering + maxUnanswered + more {
			b.asks.heard(message{kind: askMessage, id: uint64(i), sender: "a", question: askProgram,
				body: appendQuestion(nil, "b", maxWait, make([]byte, MaxQuestion))})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		if n := refused.Load(); n != more {
			t.Errorf("%d were refused, want %d", n, more)
		}
		close(stuck)
		time.Sleep(time.Second)
		var s Stats
		if b.questionStats(&s); s.QuestionsAnswered != maxAnswering+maxUnanswered || s.QuestionsRefused != more || b.asks.program.bytes.Load() != 0 {
			t.Errorf("counted as %+v; %d bytes are said to wait", s, b.asks.program.bytes.Load())
		}
	})
}

func FuzzQuestion(f *testing.F) {
	f.Add(appendQuestion(nil, "gw-1", time.Second, []byte("what have you seen?")))
	f.Add(appendQuestion(nil, "шлюз", maxWait, nil))
	f.Add(appendQuestion(nil, strings.Repeat("x", maxName), 0, make([]byte, 100)))
	f.Add([]byte{1, 'b', 0xb1, 0xea, 1}) // a millisecond too long
	f.Add([]byte{1, 'b', 0x80, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		to, wait, question, err := readQuestion(body)
		if err != nil {
			if to != "" || wait != 0 || question != nil {
				t.Fatalf("%v, and yet %q, %v, %x", err, to, wait, question)
			}
			return
		}
		if to == "" || len(to) > maxName || wait < 0 || wait > maxWait || len(question) > MaxQuestion {
			t.Fatalf("%x is read as a question to %q of %d bytes, for %v", body, to, len(question), wait)
		}
		// There is one way to write each question.
		if again := appendQuestion(nil, to, wait, question); !bytes.Equal(again, body) {
			t.Fatalf("%x is written as %x", body, again)
		}
	})
}
