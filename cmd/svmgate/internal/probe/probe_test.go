package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A site is a table of SVMs with what can be reached of them.
type site struct {
	*store.Table
	t *testing.T

	mu      sync.Mutex
	broken  map[string]error // by address without port
	asked   map[string]int
	open    int // connections being opened
	most    int
	suspect map[store.SVMID]bool
}

func newSite(t *testing.T, svms int) *site {
	table, err := store.Open(store.Config{})
	check(t, err)
	t.Cleanup(func() { _ = table.Close() })
	s := &site{Table: table, t: t, broken: map[string]error{}, asked: map[string]int{}, suspect: map[store.SVMID]bool{}}
	for i := range svms {
		s.put(i, address(i), store.Ready)
	}
	return s
}

func svm(i int) store.SVMID    { return store.SVMID{1, byte(i >> 8), byte(i)} }
func address(i int) string     { return fmt.Sprintf("10.9.%d.%d", i>>8, i&255) }
func (s *site) fail(i int)     { s.set(i, errors.New("connection refused")) }
func (s *site) mend(i int)     { s.set(i, nil) }
func (s *site) alone() *Prober { return s.prober("gw-1", nil) }

func (s *site) put(i int, address string, state store.SVMState) {
	s.t.Helper()
	check(s.t, s.Update(func(tx *store.Tx) error {
		_, err := tx.ConfigureSVM(svm(i), store.SVMConfig{Name: fmt.Sprint("svm-", i), Address: address, Pinned: true}, state)
		return err
	}))
}

func (s *site) set(i int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[address(i)] = err
}

func (s *site) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(hostport)
	s.mu.Lock()
	s.asked[host]++
	s.open++
	s.most = max(s.most, s.open)
	err := s.broken[host]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}()
	if network != "tcp" || port != "9876" {
		s.t.Errorf("dialled %s %s", network, hostport)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	end, other := net.Pipe()
	_ = other.Close()
	return end, nil
}

func (s *site) prober(self string, gateways func() []string) *Prober {
	return New(Config{Table: s.Table, Port: 9876, Self: self, Gateways: gateways, Dial: s.dial, Suspect: func(id store.SVMID, suspect bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.suspect[id] == suspect {
			s.t.Errorf("told twice that %v is suspect: %v", id, suspect)
		}
		if s.suspect[id] = suspect; !suspect {
			delete(s.suspect, id)
		}
	}})
}

// suspects fails the test unless just these are suspect.
func (s *site) suspects(when string, want ...int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[store.SVMID]bool{}
	for _, i := range want {
		ids[svm(i)] = true
	}
	if !maps.Equal(s.suspect, ids) {
		s.t.Errorf("%s %v are suspect, want %v", when, s.suspect, want)
	}
}

func TestTwoFailuresMakeSuspect(t *testing.T) {
	s := newSite(t, 4)
	p := s.alone()
	round := func(when string, want ...int) {
		t.Helper()
		p.round(t.Context())
		s.suspects(when, want...)
		if n := p.Stats().Suspects; n != len(want) {
			t.Errorf("%s %d are counted as suspect, want %d", when, n, len(want))
		}
	}
	round("at first")
	s.fail(1)
	round("after one failure")
	s.mend(1)
	round("after a success")
	s.fail(1)
	round("after one more failure")
	round("after two in a row", 1)
	round("after three", 1)
	s.mend(1)
	round("when it is back")
	if got := p.Stats(); got.Reached != 7*4-4 || got.Failed != 4 {
		t.Errorf("counted %+v", got)
	}
}

func TestWhoIsProbed(t *testing.T) {
	s := newSite(t, 5)
	s.put(1, address(1), store.Down)
	s.put(2, address(2), store.Draining)
	s.put(3, "svm-3.example", store.Ready)
	s.broken["svm-3.example"] = &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "svm-3.example"}}
	for _, i := range []int{1, 2} {
		s.fail(i)
	}
	p := s.alone()
	for range 3 {
		p.round(t.Context())
	}
	s.suspects("of those that can not be reached", 2)
	if s.asked[address(1)] != 0 || s.asked["svm-3.example"] != 3 {
		t.Errorf("asked %v: one that is down is not probed, one with a name is", s.asked)
	}
	if n := p.Stats(); n.Reached+n.Failed != 3*3 {
		t.Errorf("counted %+v: a name that is unknown is neither", n)
	}
	s.put(2, address(2), store.Down)
	p.round(t.Context())
	s.suspects("after it went down")
	if len(p.seen) != 2 {
		t.Errorf("%d SVMs are remembered, want 2", len(p.seen))
	}
}

// A gateway that reaches nobody suspects itself, if there is enough to go by.
func TestReachesNobody(t *testing.T) {
	for _, n := range []int{alone - 1, alone} {
		s := newSite(t, n)
		p := s.alone()
		var all []int
		for i := range n {
			s.fail(i)
			all = append(all, i)
		}
		for range 3 {
			p.round(t.Context())
		}
		if n < alone {
			s.suspects("of two", all...)
			continue
		}
		s.suspects("of three")
		s.mend(0)
		p.round(t.Context())
		s.suspects("when one is reached", all[1:]...)
		s.fail(0)
		p.round(t.Context())
		s.suspects("when none is again")
	}
}

// Two gateways look at every SVM, and those that are left take over.
func TestWhoProbes(t *testing.T) {
	const svms = 200
	s := newSite(t, svms)
	gateways := []string{"gw-1", "gw-2", "gw-3", "gw-4", "gw-5"}
	share := func() map[string]int {
		shares := map[string]int{}
		for i := range svms {
			n := 0
			for _, name := range gateways {
				if s.prober(name, nil).watches(svm(i), gateways) {
					shares[name]++
					n++
				}
			}
			if n != min(watchers, len(gateways)) {
				t.Errorf("%d of %d gateways probe SVM %d", n, len(gateways), i)
			}
		}
		return shares
	}
	for name, n := range share() {
		if mean := svms * watchers / len(gateways); n < mean/2 || n > mean*2 {
			t.Errorf("%s probes %d SVMs of %d", name, n, svms)
		}
	}
	gateways = gateways[:1]
	share()

	// What falls to others is not suspected here any longer.
	others := []string{"gw-1"}
	p := s.prober("gw-1", func() []string { return others })
	s.fail(7)
	p.round(t.Context())
	p.round(t.Context())
	s.suspects("alone", 7)
	for i := 2; p.watches(svm(7), others); i++ {
		others = append(others, fmt.Sprint("gw-", i))
	}
	p.round(t.Context())
	s.suspects("among others")
}

func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const svms = 3 * Concurrency
		s := newSite(t, svms)
		ctx, cancel := context.WithCancel(t.Context())
		p, done := s.alone(), make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx)
		}()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := s.asked[address(0)]; n < 105 || n > 135 {
			t.Errorf("%d rounds in ten minutes, want about 120", n)
		}

		// Half of them hang: their timeouts come one batch after the other.
		for i := range svms / 2 {
			s.set(i, context.DeadlineExceeded)
		}
		time.Sleep(2*(Every+Jitter) + 2*2*Timeout)
		synctest.Wait()
		if len(s.suspect) != svms/2 {
			t.Errorf("%d are suspect, want %d", len(s.suspect), svms/2)
		}
		if s.most > Concurrency {
			t.Errorf("%d connections at once, want at most %d", s.most, Concurrency)
		}
		cancel()
		<-done // while some hang
	})
}

func TestRealConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	s := newSite(t, 0)
	s.put(0, "127.0.0.1", store.Ready)
	s.put(1, "localhost", store.Ready)
	suspect := map[store.SVMID]bool{}
	var log bytes.Buffer
	p := New(Config{Table: s.Table, Port: port, Self: "gw-1", Log: slog.New(slog.NewTextHandler(&log, nil)),
		Suspect: func(id store.SVMID, is bool) { suspect[id] = is }})
	for range 2 {
		p.round(t.Context())
	}
	if got := p.Stats(); got.Reached != 4 || len(suspect) != 0 {
		t.Errorf("with a listener %+v, suspect %v", got, suspect)
	}
	check(t, listener.Close())
	for range 2 {
		p.round(t.Context())
	}
	if !suspect[svm(0)] || !suspect[svm(1)] || !strings.Contains(log.String(), "connection refused") {
		t.Errorf("without a listener suspect are %v; log:\n%s", suspect, &log)
	}
}

// A round that is cut short by the end says nothing of SVMs.
func TestEndOfARound(t *testing.T) {
	s := newSite(t, 2)
	p := s.alone()
	s.fail(1)
	p.round(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.round(ctx)
	s.suspects("after the end")
}

// However many SVMs change, the log gets few lines.
func TestFewLines(t *testing.T) {
	s := newSite(t, 5*maxLines)
	p := s.alone()
	var log bytes.Buffer
	p.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	for i := range 4 * maxLines {
		s.fail(i)
	}
	p.round(t.Context())
	p.round(t.Context())
	lines := slices.Collect(strings.Lines(log.String()))
	if len(lines) != maxLines+1 || !strings.Contains(lines[maxLines], fmt.Sprint("svms=", 3*maxLines)) {
		t.Errorf("the log has %d lines:\n%s", len(lines), &log)
	}
}
