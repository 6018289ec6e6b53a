package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"svmgate": main}) }

// TestScripts runs the commands as a user types them. Besides what testscript
// has, a script may say:
//
//	fails CODE ARGS         run svmgate ARGS, which must end with this exit code
//	serve [NAME] -- ARGS    run a gateway on free ports until it is ready; sets $AGENT,
//	                        $ADMIN and $OPS to its addresses, and $NAME_ADMIN and so on
//	free VAR…               set variables to addresses that nobody listens at
//	end NAME SIGNAL CODE    stop it, within a second, with this exit code
//	signal NAME SIGNAL      send it a signal
//	http STATUS ARGS        curl of sorts: [-u USER] [-X METHOD] [-d BODY] URL;
//	                        the body of the answer goes to stdout
//	tries COMMAND           repeat http, grep TEXT FILE, or svmgate ARGS until it
//	                        succeeds, up to 10 s
//	cert FILE KEY [NAME]    write a certificate for loopback, and its key
//	password FILE           set $PASSWORD to the one that FILE shows
//
// A gateway writes to NAME.out and NAME.log in the work directory.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values[gatewaysKey{}] = map[string]*gateway{}
			env.Vars = append(env.Vars, "HOME="+env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": failsScript, "serve": serveScript, "end": endScript, "signal": signalScript, "http": httpScript,
			"tries": triesScript, "free": freeScript, "cert": certScript, "password": passwordScript,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// patience bounds what should happen at once, on a machine that is busy.
const patience = time.Minute

// stopsIn bounds how long a gateway takes to stop: a few ms, if nothing keeps it. What
// does keeps it for --shutdown-timeout, 10 s.
const stopsIn = 8 * time.Second

type gatewaysKey struct{}

// A gateway is a process that a script runs.
type gateway struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

func gateways(ts *testscript.TestScript) map[string]*gateway {
	return ts.Value(gatewaysKey{}).(map[string]*gateway)
}

func find(ts *testscript.TestScript, name string) *gateway {
	g, ok := gateways(ts)[name]
	if !ok {
		ts.Fatalf("there is no gateway %s", name)
	}
	return g
}

// svmgate returns the program as testscript would run it.
func svmgate(ts *testscript.TestScript, args []string) *exec.Cmd {
	bin, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator))
	cmd := exec.Command(filepath.Join(bin, "svmgate"), args...)
	cmd.Dir = ts.MkAbs(".")
	for _, v := range []string{"PATH", "HOME", "SVMGATE_ADMIN_PASSWORD", "SVMGATE_SVM_TTL"} {
		if s := ts.Getenv(v); s != "" {
			cmd.Env = append(cmd.Env, v+"="+s)
		}
	}
	return cmd
}

func failsScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: fails CODE ARGS")
	}
	cmd := svmgate(ts, args[1:])
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("ended with %v, want exit code %s", err, args[0])
	}
}

func serveScript(ts *testscript.TestScript, neg bool, args []string) {
	name := "gateway"
	if len(args) > 0 && args[0] != "--" {
		name, args = args[0], args[1:]
	}
	if neg || len(args) == 0 || args[0] != "--" {
		ts.Fatalf("usage: serve [NAME] -- ARGS")
	}
	args = append([]string{"serve", "--agent-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0", "--log-format=json"}, args[1:]...)
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer out.Close()
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	defer log.Close()

	cmd := svmgate(ts, args)
	cmd.Stdout, cmd.Stderr = out, log
	ts.Check(cmd.Start())
	g := &gateway{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its exit code is in ProcessState
		close(g.done)
	}()
	gateways(ts)[name] = g
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-g.done
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(log.Name())
		ts.Check(err)
		if ready(ts, name, text) {
			return
		}
		select {
		case <-g.done:
			ts.Fatalf("the gateway ended: %s", text)
		default:
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the gateway does not get ready: %s", text)
		}
	}
}

// ready looks for the line that says where the gateway is.
func ready(ts *testscript.TestScript, name string, log []byte) bool {
	for line := range bytes.Lines(log) {
		var at struct{ Msg, Agent, Admin, Ops string }
		if json.Unmarshal(line, &at) == nil && at.Msg == "svmgate is ready" {
			for plane, url := range map[string]string{"AGENT": at.Agent, "ADMIN": at.Admin, "OPS": at.Ops} {
				ts.Setenv(plane, url)
				ts.Setenv(name+"_"+plane, url)
			}
			return true
		}
	}
	return false
}

// freeScript finds addresses that are free for TCP and for UDP.
func freeScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: free VAR…")
	}
	for _, name := range args {
		addr, err := freeAddr()
		ts.Check(err)
		ts.Setenv(name, addr)
	}
}

// freeAddr chooses among ports that the system does not choose for connections and for
// ":0": nobody happens to get it before the gateway listens.
func freeAddr() (string, error) {
	for range 100 {
		addr := fmt.Sprint("127.0.0.1:", 20_000+rand.N(12_000))
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		_ = tcp.Close()
		if err == nil {
			return addr, udp.Close()
		}
	}
	return "", errors.New("no port is free for TCP and UDP")
}

var signals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}

func signalScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME SIGNAL")
	}
	ts.Check(find(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func endScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: end NAME SIGNAL CODE")
	}
	g := find(ts, args[0])
	begin := time.Now()
	signalScript(ts, neg, args[:2])
	select {
	case <-g.done:
	case <-time.After(patience):
		ts.Fatalf("the gateway does not stop")
	}
	if took := time.Since(begin); took > stopsIn {
		ts.Fatalf("stopping took %v: something was waited for", took)
	}
	if got := strconv.Itoa(g.cmd.ProcessState.ExitCode()); got != args[2] {
		ts.Fatalf("exit code %s, want %s", got, args[2])
	}
}

func httpScript(ts *testscript.TestScript, neg bool, args []string) {
	if err := request(ts, args); (err != nil) != neg {
		ts.Fatalf("http: %v", err)
	}
}

func request(ts *testscript.TestScript, args []string) error {
	if len(args) < 2 {
		ts.Fatalf("usage: http STATUS [-u USER] [-X METHOD] [-d BODY] URL")
	}
	method, user, body, url := "", "", "", args[len(args)-1]
	for opts := args[1 : len(args)-1]; len(opts) > 1; opts = opts[2:] {
		switch opts[0] {
		case "-u":
			user = opts[1]
		case "-X":
			method = opts[1]
		case "-d":
			body = opts[1]
		}
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	ts.Check(err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.TLS != nil {
		fmt.Fprintf(ts.Stdout(), "certificate: %s\n", resp.TLS.PeerCertificates[0].Subject.CommonName)
	}
	fmt.Fprintf(ts.Stdout(), "%s\n", text)
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		return fmt.Errorf("status %s, want %s: %s", got, args[0], text)
	}
	return nil
}

// triesScript repeats what others bring about.
func triesScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: tries http …, tries grep TEXT FILE or tries svmgate …")
	}
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		switch args[0] {
		case "http":
			err = request(ts, args[1:])
		case "grep":
			if err = errors.New("not found: " + args[1]); strings.Contains(ts.ReadFile(args[2]), args[1]) {
				err = nil
			}
		case "svmgate":
			var text []byte
			if text, err = svmgate(ts, args[1:]).CombinedOutput(); err != nil {
				err = fmt.Errorf("%w: %s", err, text)
			}
		default:
			ts.Fatalf("tries does not know %s", args[0])
		}
		if err == nil {
			return
		}
	}
	ts.Fatalf("tries: %v", err)
}

func certScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: cert FILE KEY [NAME]")
	}
	leaf := tlstest.Leaf{}
	if len(args) > 2 {
		leaf.Name = args[2]
	}
	if leaf.Name == "expired" {
		leaf.Expires = time.Now().Add(-time.Hour)
	}
	ca, err := tlstest.NewAuthority("script")
	ts.Check(err)
	ts.Check(ca.Write(ts.MkAbs(args[0]), ts.MkAbs(args[1]), leaf))
}

func passwordScript(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: password FILE")
	}
	_, after, ok := strings.Cut(ts.ReadFile(args[0]), "with the password ")
	if !ok {
		ts.Fatalf("%s shows no password", args[0])
	}
	ts.Setenv("PASSWORD", strings.Fields(after)[0])
}
