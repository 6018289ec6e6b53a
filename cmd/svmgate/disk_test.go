package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A diskGateway is a real process on a real file system that is about to fail it.
type diskGateway struct {
	t                 *testing.T
	cmd               *exec.Cmd
	agent, admin, ops string
}

// serveWith runs a gateway, within another command if there is one, and returns
// it once it is ready.
func serveWith(t *testing.T, data string, within ...string) *diskGateway {
	t.Helper()
	program := filepath.Join(t.TempDir(), "svmgate")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(within), program, "serve", "--data", data, "--ksc", "none", "--log-format=json",
		"--agent-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "SVMGATE_ADMIN_PASSWORD=secret")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := &diskGateway{t: t, cmd: cmd}
	t.Cleanup(g.kill)
	for lines := bufio.NewScanner(log); g.admin == "" && lines.Scan(); {
		var line struct{ Msg, Agent, Admin, Ops string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "svmgate is ready" {
			g.agent, g.admin, g.ops = line.Agent, line.Admin, line.Ops
		}
	}
	if g.admin == "" {
		t.Fatalf("%q did not become ready", args)
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()
	return g
}

// kill ends the gateway and whatever runs it.
func (g *diskGateway) kill() {
	if g.cmd.ProcessState == nil {
		_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
		_ = g.cmd.Wait()
	}
}

// awaitRelease returns once nobody has a data directory open: what a killed tool
// has run may outlive it by a moment.
func awaitRelease(t *testing.T, data string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		d, err := store.OpenDir(data)
		if err == nil {
			err = d.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (g *diskGateway) do(method, url, body string) (status int, text string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.SetBasicAuth("admin", "secret")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// makeTenant creates a tenant with user data of so many bytes.
func (g *diskGateway) makeTenant(n, bytes int) (status int, text string) {
	g.t.Helper()
	return g.do("POST", g.admin+"/v1/tenants", fmt.Sprintf(`{"name":"tenant %05d","userData":%q}`, n, strings.Repeat("x", bytes)))
}

// tenants counts those that are visible.
func (g *diskGateway) tenants() int {
	g.t.Helper()
	n, after := 0, ""
	for {
		status, text := g.do("GET", g.admin+"/v1/tenants?limit=100&after="+after, "")
		var page struct {
			Items []struct{ Name string }
			Next  string
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil || status != 200 {
			g.t.Fatalf("%d %v", status, err)
		}
		n += len(page.Items)
		if after = page.Next; after == "" {
			return n
		}
	}
}

// has fails unless the answer has a status and a text.
func (g *diskGateway) has(method, url string, want int, with string) {
	g.t.Helper()
	if status, text := g.do(method, url, ""); status != want || !strings.Contains(text, with) {
		g.t.Errorf("%s %s: %d %s; want %d and %q", method, url, status, text, want, with)
	}
}

// needs skips a test where a tool or a right is missing.
func needs(t *testing.T, tool string, args ...string) {
	t.Helper()
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: %s %s does not work here: %v %s", tool, strings.Join(args, " "), err, out)
	}
}

// On a disk that is full writes are refused with 507 and the reason, questions
// are answered, and writing goes on by itself once there is space.
func TestFullDisk(t *testing.T) {
	mount := t.TempDir()
	shell := "mount -t tmpfs -o size=64m none " + mount + " && "
	needs(t, "unshare", "-m", "sh", "-c", shell+"true")
	data := filepath.Join(mount, "data")
	g := serveWith(t, data, "unshare", "-m", "sh", "-c", shell+`exec "$@"`, "sh")
	inside := filepath.Join("/proc", fmt.Sprint(g.cmd.Process.Pid), "root", mount)
	ballast := filepath.Join(inside, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<20), 0o600); err != nil {
		t.Skipf("SKIPPED: the gateway's file system can not be reached: %v", err)
	}

	made, status, text := 0, 0, ""
	for ; made < 2000; made++ {
		if status, text = g.makeTenant(made, 60_000); status != 201 {
			break
		}
	}
	if status != 507 || !strings.Contains(text, "no space left on device") {
		t.Fatalf("after %d tenants: %d %s; want 507 and why", made, status, text)
	}
	if n := g.tenants(); n != made {
		t.Errorf("%d tenants are visible, %d were acknowledged", n, made)
	}
	g.has("GET", g.ops+"/readyz", 200, "no space left")
	g.has("GET", g.agent+"/v1/agents/4c4c4544-0042-3510-8054-b7c04f463032/svm", 404, "vm_not_registered")
	g.has("GET", g.ops+"/metrics", 200, "svmgate_journal_full 1")

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for status = 0; status != 201; {
		if status, text = g.makeTenant(made, 60_000); time.Since(begin) > 5*time.Second {
			t.Fatalf("5 s after there was space: %d %s", status, text)
		}
	}
	t.Logf("%d tenants until the disk was full; written again %v after there was space", made, time.Since(begin))
	made++
	g.has("GET", g.ops+"/metrics", 200, "svmgate_journal_full 0")

	// What was acknowledged is there in a copy of the directory, as after a crash.
	crashed := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(crashed, os.DirFS(filepath.Join(inside, "data"))); err != nil {
		t.Fatal(err)
	}
	g.kill()
	if n := serveWith(t, crashed).tenants(); n != made {
		t.Errorf("%d tenants are there after a crash, %d were acknowledged", n, made)
	}
}

// After an fsync that failed nothing is acknowledged any more, although the disk
// would do it again; the gateway says so, and a restart has all that was
// acknowledged.
func TestFailedSync(t *testing.T) {
	needs(t, "strace", "-f", "-o", "/dev/null", "true")
	const nth, most = 6, 500 // strace counts the calls of each thread by itself
	data := filepath.Join(t.TempDir(), "data")
	g := serveWith(t, data, "strace", "-f", "-o", os.DevNull, "-e", "trace=fsync,fdatasync",
		"-e", "inject=fdatasync:error=EIO:when="+fmt.Sprint(nth))
	made, status, text := 0, 0, ""
	for ; made < most; made++ {
		if status, text = g.makeTenant(made, 10); status != 201 {
			break
		}
	}
	if status != 507 || !strings.Contains(text, "input/output error") || !strings.Contains(text, "restart the gateway") {
		t.Fatalf("after %d tenants: %d %s; want 507, why and the remedy", made, status, text)
	}
	for n := range 10 {
		if status, text := g.makeTenant(most+n, 10); status != 507 {
			t.Fatalf("a write was answered %d %s after an fsync had failed", status, text)
		}
	}
	if n := g.tenants(); n != made {
		t.Errorf("%d tenants are visible, %d were acknowledged", n, made)
	}
	g.has("GET", g.ops+"/readyz", 503, "restart the gateway")
	g.has("GET", g.ops+"/metrics", 200, "svmgate_journal_broken 1")
	g.has("GET", g.agent+"/v1/agents/4c4c4544-0042-3510-8054-b7c04f463032/svm", 404, "vm_not_registered")
	g.kill()
	awaitRelease(t, data)

	// One that was not acknowledged may be there, too: it was on its way.
	if n := serveWith(t, data).tenants(); n != made && n != made+1 {
		t.Errorf("%d tenants are there after a restart, %d were acknowledged", n, made)
	}
}
