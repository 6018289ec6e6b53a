package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// vms are of the sample inventory.
var vms = []string{
	"42198e2a-6092-21de-cd3c-210138d1ab4f", "42c24558-7bdc-9d58-b8e2-4adde55a3349", "42cd5a52-d035-eb9f-ad98-f7fdc96d35fe",
}

// An agent asks over one connection. It tries nothing twice, as clients of net/http may:
// what fails is seen.
type agent struct {
	conn net.Conn
	in   *bufio.Reader
	n    int
}

func newAgent(c net.Conn) *agent { return &agent{conn: c, in: bufio.NewReader(c)} }

func (a *agent) ask() error {
	a.n++
	if err := a.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.conn, "GET /v1/agents/%s/svm HTTP/1.1\r\nHost: svmgate\r\n\r\n", vms[a.n%len(vms)]); err != nil {
		return err
	}
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"assigned"`) {
		return fmt.Errorf("%s: %.200s", resp.Status, body)
	}
	return nil
}

// A load is agents that ask a proxy at a rate.
type load struct {
	name    string
	stop    chan struct{}
	working sync.WaitGroup

	mu            sync.Mutex
	asked, failed int
	slowest       time.Duration
	reasons       []string // a few
}

// connections is how many agents ask at a time, each over its own connection.
const connections = 16

func startLoad(name, addr string, rate int) *load {
	l := &load{name: name, stop: make(chan struct{})}
	for range connections {
		l.working.Go(func() { l.work(addr, time.Second*connections/time.Duration(rate)) })
	}
	return l
}

func (l *load) end() {
	close(l.stop)
	l.working.Wait()
}

// work asks every so often. A connection that failed is replaced.
func (l *load) work(addr string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var a *agent
	for {
		select {
		case <-l.stop:
			if a != nil {
				_ = a.conn.Close()
			}
			return
		case <-tick.C:
		}
		start := time.Now()
		err := error(nil)
		if a == nil {
			var c net.Conn
			if c, err = net.DialTimeout("tcp", addr, time.Second); err == nil {
				a = newAgent(c)
			}
		}
		if err == nil {
			err = a.ask()
		}
		if err != nil && a != nil {
			_ = a.conn.Close()
			a = nil
		}
		l.note(time.Since(start), err)
	}
}

func (l *load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.slowest = max(l.slowest, took)
	if err == nil {
		return
	}
	l.failed++
	if text := err.Error(); len(l.reasons) < 10 && !slices.Contains(l.reasons, text) {
		l.reasons = append(l.reasons, text)
	}
}
