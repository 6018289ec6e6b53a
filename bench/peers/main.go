package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svmgate/svmgate/bench"
)

// options are the flags.
type options struct {
	svmgate, results   string
	groups, peers      string
	vms, tenants, svms int
	rounds             int
	slice              time.Duration
	progress           io.Writer
}

func main() {
	var o options
	flag.StringVar(&o.svmgate, "svmgate", "bin/svmgate", "the gateway's program")
	flag.StringVar(&o.results, "results", "", "directory for peers.md and peers.json; empty: none are written")
	flag.StringVar(&o.groups, "groups", "plain,many", "what to measure")
	flag.StringVar(&o.peers, "peers", "svmgate,fasthttp,net/http", "whom to measure; fasthttp always is")
	flag.IntVar(&o.vms, "vms", 1_000_000, "VMs")
	flag.IntVar(&o.tenants, "tenants", 10_000, "tenants")
	flag.IntVar(&o.svms, "svms", 4_000, "SVMs")
	flag.IntVar(&o.rounds, "rounds", 15, "rounds that count")
	flag.DurationVar(&o.slice, "slice", time.Second, "how long a server is asked in each round")
	serve := flag.String("serve", "", "be a server with a constant answer: fasthttp or net/http")
	addr := flag.String("addr", "", "with -serve: where to listen")
	size := flag.Int("size", 500, "with -serve: bytes of the answer")
	cert := flag.String("cert", "", "with -serve: certificate, for TLS")
	key := flag.String("key", "", "with -serve: its key")
	flag.Parse()
	o.progress = os.Stderr

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *serve != "" {
		err = serveConstant(*serve, *addr, *size, *cert, *key)
	} else {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.svmgate, err = filepath.Abs(o.svmgate); err != nil {
		return err
	}
	rep := report{
		Machine: bench.ThisMachine(), Kernel: kernel(), Load: loadavg(), Date: time.Now().UTC().Format(time.DateOnly),
		Commit: cmp.Or(output("git", "describe", "--always", "--dirty"), "unknown"), Command: strings.Join(os.Args, " "),
		World:  map[string]int{"vms": o.vms, "tenants": o.tenants, "svms": o.svms},
		Rounds: o.rounds, Slice: o.slice.Seconds(),
	}
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer func() {
		if e := l.close(); err == nil {
			err = e
		}
	}()
	if err := l.start(ctx); err != nil {
		return err
	}
	// What it kept for the world is of no use any more, and collecting it would fall
	// into somebody's slice.
	debug.FreeOSMemory()
	for rows := l.rows; len(rows) > 0; {
		n := slices.IndexFunc(rows, func(r *row) bool { return r.group != rows[0].group })
		if n < 0 {
			n = len(rows)
		}
		if err := runRounds(ctx, rows[:n], o.rounds, o.slice, o.progress); err != nil {
			return err
		}
		rep.Groups = append(rep.Groups, groupOf(rows[:n]))
		rows = rows[n:]
	}
	rep.Skipped = l.skipped
	if err := rep.writeMarkdown(os.Stdout); err != nil || o.results == "" {
		return err
	}
	return rep.save(o.results)
}

// start starts all servers, on one processor, and makes the rows; this program takes
// another processor, where there is one.
func (l *lab) start(ctx context.Context) error {
	fmt.Fprintf(l.progress, "making %d VMs\n", l.vms)
	if err := l.makeWorld(); err != nil {
		return err
	}
	if n := runtime.NumCPU(); n > 1 {
		l.serverCPU = 0
		if err := bind(n - 1); err != nil {
			return err
		}
		runtime.GOMAXPROCS(1)
	}
	return l.plain()
}

func (l *lab) plain() error {
	withToken, err := l.gateway("token", "--agent-auth", "token")
	if err != nil {
		return err
	}
	if err := l.measureSize(withToken); err != nil {
		return err
	}
	none, err := l.gateway("none", "--agent-auth", "none")
	if err != nil {
		return err
	}
	fast, err := l.constant("fasthttp")
	if err != nil {
		return err
	}
	std, err := l.constant("net/http")
	if err != nil {
		return err
	}
	gateway := question{ask: l.world.get, answered: httpAnswer(isAssigned)}
	constant := question{ask: l.world.get, answered: httpAnswer(isSize(l.size))}
	version := output(l.svmgate, "version")
	for _, g := range []struct {
		name  string
		conns int
	}{{"64 connections", 64}, {"1,024 connections", 1024}} {
		if g.conns == 64 && !l.wants(l.groups, "plain") || g.conns == 1024 && !l.wants(l.groups, "many") {
			continue
		}
		for _, r := range []struct {
			name, version string
			p             *process
			q             question
		}{
			{"svmgate, token", version, withToken, gateway},
			{"svmgate, none", version, none, gateway},
			{"fasthttp, constant", moduleVersion("github.com/valyala/fasthttp"), fast, constant},
			{"net/http, constant", runtime.Version(), std, constant},
		} {
			if err := l.ask(g.name, r.name, r.version, r.p, g.conns, l.size, r.q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lab) wants(list, name string) bool { return slices.Contains(strings.Split(list, ","), name) }

// groupOf sums up a group, whose ratios are to fasthttp.
func groupOf(rows []*row) group {
	against := rows[slices.IndexFunc(rows, func(r *row) bool { return strings.HasPrefix(r.name, "fasthttp") })]
	g := group{Name: rows[0].group, Against: against.name}
	for _, r := range rows {
		g.Rows = append(g.Rows, lineOf(r, against))
	}
	return g
}

func (r *report) save(dir string) error {
	for name, write := range map[string]func(io.Writer) error{"peers.md": r.writeMarkdown, "peers.json": r.writeJSON} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := write(f); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

func loadavg() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return cmp.Or(first, "unknown")
}

// moduleVersion returns the version of a module that this program was built with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
