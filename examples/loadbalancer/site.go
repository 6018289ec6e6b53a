package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A site is gateways and proxies, each a process.
type site struct {
	svmgate string // program
	configs string // folder
	dir     string // of its own

	gateways []*process
	proxies  []*process
}

// A process is one of them. Of a gateway addr is the host, of a proxy where agents ask.
type process struct {
	name, addr string
	args       []string
	cmd        *exec.Cmd
	log        string
}

var errNotThere = errors.New("it is not installed")

// newSite makes a site; nothing runs yet.
func newSite(svmgate, configs string) (*site, error) {
	configs, err := filepath.Abs(configs)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "loadbalancer")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "temp"), 0o777); err != nil {
		return nil, err
	}
	s := &site{svmgate: svmgate, configs: configs, dir: dir}
	if svmgate == "" {
		s.svmgate = filepath.Join(dir, "svmgate")
		build := exec.Command("go", "build", "-o", s.svmgate, "./cmd/svmgate")
		build.Dir = filepath.Join(configs, "..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	const seeds = "127.0.0.11:7946,127.0.0.12:7946,127.0.0.13:7946"
	for i, name := range []string{"a", "b", "c"} {
		host := fmt.Sprintf("127.0.0.%d", 11+i)
		g := &process{name: name, addr: host, args: []string{
			s.svmgate, "serve", "--data", ":memory:", "--ksc", "none", "--node-name", name,
			"--agent-addr", host + ":7270", "--admin-addr", host + ":7271", "--ops-addr", host + ":7272",
			"--cluster-addr", host + ":7946", "--cluster-join", seeds,
			// Agents' addresses come from the proxies, which are on this host.
			"--trusted-proxy", "127.0.0.1/32",
			// Twice what HAProxy takes to see that the gateway is not ready.
			"--shutdown-delay", "1s",
		}}
		if i == 0 {
			g.args = append(g.args, "--cluster-bootstrap") // the first of all is ready though there is nobody to ask
		}
		s.gateways = append(s.gateways, g)
	}
	return s, nil
}

// start starts a process in the site's folder.
func (s *site) start(p *process) error {
	p.log = filepath.Join(s.dir, p.name+".log")
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = s.dir, out, out
	p.cmd.Env = append(os.Environ(), "SVMGATE_ADMIN_PASSWORD=secret")
	return p.cmd.Start()
}

// stop asks a process to end, and waits until it has.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	return cmd.Wait()
}

func (s *site) close() {
	for _, list := range [][]*process{s.proxies, s.gateways} {
		for _, p := range list {
			_ = p.stop()
		}
	}
	_ = os.RemoveAll(s.dir)
}

// startGateways starts all three, and gives them the sample inventory.
func (s *site) startGateways() error {
	for _, g := range s.gateways {
		if err := s.start(g); err != nil {
			return err
		}
		if err := g.ready(); err != nil {
			return err
		}
	}
	first := s.gateways[0]
	load := exec.Command(s.svmgate, "import", filepath.Join(s.configs, "..", "sample", "inventory.yaml"),
		"--server", "http://"+first.addr+":7271", "--user", "admin:secret")
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("import: %w: %s", err, out)
	}
	for _, g := range s.gateways {
		if err := until(func() error { return answers(g.addr + ":7270") }); err != nil {
			return fmt.Errorf("gateway %s does not have the inventory: %w", g.name, err)
		}
	}
	return nil
}

// ready waits until the gateway says that it is.
func (p *process) ready() error {
	err := until(func() error {
		resp, err := http.Get("http://" + p.addr + ":7272/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz: %s", resp.Status)
		}
		return nil
	})
	if err != nil {
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("gateway %s is not ready: %w\n%s", p.name, err, text)
	}
	return nil
}

// until tries something for half a minute.
func until(try func() error) (err error) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return nil
		}
	}
	return err
}

// startProxies starts those that are installed, and says which are not.
func (s *site) startProxies(out io.Writer) error {
	for _, p := range []*process{
		{name: "haproxy", addr: "127.0.0.10:7270", args: []string{"haproxy", "-db", "-f", filepath.Join(s.configs, "haproxy.cfg")}},
		{name: "nginx", addr: "127.0.0.10:7280", args: []string{"nginx", "-p", s.dir, "-c", filepath.Join(s.configs, "nginx.conf")}},
	} {
		if err := s.startProxy(p); errors.Is(err, errNotThere) {
			fmt.Fprintf(out, "%s is left out: %v\n", p.name, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (s *site) startProxy(p *process) error {
	path, err := exec.LookPath(p.args[0])
	if err != nil {
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", p.args[0])); err != nil {
			return errNotThere
		}
	}
	p.args[0] = path
	if err := s.start(p); err != nil {
		return err
	}
	s.proxies = append(s.proxies, p)
	if err := until(func() error { return answers(p.addr) }); err != nil {
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s does not answer: %w\n%s", p.name, err, text)
	}
	return nil
}

// answers asks one question.
func answers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	return newAgent(c).ask()
}

// restartAll restarts the gateways one after the other, each when the one before it is
// ready again and the proxies know it.
func (s *site) restartAll(out io.Writer) error {
	for _, g := range s.gateways {
		start := time.Now()
		if err := g.stop(); err != nil {
			return fmt.Errorf("gateway %s did not end well: %w", g.name, err)
		}
		stopped := time.Since(start)
		if err := s.start(g); err != nil {
			return err
		}
		if err := g.ready(); err != nil {
			return err
		}
		fmt.Fprintf(out, "gateway %s: stopped after %v, ready again after %v\n", g.name, stopped.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		time.Sleep(1500 * time.Millisecond)
	}
	return nil
}
