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
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	svmgate, results   string
	tools              string
	groups, peers      string
	vms, tenants, svms int
	rounds             int
	slice              time.Duration
	latency            bool
	progress           io.Writer
}

func main() {
	var o options
	flag.StringVar(&o.svmgate, "svmgate", "bin/svmgate", "the gateway's program")
	flag.StringVar(&o.results, "results", "", "directory for peers.md and peers.json, or those of -latency; empty: none are written")
	flag.StringVar(&o.tools, "tools", "bin/peer-tools", "directory where peers that are not installed are put")
	flag.StringVar(&o.groups, "groups", "plain,many,tls,new,resumed", "what to measure: plain, many, tls, new, resumed")
	flag.StringVar(&o.peers, "peers", "svmgate,fasthttp,net/http,nginx,redis,etcd,coredns", "whom to measure; svmgate and fasthttp always are")
	flag.IntVar(&o.vms, "vms", 1_000_000, "VMs")
	flag.IntVar(&o.tenants, "tenants", 10_000, "tenants")
	flag.IntVar(&o.svms, "svms", 4_000, "SVMs")
	flag.IntVar(&o.rounds, "rounds", 15, "rounds that count")
	flag.DurationVar(&o.slice, "slice", time.Second, "how long a server is asked in each round")
	flag.BoolVar(&o.latency, "latency", false, "how long answers of svmgate and of fasthttp take at fixed rates, rather than what they cost; latency.md and latency.json")
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
	here := thisOccasion(ctx, &o)
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer func() {
		if e := l.close(); err == nil {
			err = e
		}
	}()
	if o.latency {
		return l.measureLatency(ctx, here)
	}
	return l.measureCosts(ctx, here)
}

// measureCosts asks all of them, and reports what that took of their processor.
func (l *lab) measureCosts(ctx context.Context, here occasion) error {
	if err := l.start(ctx); err != nil {
		return err
	}
	rep := report{occasion: here, Skipped: l.skipped}
	// What it kept for the world is of no use any more, and collecting it would fall
	// into somebody's slice.
	debug.FreeOSMemory()
	for _, name := range groups {
		rows := slices.DeleteFunc(slices.Clone(l.rows), func(r *row) bool { return r.group != name })
		if len(rows) == 0 {
			continue
		}
		if err := runRounds(ctx, rows, l.rounds, l.slice, l.progress); err != nil {
			return err
		}
		rep.Groups = append(rep.Groups, groupOf(rows))
	}
	if err := rep.writeMarkdown(os.Stdout); err != nil || l.results == "" {
		return err
	}
	return save(l.results, "peers", &rep)
}
