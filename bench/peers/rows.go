package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Groups, by the words for them in the flag -groups.
const (
	plain   = "64 connections, kept alive"
	many    = "1,024 connections, kept alive"
	kept    = "TLS 1.3, 64 connections, kept alive"
	full    = "TLS 1.3, a new connection for each question, full handshake"
	resumed = "TLS 1.3, a new connection for each question, resumed"
)

// groups is the order in which they are measured.
var groups = []string{plain, many, kept, full, resumed}

// Connections of the groups where they are kept.
const (
	plainConns = 64
	manyConns  = 1024
)

// wants reports whether a word is in a list that a flag gave.
func wants(list, word string) bool { return slices.Contains(strings.Split(list, ","), word) }

// start makes the world, starts all servers on one processor, and makes the rows. Then
// this program takes another processor, where there is one.
func (l *lab) start(ctx context.Context) error {
	servers, ours, apart := processors()
	l.serverCPU = servers
	if err := l.makeWorld(); err != nil {
		return err
	}
	if err := l.startWeb(ctx); err != nil {
		return err
	}
	if wants(l.groups, "plain") {
		l.startStores(ctx)
	}
	if err := l.startTLS(ctx); err != nil {
		return err
	}
	if !apart {
		l.skipped["a processor for each side"] = "there is one only: servers and the client share it"
		return nil
	}
	return settle(ours)
}

// settle puts this program on a processor of its own.
func settle(cpu int) error {
	runtime.GOMAXPROCS(1)
	return bind(cpu)
}

// startWeb starts the gateways, and whoever answers HTTP with a constant.
func (l *lab) startWeb(ctx context.Context) error {
	token, err := l.gateway(ctx, "token", "--agent-auth", "token")
	if err != nil {
		return err
	}
	if err := l.measureSize(token); err != nil {
		return err
	}
	none, err := l.gateway(ctx, "none", "--agent-auth", "none")
	if err != nil {
		return err
	}
	gateway := question{ask: l.world.get, answered: httpAnswer(isAssigned)}
	constant := question{ask: l.world.get, answered: httpAnswer(isSize(l.size))}
	l.askWeb("svmgate, token", l.version(), token, gateway)
	l.askWeb("svmgate, no authentication", l.version(), none, gateway)
	for _, c := range []struct{ name, version string }{
		{"fasthttp", moduleVersion("github.com/valyala/fasthttp")}, {"net/http", runtime.Version()},
	} {
		if c.name != "fasthttp" && !wants(l.peers, c.name) {
			continue
		}
		p, err := l.constant(ctx, c.name)
		if err != nil {
			return err
		}
		l.askWeb(c.name+", constant", c.version, p, constant)
	}
	if !wants(l.peers, "nginx") {
		return nil
	}
	p, version, err := l.startNginx(ctx)
	if err != nil {
		l.skip("nginx", err)
		return nil
	}
	l.askWeb("nginx, constant", version, p, constant)
	return nil
}

// askWeb makes the rows of a server of HTTP.
func (l *lab) askWeb(name, version string, p *process, q question) {
	if wants(l.groups, "plain") {
		l.ask(plain, name, version, p, plainConns, l.size, q)
	}
	if wants(l.groups, "many") {
		l.ask(many, name, version, p, manyConns, l.size, q)
	}
}

// startStores starts those who keep a value for each VM. Each may be missing.
func (l *lab) startStores(ctx context.Context) {
	for _, store := range []struct {
		name  string
		start func(context.Context) error
	}{{"redis", l.askRedis}, {"etcd", l.askEtcd}, {"coredns", l.askCoreDNS}} {
		if wants(l.peers, store.name) {
			l.skip(store.name, store.start(ctx))
		}
	}
}

// skip notes why a peer is missing, if it is.
func (l *lab) skip(name string, why error) {
	if why != nil {
		l.skipped[name] = why.Error()
		fmt.Fprintf(l.progress, "skipped: %s: %v\n", name, why)
	}
}

// version returns the gateway's.
func (l *lab) version() string {
	version, _, _ := strings.Cut(strings.TrimPrefix(l.output(l.svmgate, "version"), "svmgate "), " ")
	return version
}

func (l *lab) askRedis(ctx context.Context) error {
	p, version, err := l.startRedis(ctx)
	if err != nil {
		return err
	}
	l.ask(plain, "Redis, GET", version, p, plainConns, l.size, question{ask: l.world.redisGet, answered: respAnswer(l.size)})
	return nil
}
