package crowd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A slowpoke is a client that takes its time. It comes back whenever it is shown out.
type slowpoke struct {
	g     *gateway
	first string                        // what it sends at once
	step  func(c net.Conn, n int) error // what it does once a second, the n-th time
	conn  net.Conn
	n     int
	ended int // times that the gateway ended its connection
}

// Kinds of slowpokes.
func idle(g *gateway, i int) *slowpoke {
	return &slowpoke{g: g, first: question(i, ""), step: func(net.Conn, int) error { return nil }}
}

// trickler sends the head of a request byte by byte, which never ends.
func trickler(g *gateway, i int) *slowpoke {
	text := strings.TrimSuffix(question(i, ""), "\r\n") + "X-Slow: "
	return &slowpoke{g: g, first: text[:10], step: func(c net.Conn, n int) error {
		at := 10 + n
		b := "a"
		if at < len(text) {
			b = text[at : at+1]
		}
		_, err := io.WriteString(c, b)
		return err
	}}
}

// sipper asks for many agents and reads the answers byte by byte.
func sipper(g *gateway, i int) *slowpoke {
	var body strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&body, `{"biosId":%q}`+"\n", biosID(i+n))
	}
	head := fmt.Sprintf("POST /v1/agents/svm HTTP/1.1\r\nHost: gate\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", body.Len())
	return &slowpoke{g: g, first: head + body.String(), step: func(c net.Conn, _ int) error {
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			return err
		}
		if _, err := c.Read(make([]byte, 1)); err != nil && !timedOut(err) {
			return err
		}
		return nil
	}}
}

func timedOut(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// come connects.
func (s *slowpoke) come() error {
	conn, err := net.DialTimeout("tcp", s.g.agent, patience)
	if err != nil {
		return err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096) // as little as the system lets it: what was not read waits at the gateway
	}
	s.conn, s.n = conn, 0
	_, err = io.WriteString(conn, s.first)
	return err
}

// crawl lets slowpokes do something every second, until stop is closed.
func crawl(list []*slowpoke, stop <-chan struct{}) {
	for {
		began := time.Now()
		for i, s := range list {
			select {
			case <-stop:
				return
			default:
			}
			if due := began.Add(time.Second * time.Duration(i) / time.Duration(len(list))); i%16 == 0 {
				time.Sleep(time.Until(due))
			}
			if err := s.step(s.conn, s.n); err != nil {
				s.conn.Close()
				s.ended++
				_ = s.come() // or the next step fails
			}
			s.n++
		}
		time.Sleep(time.Until(began.Add(time.Second)))
	}
}

// probe asks questions at a rate over some connections, and returns how long after it was
// due each was answered.
func (g *gateway) probe(rate int, lasts time.Duration) (took []time.Duration, failed int) {
	g.t.Helper()
	due := make(chan time.Time, 1024)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i := range 32 {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		wait.Go(func() {
			defer client.CloseIdleConnections()
			for at := range due {
				err := get(client, "http://"+g.agent+"/v1/agents/"+biosID(i)+"/svm")
				d := time.Since(at)
				mu.Lock()
				took = append(took, d)
				if err != nil {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	for n := range rate * int(lasts/time.Second) {
		at := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	wait.Wait()
	slices.Sort(took)
	return took, failed
}

func get(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// Thousands that send and read a byte a second take processor and memory from nobody.
func TestSlowClients(t *testing.T) {
	n, lasts := 400, 3*time.Second
	if *long {
		n, lasts = 19_000, time.Minute
	}
	g := launch(t)
	before, _ := g.probe(500, lasts)
	memory := g.resident()

	var slow []*slowpoke
	for i := range n {
		s := idle(g, i)
		switch {
		case i%20 == 0:
			s = sipper(g, i)
		case i%2 == 0:
			s = trickler(g, i)
		}
		if err := s.come(); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, s)
	}
	stop := make(chan struct{})
	var crawling sync.WaitGroup
	for part := range slices.Chunk(slow, max(1, n/8)) {
		crawling.Go(func() { crawl(part, stop) })
	}
	took, failed := g.probe(500, lasts)
	close(stop)
	crawling.Wait()
	open := int(g.metric(`svmgate_connections{plane="agent"}`))
	ended := 0
	for _, s := range slow {
		ended += s.ended
	}
	t.Logf("%d questions, p50 %v, p99 %v, p99.9 %v, %d failed, beside %d slow connections (ended %d times; %d bytes each); without them p50 %v, p99 %v",
		len(took), at(took, 500), at(took, 990), at(took, 999), failed, open, ended, (g.resident()-memory)/n, at(before, 500), at(before, 990))
	if failed > 0 {
		t.Errorf("%d questions were not answered", failed)
	}
	if open < n*9/10 {
		t.Errorf("%d slow connections are open, want %d: there was no test", open, n)
	}
	if *long {
		if ended == 0 {
			t.Error("slow connections are never ended")
		}
		if p99 := at(took, 990); p99 > 5*time.Millisecond {
			t.Errorf("p99 is %v, want at most 5 ms", p99)
		}
	}
	for _, s := range slow {
		s.conn.Close()
	}
}

// at returns what p of 1,000 times are below; the list is sorted.
func at(list []time.Duration, p int) time.Duration { return list[len(list)*p/1000] }

// When all connections are taken, whoever comes is told so at once; with a bound for each
// address, one address can not take them all.
func TestConnectionsAreLimited(t *testing.T) {
	for _, bound := range []bool{false, true} {
		args := []string{"--max-connections=100"}
		if bound {
			args = append(args, "--max-connections-per-address=80")
		}
		g := launch(t, args...)
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		for range 100 {
			c, err := from.Dial("tcp", g.agent)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "GET "); err != nil && !bound {
				t.Fatal(err)
			}
		}
		full := map[bool]float64{false: 100, true: 80}[bound]
		g.await(func() bool { return g.metric(`svmgate_connections{plane="agent"}`) == full })
		c := g.dial()
		if _, err := io.WriteString(c, question(0, "")); err != nil {
			t.Fatal(err)
		}
		status, body, err := answer(c)
		if want := map[bool]int{false: 503, true: 200}[bound]; status != want || err != nil {
			t.Errorf("bound %v: %d %s %v, want %d", bound, status, body, err, want)
		}
		if got, want := g.metric(`svmgate_connections_crowded_total{plane="agent"}`), map[bool]float64{true: 20}[bound]; got != want {
			t.Errorf("bound %v: %v were crowded, want %v", bound, got, want)
		}
	}
}
