package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A question is what a server is asked, and what it must answer.
type question struct {
	// ask appends the request of an agent, by its number.
	ask func(buf []byte, agent int) []byte

	// answered returns how many bytes the answer takes that buf begins with; 0 while
	// more must come; an error if it is not the answer that was asked for.
	answered func(buf []byte) (int, error)

	// datagrams says that requests and answers are those, over UDP.
	datagrams bool
}

// patience is how long an answer may take.
const patience = 5 * time.Second

// An asker asks one server over connections that stay open: on each of them the next
// question when the last was answered. It is one thread that waits for all of them
// at once, and builds questions from what lies ready, so that it costs less than any
// server that it asks: one that waits for its client works more for each request
// than one that is busy. Not for concurrent use.
type asker struct {
	question
	agents int
	random *rand.Rand
	epoll  int
	conns  []conn
	out    []byte
	events []unix.EpollEvent
	ready  []int // see poll
}

type conn struct {
	fd   int
	in   []byte // what has come of an answer
	room [4096]byte
}

// newAsker connects to a server. Close the asker when done.
func newAsker(addr netip.AddrPort, conns, agents int, q question, seed uint64) (*asker, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	a := &asker{
		question: q, agents: agents, random: rand.New(rand.NewPCG(seed, seed)), epoll: epoll,
		conns: make([]conn, 0, conns), events: make([]unix.EpollEvent, conns),
	}
	for range conns {
		if err := a.connect(addr); err != nil {
			a.close()
			return nil, fmt.Errorf("connect to %v: %w", addr, err)
		}
	}
	return a, nil
}

func (a *asker) connect(addr netip.AddrPort) error {
	kind := unix.SOCK_STREAM
	if a.datagrams {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	a.conns = append(a.conns, conn{fd: fd})
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return err
	}
	if !a.datagrams {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	// The event carries the place in conns where others have the descriptor.
	return unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(a.conns) - 1)})
}

func (a *asker) close() {
	for i := range a.conns {
		_ = unix.Close(a.conns[i].fd) // nothing is under way
	}
	_ = unix.Close(a.epoll)
}

// slice asks for a while, waits until all is answered, and returns the number of
// answers.
func (a *asker) slice(lasts time.Duration) (answers int, err error) {
	end := time.Now().Add(lasts)
	for i := range a.conns {
		if err := a.send(&a.conns[i]); err != nil {
			return 0, err
		}
	}
	for waiting := len(a.conns); waiting > 0; {
		n, err := unix.EpollWait(a.epoll, a.events, int(patience/time.Millisecond))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return answers, err
		}
		if n == 0 {
			return answers, fmt.Errorf("%d of %d connections had no answer for %v", waiting, len(a.conns), patience)
		}
		more := time.Now().Before(end)
		for _, event := range a.events[:n] {
			c := &a.conns[event.Fd]
			whole, err := a.receive(c)
			if err != nil {
				return answers, err
			}
			if !whole {
				continue
			}
			answers++
			if !more {
				waiting--
			} else if err := a.send(c); err != nil {
				return answers, err
			}
		}
	}
	return answers, nil
}

// send asks the question of a random agent. It is smaller than any socket's buffer.
func (a *asker) send(c *conn) error {
	a.out = a.ask(a.out[:0], a.random.IntN(a.agents))
	n, err := unix.Write(c.fd, a.out)
	if err == nil && n < len(a.out) {
		err = fmt.Errorf("only %d of the request's %d bytes", n, len(a.out))
	}
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// receive reads what has come, and reports whether that makes an answer whole.
func (a *asker) receive(c *conn) (bool, error) {
	n, err := unix.Read(c.fd, c.room[len(c.in):])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("receive: %w", err)
	case n == 0:
		return false, errors.New("receive: the server closed the connection, or an answer is too large")
	}
	c.in = c.room[:len(c.in)+n]
	used, err := a.answered(c.in)
	switch {
	case err != nil:
		return false, fmt.Errorf("the answer to %.200q: %w: %.600q", a.out, err, c.in)
	case used == 0:
		return false, nil
	case used < len(c.in):
		return false, fmt.Errorf("%d bytes behind the answer", len(c.in)-used)
	}
	c.in = c.room[:0]
	return true, nil
}
