package conform

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

var reportFile = flag.String("conform.report", "", "write which line is covered by which cases to `FILE`")

// program is the gateway, built once for all tests.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	// Cases wait for the disk and for other gateways rather than for a processor.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conform")
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

// patience bounds what should happen at once, on a machine that is busy.
const patience = 20 * time.Second

// A gateway is a process.
type gateway struct {
	name, dir         string
	log               string // file
	agent, admin, ops string // URLs
	cmd               *exec.Cmd
	ended             chan struct{}
}

// zone is the gateways' local time: no documented date may be in it.
const zone = "TZ=Pacific/Kiritimati"

// launch starts a gateway; it is ready once await says so.
func launch(t *testing.T, name string, ca *tlstest.Authority, args ...string) *gateway {
	t.Helper()
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	g := &gateway{name: name, dir: t.TempDir(), ended: make(chan struct{})}
	g.log = filepath.Join(g.dir, "log")
	cert, key := filepath.Join(g.dir, "cert.pem"), filepath.Join(g.dir, "key.pem")
	if err := ca.Write(cert, key, tlstest.Leaf{Name: name}); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(g.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g.cmd = exec.Command(program, append([]string{
		"serve", "--data", filepath.Join(g.dir, "data"), "--unregistered=serve", "--log-format=json", "--log-level=debug",
		"--agent-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0",
		"--tls-cert=" + cert, "--tls-key=" + key, "--node-name=" + name,
	}, args...)...)
	g.cmd.Env = append(os.Environ(), "SVMGATE_ADMIN_PASSWORD="+passwordOf("admin"), zone)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = g.cmd.Wait()
		close(g.ended)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s, its end:\n%s", name, g.logEnd())
		}
		_ = g.cmd.Process.Kill()
		<-g.ended
	})
	return g
}

// await returns once the gateway says where it is.
func (g *gateway) await(t *testing.T) {
	t.Helper()
	poll(t, func() error {
		text, err := os.ReadFile(g.log)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			var at struct{ Msg, Agent, Admin, Ops string }
			if json.Unmarshal(line, &at) == nil && at.Msg == "svmgate is ready" {
				g.agent, g.admin, g.ops = at.Agent, at.Admin, at.Ops
				return nil
			}
		}
		select {
		case <-g.ended:
			t.Fatalf("%s ended: %s", g.name, text)
		default:
		}
		return fmt.Errorf("%s does not become ready", g.name)
	})
}

// poll returns once ok does not complain any more.
func poll(t *testing.T, ok func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	t.Fatalf("not within %s: %v", patience, err)
}

// clusterAddr returns an address that nobody else has: loopback is wide, and its port is
// none that the system gives away.
func clusterAddr() string {
	return fmt.Sprintf("127.%d.%d.%d:7946", 64+rand.N(128), rand.N(256), 1+rand.N(254))
}

// launchCluster starts n gateways that form a cluster, and trust a proxy on
// loopback.
func launchCluster(t *testing.T, ca *tlstest.Authority, n int, args ...string) []*gateway {
	t.Helper()
	key := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for range n {
		addrs = append(addrs, clusterAddr())
	}
	var gateways []*gateway
	for i, addr := range addrs {
		more := append([]string{
			"--cluster-addr=" + addr, "--cluster-join=" + strings.Join(addrs, ","), "--cluster-key-file=" + key,
			"--trusted-proxy=127.0.0.1/32",
		}, args...)
		if i == 0 {
			more = append(more, "--cluster-bootstrap")
		}
		gateways = append(gateways, launch(t, fmt.Sprintf("g%d", i+1), ca, more...))
	}
	return gateways
}

// logEnd is the end of the log, without the chatter of the cluster.
func (g *gateway) logEnd() string {
	text, err := os.ReadFile(g.log)
	if err != nil {
		return err.Error()
	}
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(`"msg":"memberlist"`)) {
			kept = append(kept, line...)
		}
	}
	return string(kept[max(0, len(kept)-3000):])
}

// logsNothingOf fails if the log has a line with a word in it.
func (g *gateway) logsNothingOf(t *testing.T, word string) {
	t.Helper()
	text, err := os.ReadFile(g.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(word)) {
			t.Errorf("%s logs %s", g.name, line)
		}
	}
}
