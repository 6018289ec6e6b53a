package crowd

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A slowpoke is a client that takes its time. It comes back whenever it is shown out.
type slowpoke struct {
	addr  string                        // of the gateway
	first string                        // what it sends at once
	step  func(c net.Conn, n int) error // what it does once a second, the n-th time
	conn  net.Conn
	n     int
	ended int // times that the gateway ended its connection
}

// Kinds of slowpokes.
func idle(addr string, i int) *slowpoke {
	return &slowpoke{addr: addr, first: question(i, ""), step: func(c net.Conn, n int) error {
		if n%30 != 29 {
			return nil
		}
		return sip(c, make([]byte, 4096)) // it notices that it was shown out
	}}
}

// sip reads what there is, if anything.
func sip(c net.Conn, b []byte) error {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var fault error
	err = raw.Read(func(fd uintptr) bool {
		n, fault = syscall.Read(int(fd), b)
		return true // whatever there is: it does not wait
	})
	switch {
	case err != nil:
		return err
	case errors.Is(fault, syscall.EAGAIN):
		return nil
	case n == 0 && fault == nil:
		return io.EOF
	}
	return fault
}

// trickler sends the head of a request byte by byte, which never ends.
func trickler(addr string, i int) *slowpoke {
	text := strings.TrimSuffix(question(i, ""), "\r\n") + "X-Slow: "
	return &slowpoke{addr: addr, first: text[:10], step: func(c net.Conn, n int) error {
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
func sipper(addr string, i int) *slowpoke {
	var body strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&body, `{"biosId":%q}`+"\n", biosID(i+n))
	}
	head := fmt.Sprintf("POST /v1/agents/svm HTTP/1.1\r\nHost: gate\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", body.Len())
	return &slowpoke{addr: addr, first: head + body.String(), step: func(c net.Conn, _ int) error {
		return sip(c, make([]byte, 1))
	}}
}

// come connects.
func (s *slowpoke) come() error {
	// From many addresses: of one, ports run out, since those of ended connections rest a minute.
	from := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+rand.IntN(64)))}}
	conn, err := from.Dial("tcp", s.addr)
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

// crawl does what is due, and comes back if it was shown out.
func (s *slowpoke) crawl() {
	if s.conn != nil && s.step(s.conn, s.n) != nil {
		s.conn.Close()
		s.conn = nil
		s.ended++
	}
	if s.n++; s.conn == nil && s.n > 0 {
		_ = s.come() // or it tries again
	}
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
			time.Sleep(time.Until(began.Add(time.Second * time.Duration(i) / time.Duration(len(list)))))
			s.crawl()
		}
		time.Sleep(time.Until(began.Add(time.Second)))
	}
}

// crowdKey is set, to the address and the number, in the process that is a crowd.
const crowdKey = "SVMGATE_CROWD"

// A crowd is a process of slow clients: on other machines, as far as a scheduler can tell.
type crowd struct {
	g   *gateway
	cmd *exec.Cmd
	in  io.WriteCloser
	out strings.Builder
}

// crowd starts n slow clients: a half is idle, nearly as many trickle, a twentieth sips.
func (g *gateway) crowd(n int) *crowd {
	g.t.Helper()
	program, err := os.Executable()
	if err != nil {
		g.t.Fatal(err)
	}
	c := &crowd{g: g, cmd: exec.Command(program, "-test.run=^$")}
	c.cmd.Env = append(os.Environ(), crowdKey+"="+g.agent+" "+strconv.Itoa(n))
	c.cmd.Stdout, c.cmd.Stderr = &c.out, os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		g.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

// end sends them away, and returns how often the gateway ended their connections.
func (c *crowd) end() (ended int) {
	c.g.t.Helper()
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.g.t.Fatal(err)
	}
	ended, err := strconv.Atoi(strings.TrimSpace(c.out.String()))
	if err != nil {
		c.g.t.Fatal(err)
	}
	return ended
}

// beCrowd is the process of a crowd, until its input ends. It prints how often connections
// were ended.
func beCrowd(what string) error {
	var addr string
	var n int
	if _, err := fmt.Sscan(what, &addr, &n); err != nil {
		return err
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
		return err
	}
	var slow []*slowpoke
	for i := range n {
		s := idle(addr, i)
		switch {
		case i%20 == 0:
			s = sipper(addr, i)
		case i%2 == 0:
			s = trickler(addr, i)
		}
		s.n = -rand.IntN(10) // they do not come together, and so are not shown out together
		slow = append(slow, s)
	}
	stop := make(chan struct{})
	var crawling sync.WaitGroup
	for part := range slices.Chunk(slow, max(1, n/64)) {
		crawling.Go(func() { crawl(part, stop) })
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	close(stop)
	crawling.Wait()
	ended := 0
	for _, s := range slow {
		ended += s.ended
	}
	fmt.Println(ended)
	return err
}
