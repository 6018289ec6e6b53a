package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// nginxConf is nginx with a constant answer: one worker, since there is one processor,
// no log, and connections that are never closed for their number of requests.
const nginxConf = `daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen %v;
		location / {
			default_type application/json;
			return 200 '%s';
		}
	}
}
`

func (l *lab) startNginx(ctx context.Context) (*process, string, error) {
	program, err := l.debian(ctx, "nginx-light", "nginx")
	if err != nil {
		return nil, "", err
	}
	addr, err := freePort()
	if err != nil {
		return nil, "", err
	}
	conf := filepath.Join(l.dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, addr, constantBody(l.size)), 0o600); err != nil {
		return nil, "", err
	}
	p, err := l.run(ctx, addr, func() error { // the worker must be there, not just its master
		res, err := http.Get("http://" + addr.String())
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}, program, "-p", l.dir, "-e", "stderr", "-c", conf)
	return p, strings.TrimPrefix(l.output(program, "-v"), "nginx version: nginx/"), err
}

func (l *lab) startRedis(ctx context.Context) (*process, string, error) {
	program, err := l.debian(ctx, "redis-server", "redis-server")
	if err != nil {
		return nil, "", err
	}
	addr, err := freePort()
	if err != nil {
		return nil, "", err
	}
	p, err := l.run(ctx, addr, nil, program, "--bind", addr.Addr().String(), "--port", strconv.Itoa(int(addr.Port())),
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", l.dir)
	if err != nil {
		return nil, "", err
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(l.output(program, "--version"), "Redis server v="), " ")
	return p, version, l.fillRedis(ctx, addr.String())
}

// fillRedis sets a value of the size for each VM.
func (l *lab) fillRedis(ctx context.Context, addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	value, in := constantBody(l.size), bufio.NewReader(c)
	const batch = 500 // fewer than fill the sockets' buffers, since nobody reads meanwhile
	var out []byte
	for from := 0; from < l.world.VMs; from += batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(batch, l.world.VMs-from)
		out = out[:0]
		for i := from; i < from+n; i++ {
			out = append(out, "*3\r\n$3\r\nSET\r\n$36\r\n"...)
			out = appendID(out, &l.world.bios[i])
			out = fmt.Appendf(out, "\r\n$%d\r\n%s\r\n", len(value), value)
		}
		if _, err := c.Write(out); err != nil {
			return fmt.Errorf("fill Redis: %w", err)
		}
		got := make([]byte, n*len("+OK\r\n"))
		if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("+OK\r\n"), n)) {
			return fmt.Errorf("fill Redis: %w: %.40q", err, got)
		}
	}
	return nil
}

// redisGet appends the question for a VM's value.
func (w *world) redisGet(buf []byte, agent int) []byte {
	buf = append(buf, "*2\r\n$3\r\nGET\r\n$36\r\n"...)
	return append(appendID(buf, &w.bios[agent]), "\r\n"...)
}
