package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// node is the name of the gateways: each is alone with its table.
const node = "peers"

// A lab is the servers that were started, and what they need. Close it when done.
type lab struct {
	options
	dir       string // for files of servers; removed at the end
	world     *world
	size      int // of answers, in bytes, as gateways give them
	serverCPU int // less than 0: any
	processes []*process
	rows      []*row
	skipped   map[string]string
}

func newLab(o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "svmgate-peers-")
	if err != nil {
		return nil, err
	}
	return &lab{options: o, dir: dir, serverCPU: -1, skipped: map[string]string{}}, nil
}

func (l *lab) close() error {
	for _, p := range l.processes {
		p.stop()
	}
	return os.RemoveAll(l.dir)
}

// run starts a server that listens on addr, and waits until it accepts connections, or
// until up says so.
func (l *lab) run(ctx context.Context, addr netip.AddrPort, up func() error, program string, args ...string) (*process, error) {
	var env []string
	if strings.HasPrefix(program, l.unpacked()) {
		env = l.libraries()
	}
	p, err := start(l.serverCPU, l.dir, env, program, args...)
	if err != nil {
		return nil, err
	}
	l.processes = append(l.processes, p)
	p.addr = addr
	if up == nil {
		up = func() error {
			c, err := net.Dial("tcp", addr.String())
			if err == nil {
				err = c.Close()
			}
			return err
		}
	}
	return p, p.ready(ctx, 2*time.Minute, up)
}

// freePort returns a port of the loopback address that nobody listened on just now, for
// TCP and UDP.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return l.Addr().(*net.TCPAddr).AddrPort(), l.Close()
}

func freePorts(n int) (ports []netip.AddrPort, err error) {
	for range n {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// makeWorld writes the table, which gateways copy.
func (l *lab) makeWorld() error {
	fmt.Fprintf(l.progress, "making %d VMs, %d tenants, %d SVMs\n", l.vms, l.tenants, l.svms)
	l.world = newWorld(l.vms, l.tenants, l.svms)
	return l.world.write(filepath.Join(l.dir, "world"))
}

// gateway starts svmgate with the world and waits until it is ready.
func (l *lab) gateway(ctx context.Context, name string, settings ...string) (*process, error) {
	data := filepath.Join(l.dir, name)
	if err := copyTo(data, filepath.Join(l.dir, "world")); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"serve", "--data", data, "--node-name", node, "--ksc", "none", "--log-level", "warn",
		"--agent-addr", ports[0].String(), "--admin-addr", ports[1].String(), "--ops-addr", ports[2].String(),
	}, settings...)
	fmt.Fprintf(l.progress, "%s: agents %v, operations %v\n", name, ports[0], ports[2])
	return l.run(ctx, ports[0], func() error {
		res, err := http.Get("http://" + ports[2].String() + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	}, l.svmgate, args...)
}

// constant starts a server with a constant answer: this program again.
func (l *lab) constant(ctx context.Context, name string, settings ...string) (*process, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-serve", name, "-addr", addr.String(), "-size", strconv.Itoa(l.size)}, settings...)
	return l.run(ctx, addr, nil, self, args...)
}

// ask adds a row: a server that is asked over connections that stay open. They are made
// when it is asked for the first time, since servers close those that nobody uses.
func (l *lab) ask(group, name, version string, p *process, conns, size int, q question) {
	var a *asker
	l.rows = append(l.rows, &row{
		group: group, name: name, version: version, server: p, bytes: size,
		slice: func(lasts time.Duration) (_ int, err error) {
			if a == nil {
				if a, err = newAsker(p.addr, conns, l.world.VMs, q, 1); err != nil {
					return 0, err
				}
			}
			return a.slice(lasts)
		},
		close: func() {
			if a != nil {
				a.close()
			}
		},
	})
}

// measureSize asks a gateway some agents' questions, to learn how long answers are.
func (l *lab) measureSize(p *process) error {
	answers, sum := 0, 0
	a, err := newAsker(p.addr, 1, l.world.VMs, question{ask: l.world.get, answered: httpAnswer(func(body []byte) bool {
		answers, sum = answers+1, sum+len(body)
		return isAssigned(body)
	})}, 2)
	if err != nil {
		return err
	}
	defer a.close()
	if _, err := a.slice(200 * time.Millisecond); err != nil {
		return fmt.Errorf("svmgate: %w", err)
	}
	l.size = (sum + answers/2) / answers
	return nil
}
