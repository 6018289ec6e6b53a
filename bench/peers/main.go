package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/svmgate/svmgate/bench"
)

// options are the flags.
type options struct {
	svmgate, results   string
	tools              string
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
	flag.StringVar(&o.tools, "tools", "bin/peer-tools", "directory where peers that are not installed are put")
	flag.StringVar(&o.groups, "groups", "plain,many,tls,new,resumed", "what to measure: plain, many, tls, new, resumed")
	flag.StringVar(&o.peers, "peers", "svmgate,fasthttp,net/http,nginx,redis,etcd,coredns", "whom to measure; svmgate and fasthttp always are")
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
	var err error
	if *serve != "" {
		err = serveConstant(*serve, *addr, *size, *cert, *key)
	} else {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	for _, path := range []*string{&o.svmgate, &o.tools} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	rep := report{
		Machine: bench.ThisMachine(), Kernel: kernel(), Load: loadavg(), Date: time.Now().UTC().Format(time.DateOnly),
		Commit: commit(ctx), Command: strings.Join(os.Args, " "),
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
	for _, name := range groups {
		rows := slices.DeleteFunc(slices.Clone(l.rows), func(r *row) bool { return r.group != name })
		if len(rows) == 0 {
			continue
		}
		if err := runRounds(ctx, rows, o.rounds, o.slice, o.progress); err != nil {
			return err
		}
		rep.Groups = append(rep.Groups, groupOf(rows))
	}
	rep.Skipped = l.skipped
	if err := rep.writeMarkdown(os.Stdout); err != nil || o.results == "" {
		return err
	}
	return rep.save(o.results)
}
