package crowd

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var long = flag.Bool("crowd.long", false, "as many connections as a process may open")

// program is the gateway, built once for all tests.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	if what := os.Getenv(crowdKey); what != "" {
		if err := beCrowd(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crowd")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "svmgate")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/svmgate/svmgate/cmd/svmgate").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// sources opens every folder that the program is made of. go test takes a result from
// its cache unless something that the test opened has changed, and does not see what a
// compiler opens that the test runs.
var sources = sync.OnceValue(func() error {
	for _, folder := range []string{"cluster", "cmd", "discovery", "store"} {
		root := filepath.Join("..", "..", "..", "..", folder)
		if err := filepath.WalkDir(root, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	return nil
})

// patience bounds what should happen soon, on a machine that is busy.
const patience = time.Minute

const vms = 200

func biosID(n int) string { return fmt.Sprintf("b1050000-0000-4000-8000-%012d", n%vms) }

const tenant = "7e4a0000-0000-4000-8000-000000000001"

// A gateway is a process with a tenant, SVMs and VMs.
type gateway struct {
	t                 *testing.T
	cmd               *exec.Cmd
	log               string // file
	agent, admin, ops string // addresses
}

func launch(t *testing.T, args ...string) *gateway {
	t.Helper()
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var world strings.Builder
	world.WriteString(`{"tenants":[{"id":"` + tenant + `","name":"acme","status":"active"}],"svms":[{"name":"svm-1","address":"10.9.0.7","version":"6.0","pinned":true}],"vms":[`)
	for n := range vms {
		fmt.Fprintf(&world, `%s{"biosId":%q,"tenant":"acme"}`, map[bool]string{true: ",", false: ""}[n > 0], biosID(n))
	}
	world.WriteString("]}")
	sample := filepath.Join(dir, "sample.json")
	if err := os.WriteFile(sample, []byte(world.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, log: filepath.Join(dir, "log")}
	log, err := os.Create(g.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g.cmd = exec.Command(program, append([]string{
		"serve", "--data=:memory:", "--ksc=none", "--agent-auth=none", "--max-waiting=20000", "--log-format=json", "--sample", sample,
		"--agent-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0",
	}, args...)...)
	g.cmd.Env = append(os.Environ(), "SVMGATE_ADMIN_PASSWORD=secret")
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.stop)
	g.awaitReady()
	return g
}

func (g *gateway) stop() {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	_ = g.cmd.Wait()
	if g.t.Failed() {
		text, _ := os.ReadFile(g.log)
		g.t.Logf("the log's end:\n%s", text[max(0, len(text)-3000):])
	}
}

// awaitReady reads from the log where the gateway listens.
func (g *gateway) awaitReady() {
	g.t.Helper()
	ready := regexp.MustCompile(`"agent":"http://([^"]+)","admin":"http://([^"]+)","ops":"http://([^"]+)"`)
	g.await(func() bool {
		text, _ := os.ReadFile(g.log)
		m := ready.FindSubmatch(text)
		if m == nil {
			return false
		}
		g.agent, g.admin, g.ops = string(m[1]), string(m[2]), string(m[3])
		return true
	})
}

func (g *gateway) await(ok func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatal("it does not happen")
		}
	}
}

// metric returns the value of a metric.
func (g *gateway) metric(name string) float64 {
	g.t.Helper()
	resp, err := http.Get("http://" + g.ops + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				g.t.Fatal(err)
			}
			return n
		}
	}
	g.t.Fatalf("there is no metric %s", name)
	return 0
}

// resident returns the memory of the process, in bytes.
func (g *gateway) resident() int {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		g.t.Skip("memory can be read on Linux only")
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		g.t.Fatal(err)
	}
	return n << 10
}

// dial connects to the agent plane.
func (g *gateway) dial() net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", g.agent)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

// question is a request for a VM.
func question(n int, query string) string {
	return "GET /v1/agents/" + biosID(n) + "/svm?" + query + " HTTP/1.1\r\nHost: gate\r\nUser-Agent: agent/12.0\r\n\r\n"
}

// answer reads an answer from a connection.
func answer(c net.Conn) (status int, body string, err error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (g *gateway) ask(c net.Conn, n int, query string) string {
	g.t.Helper()
	if _, err := io.WriteString(c, question(n, query)); err != nil {
		g.t.Fatal(err)
	}
	status, body, err := answer(c)
	if err != nil || status != 200 {
		g.t.Fatalf("%d %s %v", status, body, err)
	}
	return body
}
