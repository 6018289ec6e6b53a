package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"

	"github.com/valyala/fasthttp"
)

// Servers that answer whatever they are asked with the same bytes: how fast their
// libraries are when nothing is to be done. They have no settings but those that are
// given here.
var constants = map[string]func(l net.Listener, body []byte) error{
	"fasthttp": func(l net.Listener, body []byte) error {
		s := fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("application/json")
			ctx.Response.SetBodyRaw(body) // without a copy: it is the fastest that there is
		}}
		return s.Serve(l)
	},
	"net/http": func(l net.Listener, body []byte) error {
		s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body) // a client that is gone needs no answer
		})}
		return s.Serve(l)
	},
}

// serveConstant runs one of them until it is killed. With a certificate, it speaks
// TLS.
func serveConstant(name, addr string, size int, cert, key string) error {
	serve := constants[name]
	if serve == nil {
		return fmt.Errorf("there is no server %q", name)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if cert != "" {
		if l, err = withTLS(l, cert, key); err != nil {
			return err
		}
	}
	return serve(l, constantBody(size))
}

// withTLS is a listener with the settings of a gateway's agent plane.
func withTLS(l net.Listener, cert, key string) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{pair},
	}), nil
}

// constantBody is JSON of the size.
func constantBody(size int) []byte {
	const head, foot = `{"result":"`, `"}`
	return []byte(head + string(bytes.Repeat([]byte("x"), max(0, size-len(head)-len(foot)))) + foot)
}
