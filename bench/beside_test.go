package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// askedEvery is the time between two questions of an asking process.
const askedEvery = 2 * time.Millisecond

// An asker is another process, which asks over a connection, as agents do: what it
// waits for is not its own turn.
type asker struct {
	b   *testing.B
	in  io.Writer
	out *json.Decoder
}

func startAsker(b *testing.B, s *discovery.Selector, w World) *asker {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAskingProcess$")
	cmd.Env = append(os.Environ(), "BENCH_ASK="+serveQuestions(b, s, w), "BENCH_ASK_VMS="+strconv.Itoa(w.VMs))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // it ends then
		_ = cmd.Wait()
	})
	return &asker{b, in, json.NewDecoder(out)}
}

// serveQuestions answers questions on loopback; their path is the number of a VM.
func serveQuestions(b *testing.B, s *discovery.Selector, w World) (addr string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		n, _ := strconv.Atoi(string(ctx.Path()[1:]))
		q := discovery.Query{BIOS: w.BIOS(n), Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
		var a discovery.Answer
		if s.Select(&q, &a); a.Result != discovery.Assigned {
			ctx.SetStatusCode(http.StatusNotFound)
		}
	}}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Shutdown() })
	return l.Addr().String()
}

// while returns how long answers took while fn ran.
func (a *asker) while(fn func()) (took []time.Duration) {
	a.b.Helper()
	_, err := fmt.Fprintln(a.in, "ask")
	fn()
	if err == nil {
		_, err = fmt.Fprintln(a.in, "tell")
	}
	if err == nil {
		err = a.out.Decode(&took)
	}
	if err != nil {
		a.b.Fatalf("the asking process: %v", err)
	}
	return took
}

// TestAskingProcess is the process of startAsker: from one line of its input to the next
// it asks, and then says what that took.
func TestAskingProcess(t *testing.T) {
	addr := os.Getenv("BENCH_ASK")
	if addr == "" {
		t.Skip("it is a part of BenchmarkStore")
	}
	vms, _ := strconv.Atoi(os.Getenv("BENCH_ASK_VMS"))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := questioner{c: c, r: bufio.NewReader(c), vms: vms}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		stop, told := make(chan struct{}), make(chan error)
		go func() { told <- q.ask(stop) }()
		lines.Scan()
		close(stop)
		if err := <-told; err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(q.took); err != nil {
			t.Fatal(err)
		}
	}
}

type questioner struct {
	c    net.Conn
	r    *bufio.Reader
	vms  int
	took []time.Duration
}

// ask asks at a fixed rate. What a question takes counts from when it was sent, or
// should have been and was not because of the answer before.
func (q *questioner) ask(stop chan struct{}) error {
	q.took = []time.Duration{}
	var answered time.Time
	for due := time.Now(); ; due = due.Add(askedEvery) {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Until(due)):
		}
		sent := time.Now()
		if answered.After(due) {
			sent = due
		}
		if _, err := fmt.Fprintf(q.c, "GET /%d HTTP/1.1\r\nHost: bench\r\n\r\n", rand.IntN(q.vms)); err != nil {
			return err
		}
		response, err := http.ReadResponse(q.r, nil)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("the answer is %s", response.Status)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		answered = time.Now()
		q.took = append(q.took, answered.Sub(sent))
	}
}
