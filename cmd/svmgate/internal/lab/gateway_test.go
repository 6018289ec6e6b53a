package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A lab is a number of gateways that form one cluster.
type lab struct {
	*network
	dir      string
	gateways []*gateway
}

// A gateway is a process in the namespace with its number.
type gateway struct {
	lab *lab
	i   int
	cmd *exec.Cmd
	log string // file

	within []string // the command that runs it, if that is not just nsenter
}

// newLab starts n gateways, and returns once all are ready.
func newLab(t *testing.T, n int) *lab {
	t.Helper()
	l := &lab{network: newNetwork(t, n), dir: t.TempDir()}
	key := filepath.Join(l.dir, "keys")
	if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.showLogs()
		}
	})
	for i := 1; i <= n; i++ {
		g := &gateway{lab: l, i: i, log: filepath.Join(l.dir, fmt.Sprintf("g%d.log", i))}
		l.gateways = append(l.gateways, g)
		g.start()
		if i == 1 { // it bootstraps
			g.awaitReady()
		}
	}
	for _, g := range l.gateways {
		g.awaitReady()
	}
	return l
}

func (l *lab) showLogs() {
	for _, g := range l.gateways {
		text, _ := os.ReadFile(g.log)
		l.t.Logf("log of g%d, its end:\n%s", g.i, text[max(0, len(text)-3000):])
	}
}

func (g *gateway) name() string { return fmt.Sprintf("g%d", g.i) }

// start runs the gateway; its directory is as it left it.
func (g *gateway) start() {
	t := g.lab.t
	t.Helper()
	ip := ipOf(g.i)
	var seeds []string
	for i := 1; i <= min(g.lab.n, 3); i++ {
		seeds = append(seeds, ipOf(i)+":7946")
	}
	args := []string{
		"--net=/run/netns/n" + fmt.Sprint(g.i), os.Getenv(programKey), "serve",
		"--data", filepath.Join(g.lab.dir, g.name()), "--ksc=none", "--node-name=" + g.name(),
		"--agent-addr=" + ip + ":7270", "--admin-addr=" + ip + ":7271", "--ops-addr=" + ip + ":7272", "--insecure=agent,admin,ops",
		"--cluster-addr=" + ip + ":7946", "--cluster-join=" + strings.Join(seeds, ","), "--cluster-key-file=" + filepath.Join(g.lab.dir, "keys"),
	}
	if g.i == 1 {
		args = append(args, "--cluster-bootstrap")
	}
	log, err := os.OpenFile(g.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	line := append(slices.Concat(g.within, []string{"nsenter"}), args...)
	g.cmd = exec.Command(line[0], line[1:]...)
	g.cmd.Env = append(os.Environ(), "SVMGATE_ADMIN_PASSWORD=secret")
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := g.cmd
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}

// apart gives the gateway the first half of the processors, and the other half to all
// others, those started later too: one that joins is on a host of its own. So are
// agents. This program, which asks in their place, is on that other half as well, and
// gateways there run when it has nothing to do: what it measures is the gateway, and
// not its own wait for a turn.
func (g *gateway) apart() {
	half := max(runtime.NumCPU()/2, 1)
	own, others := fmt.Sprintf("0-%d", half-1), fmt.Sprintf("%d-%d", runtime.NumCPU()-half, runtime.NumCPU()-1)
	g.lab.sh(fmt.Sprintf("taskset -acp %s %d", others, os.Getpid()))
	g.lab.sh(fmt.Sprintf("taskset -acp %s %d", own, g.cmd.Process.Pid))
	for _, other := range g.lab.gateways {
		if other == g {
			continue
		}
		other.within = []string{"chrt", "--idle", "0", "taskset", "-c", others}
		if other.cmd.ProcessState == nil {
			g.lab.sh(fmt.Sprintf("taskset -acp %s %d; chrt --all-tasks --idle --pid 0 %[2]d", others, other.cmd.Process.Pid))
		}
	}
}

// kill ends the gateway as a power failure would.
func (g *gateway) kill() {
	g.lab.t.Helper()
	if err := g.cmd.Process.Kill(); err != nil {
		g.lab.t.Fatal(err)
	}
	_ = g.cmd.Wait()
}

// loseDisk ends the gateway, and with it all that it had.
func (g *gateway) loseDisk() {
	g.lab.t.Helper()
	g.kill()
	if err := os.RemoveAll(filepath.Join(g.lab.dir, g.name())); err != nil {
		g.lab.t.Fatal(err)
	}
}

// signal sends a signal to the gateway.
func (g *gateway) signal(s syscall.Signal) {
	g.lab.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.lab.t.Fatal(err)
	}
}

// await returns once ok does not complain any more, and how long that took.
func await(t *testing.T, within time.Duration, ok func() error) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		err := ok()
		took := time.Since(start)
		if err == nil {
			return took
		}
		if took > within {
			t.Fatalf("not within %s: %v", within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (g *gateway) awaitReady() time.Duration {
	g.lab.t.Helper()
	return await(g.lab.t, 60*time.Second, func() error {
		resp, err := client.Get("http://" + ipOf(g.i) + ":7272/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 {
			return fmt.Errorf("%s: %s: %s", g.name(), resp.Status, text)
		}
		return nil
	})
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// try sends a request to the management plane.
func (g *gateway) try(method, path string, body any) (status int, text []byte, err error) {
	content := "application/json"
	var b []byte
	switch body := body.(type) {
	case nil:
	case string: // lines
		b, content = []byte(body), "application/x-ndjson"
	default:
		if b, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequest(method, "http://"+ipOf(g.i)+":7271"+path, bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth("admin", "secret")
	req.Header.Set("Content-Type", content)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// do is try for what must succeed; the answer is read into out, if there is one.
func (g *gateway) do(method, path string, body, out any) {
	g.lab.t.Helper()
	status, text, err := g.try(method, path, body)
	if err != nil || status < 200 || status > 299 {
		g.lab.t.Fatalf("%s: %s %s: %d %s %v", g.name(), method, path, status, text, err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			g.lab.t.Fatalf("%s: %s %s: %v: %s", g.name(), method, path, err, text)
		}
	}
}

// ask returns the result of a question to the agent plane.
func (g *gateway) ask(biosID string) (result string, err error) {
	resp, err := client.Get("http://" + ipOf(g.i) + ":7270/v1/agents/" + biosID + "/svm")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct{ Result, Code string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if resp.StatusCode != 200 {
		return answer.Code, nil
	}
	return answer.Result, nil
}

// equal complains unless the gateways (none named: all) have the same table, as the
// first of them hears.
func (l *lab) equal(gateways ...*gateway) error {
	if len(gateways) == 0 {
		gateways = l.gateways
	}
	var cluster struct {
		Digests []struct{ Node, Root, Error string }
	}
	gateways[0].do("GET", "/v1/cluster", nil, &cluster)
	roots := map[string]string{}
	for _, d := range cluster.Digests {
		roots[d.Node] = d.Root
	}
	for _, g := range gateways {
		if root := roots[g.name()]; root == "" || root != roots[gateways[0].name()] {
			return fmt.Errorf("tables differ: %v", cluster.Digests)
		}
	}
	return nil
}

// importCSV imports a file of VMs.
func (g *gateway) importCSV(text string) {
	g.lab.t.Helper()
	req, err := http.NewRequest("POST", "http://"+ipOf(g.i)+":7271/v1/import", strings.NewReader(text))
	if err != nil {
		g.lab.t.Fatal(err)
	}
	req.SetBasicAuth("admin", "secret")
	req.Header.Set("Content-Type", "text/csv")
	resp, err := client.Do(req)
	if err != nil {
		g.lab.t.Fatal(err)
	}
	defer resp.Body.Close()
	var result struct{ Refused []any }
	if err := json.NewDecoder(resp.Body).Decode(&result); err != nil || resp.StatusCode != 200 || len(result.Refused) > 0 {
		g.lab.t.Fatalf("%s: import: %s %v %v", g.name(), resp.Status, result, err)
	}
}

func (g *gateway) clusterText() string {
	_, text, err := g.try("GET", "/v1/cluster", nil)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
