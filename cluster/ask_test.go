package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
)

// echo answers with who was asked, by whom, and what.
func echo(cfg *cluster.Config) {
	cfg.Answer = func(_ context.Context, from string, question []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s to %s: %s", cfg.Name, from, question), nil
	}
}

// hang answers nothing, and calls ended when nobody waits any more.
func hang(ended func()) func(*cluster.Config) {
	return func(cfg *cluster.Config) {
		cfg.Answer = func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			<-ctx.Done()
			ended()
			return nil, ctx.Err()
		}
	}
}

// meeting runs a test among nodes that have met, on a network that takes 1 ms.
func meeting(t *testing.T, count int, change func(*cluster.Config), test func(t *testing.T, n *clustertest.Network, all []member)) {
	t.Helper()
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all := startOn(t, n, count, change)
		await(t, "all see all", time.Minute, met(all))
		test(t, n, all)
	})
}

// asks puts a question, and fails the test unless the answer or the error is as it
// should be, in time.
func asks(t *testing.T, of member, to, question, want string, is error, within time.Duration) {
	t.Helper()
	start := time.Now()
	answer, err := of.Ask(t.Context(), to, []byte(question))
	took := time.Since(start)
	switch {
	case string(answer) != want, is == nil && err != nil, !errors.Is(err, is):
		t.Errorf("%s says %.100q (%v), want %.100q (%v)", to, answer, err, want, is)
	case took > within:
		t.Errorf("asking %s took %v, want at most %v", to, took, within)
	}
}

// Questions are answered though the network loses much, repeats and is slow.
func TestAsk(t *testing.T) {
	meeting(t, 3, echo, func(t *testing.T, n *clustertest.Network, all []member) {
		n.SetFaults(clustertest.Faults{Loss: 0.2, Duplicate: 0.2, Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond})
		var asking sync.WaitGroup
		for i := range 500 {
			asking.Go(func() {
				of, to := all[i%3], all[(i+1+i%2)%3].Name()
				asks(t, of, to, fmt.Sprint(i), fmt.Sprintf("%s to %s: %d", to, of.Name(), i), nil, 10*time.Second)
			})
			time.Sleep(20 * time.Millisecond)
		}
		asking.Wait()
		var asked, answered uint64
		for _, m := range all {
			s := m.Stats()
			asked, answered = asked+s.QuestionsAsked, answered+s.QuestionsAnswered
		}
		if asked != 500 || answered != 500 {
			t.Errorf("%d questions and %d answers are counted, want 500", asked, answered)
		}
	})
}

func TestLongQuestionsAndAnswers(t *testing.T) {
	var asked []byte
	meeting(t, 2, func(cfg *cluster.Config) {
		cfg.Answer = func(_ context.Context, _ string, question []byte) ([]byte, error) {
			asked = question
			return bytes.Repeat(question, 5)[:5*len(question)-1], nil
		}
	}, func(t *testing.T, _ *clustertest.Network, all []member) {
		for _, tt := range []struct {
			question int
			err      string
		}{
			{1, ""},
			{cluster.MaxAnswer/5 + 1, ""}, // the longest answer
			{cluster.MaxAnswer/5 + 2, fmt.Sprintf("cluster: asking n1: the answer has %d bytes, and %d are the most", cluster.MaxAnswer+5, cluster.MaxAnswer)},
			{cluster.MaxQuestion, fmt.Sprintf("cluster: asking n1: the answer has %d bytes, and %d are the most", 5*cluster.MaxQuestion-1, cluster.MaxAnswer)},
			{cluster.MaxQuestion + 1, fmt.Sprintf("cluster: the question has %d bytes, and %d are the most", cluster.MaxQuestion+1, cluster.MaxQuestion)},
		} {
			question := bytes.Repeat([]byte{7}, tt.question)
			answer, err := all[0].Ask(t.Context(), "n1", question)
			if err != nil && err.Error() != tt.err || err == nil && (tt.err != "" || !bytes.Equal(asked, question) || len(answer) != 5*tt.question-1) {
				t.Errorf("%d bytes: asked %d, answered %d, %v; want %q", tt.question, len(asked), len(answer), err, tt.err)
			}
		}
	})
}

func TestAskFails(t *testing.T) {
	meeting(t, 3, func(cfg *cluster.Config) {
		if cfg.Name == "n2" {
			return // answers nothing
		}
		cfg.Answer = func(_ context.Context, _ string, question []byte) ([]byte, error) {
			switch string(question) {
			case "busy":
				return []byte("not seen"), fmt.Errorf("the disk is %w", cluster.ErrBusy)
			case "long":
				return nil, errors.New(strings.Repeat("no ", 1000))
			default:
				return nil, errors.New("no such report")
			}
		}
	}, func(t *testing.T, _ *clustertest.Network, all []member) {
		const soon = 20 * time.Millisecond
		long := strings.Repeat("no ", 1000)[:1024]
		asks(t, all[0], "n1", "what", "", cluster.Refusal("no such report"), soon)
		asks(t, all[0], "n1", "long", "", cluster.Refusal(long), soon)
		asks(t, all[0], "n1", "busy", "", cluster.ErrBusy, soon)
		asks(t, all[0], "n2", "what", "", cluster.Refusal("it answers no questions"), soon)
		asks(t, all[0], "n0", "itself", "", cluster.ErrNoMember, 0)
		asks(t, all[0], "n3", "nobody", "", cluster.ErrNoMember, 0)

		over, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := all[0].Ask(over, "n1", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it is cancelled", err)
		}
		if s := all[0].Stats(); s.QuestionsAsked != 4 || s.QuestionsTimedOut != 0 {
			t.Errorf("counted as %+v", s)
		}
	})
}

// Whoever asks waits no longer than it wants, and neither does who is asked.
func TestAskInTime(t *testing.T) {
	var ended atomic.Int64
	meeting(t, 2, hang(func() { ended.Add(1) }), func(t *testing.T, _ *clustertest.Network, all []member) {
		for i, wait := range []time.Duration{time.Second, time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			start := time.Now()
			_, err := all[0].Ask(ctx, "n1", nil)
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != min(wait, 30*time.Second) {
				t.Errorf("after %v: %v", took, err)
			}
			time.Sleep(10 * time.Millisecond)
			if n := ended.Load(); n != int64(i+1) {
				t.Errorf("%d of %d questions have ended where they were asked", n, i+1)
			}
			cancel()
		}
	})
}

// A member that dies while it is asked does not answer, and whoever asked is told as
// soon as that is known; from then on nobody waits for it.
func TestAskTheDead(t *testing.T) {
	for _, how := range []string{"crash", "cut", "leave", "pause"} {
		t.Run(how, func(t *testing.T) {
			meeting(t, 3, hang(func() {}), func(t *testing.T, n *clustertest.Network, all []member) {
				within := 20 * time.Second // to be found out
				go func() {
					time.Sleep(time.Second)
					switch how {
					case "crash":
						n.Crash("n2")
					case "cut":
						n.Partition([]string{"n0", "n1"}, []string{"n2"})
					case "pause":
						n.Pause("n2")
					case "leave":
						_ = all[2].Stop(t.Context())
					}
				}()
				asks(t, all[0], "n2", "are you there?", "", cluster.ErrNoMember, within)
				asks(t, all[0], "n2", "are you there?", "", cluster.ErrNoMember, 0)
				n.Resume("n2")
			})
		})
	}
}

func TestAskAfterACut(t *testing.T) {
	meeting(t, 3, echo, func(t *testing.T, n *clustertest.Network, all []member) {
		n.Partition([]string{"n0", "n1"}, []string{"n2"})
		time.Sleep(time.Minute)
		asks(t, all[0], "n2", "hello", "", cluster.ErrNoMember, 0)
		asks(t, all[2], "n0", "hello", "", cluster.ErrNoMember, 0)
		asks(t, all[0], "n1", "hello", "n1 to n0: hello", nil, 20*time.Millisecond)
		n.Heal()
		await(t, "all see all", time.Minute, met(all))
		asks(t, all[0], "n2", "hello", "n2 to n0: hello", nil, time.Second)
		asks(t, all[2], "n0", "hello", "n0 to n2: hello", nil, time.Second)
	})
}

// Stop ends all that waits, on both sides.
func TestStopWhileAsked(t *testing.T) {
	for stopped := range 2 {
		meeting(t, 2, hang(func() {}), func(t *testing.T, _ *clustertest.Network, all []member) {
			done := make(chan error)
			go func() {
				_, err := all[0].Ask(t.Context(), "n1", nil)
				done <- err
			}()
			time.Sleep(time.Second)
			start := time.Now()
			if err := all[stopped].Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-done; err == nil || time.Since(start) > 5*time.Second {
				t.Errorf("n%d stopped: after %v whoever asked is told: %v", stopped, time.Since(start), err)
			}
			if _, err := all[stopped].Ask(t.Context(), all[1-stopped].Name(), nil); err == nil {
				t.Error("a node that has stopped asks")
			}
		})
	}
}

// A flood of questions is refused where it has to be, and holds up neither what nodes
// ask each other nor the questions of others.
func TestFloodOfQuestions(t *testing.T) {
	meeting(t, 5, func(cfg *cluster.Config) {
		echo(cfg)
		if cfg.Name == "n0" {
			hang(func() {})(cfg)
		}
	}, func(t *testing.T, _ *clustertest.Network, all []member) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var flood sync.WaitGroup
		errs := make(chan error, 1000)
		for i := range cap(errs) {
			flood.Go(func() {
				_, err := all[1+i%4].Ask(ctx, "n0", make([]byte, cluster.MaxQuestion))
				errs <- err
			})
		}
		time.Sleep(10 * time.Second)
		if waiting := cap(errs) - len(errs); waiting > 8+64 {
			t.Errorf("%d questions still wait, want at most the 8 that are looked at and the 64 behind those", waiting)
		}
		asks(t, all[1], "n2", "how are you?", "n2 to n1: how are you?", nil, 20*time.Millisecond)
		asks(t, all[0], "n2", "how are you?", "n2 to n0: how are you?", nil, 20*time.Millisecond)
		for _, d := range all[1].Digests(t.Context()) {
			if d.Err != "" {
				t.Errorf("%s does not tell its digest: %s", d.Node, d.Err)
			}
		}
		check(t, all[1].table.Set(key(lasting, 1), []byte("news")))
		await(t, "a record everywhere", 15*time.Second, everybody(all, key(lasting, 1), "news"))
		flood.Wait()
		close(errs)
		for err := range errs {
			if !errors.Is(err, cluster.ErrBusy) && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
		}
	})
}

// TestAskLoopback is asking over real sockets, encrypted.
func TestAskLoopback(t *testing.T) {
	piece := bytes.Repeat([]byte("0123456789abcdef"), 192<<10/16)
	cfg := cluster.Config{Name: "a", Keys: [][]byte{make([]byte, 32)}, Label: "test"}
	cfg.Answer = func(_ context.Context, from string, question []byte) ([]byte, error) {
		if from != "b" || len(question) != cluster.MaxQuestion {
			return nil, fmt.Errorf("%d bytes of %s", len(question), from)
		}
		return piece, nil
	}
	a := start(t, cfg)
	cfg.Name, cfg.Answer, cfg.Seeds = "b", nil, []string{a.Addr()}
	b := start(t, cfg)
	await(t, "both see both", 10*time.Second, met([]member{a, b}))
	for range 10 {
		answer, err := b.Ask(t.Context(), "a", make([]byte, cluster.MaxQuestion))
		if err != nil || !bytes.Equal(answer, piece) {
			t.Fatalf("got %d bytes (%v), want %d", len(answer), err, len(piece))
		}
	}
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if _, err := b.Ask(t.Context(), "a", nil); !errors.Is(err, cluster.Refusal("0 bytes of b")) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if s := a.Stats(); s.QuestionsAnswered != 40 || s.QuestionsRefused != 0 {
		t.Errorf("counted as %+v", s)
	}
}

// BenchmarkAsk asks over real sockets, encrypted, one question after the other.
func BenchmarkAsk(b *testing.B) {
	for _, size := range []struct{ question, answer int }{{1 << 10, 0}, {32 << 10, 0}, {100, 192 << 10}} {
		b.Run(fmt.Sprintf("question=%d/answer=%d", size.question, size.answer), func(b *testing.B) {
			answer := make([]byte, size.answer)
			cfg := cluster.Config{Name: "a", Keys: [][]byte{make([]byte, 32)}}
			cfg.Answer = func(context.Context, string, []byte) ([]byte, error) { return answer, nil }
			to := start(b, cfg)
			of := start(b, cluster.Config{Name: "b", Keys: cfg.Keys, Seeds: []string{to.Addr()}})
			await(b, "both see both", 10*time.Second, met([]member{to, of}))
			question := make([]byte, size.question)
			b.SetBytes(int64(size.question + size.answer))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := of.Ask(b.Context(), "a", question); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
