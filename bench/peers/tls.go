package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// host is the name in the certificate.
const host = "gateway.example"

// startTLS starts a gateway and fasthttp with the same certificate, and makes the rows
// of the groups with TLS.
func (l *lab) startTLS(ctx context.Context) error {
	if !wants(l.groups, "tls") && !wants(l.groups, "new") && !wants(l.groups, "resumed") {
		return nil
	}
	cert, key := filepath.Join(l.dir, "cert.pem"), filepath.Join(l.dir, "key.pem")
	roots, err := writeCertificate(cert, key)
	if err != nil {
		return err
	}
	gateway, err := l.gateway(ctx, "tls", "--agent-auth", "token", "--tls-cert", cert, "--tls-key", key)
	if err != nil {
		return err
	}
	fast, err := l.constant(ctx, "fasthttp", "-cert", cert, "-key", key)
	if err != nil {
		return err
	}
	for _, g := range []struct {
		word, name string
		mode       tlsMode
	}{{"tls", kept, keepAlive}, {"new", full, fullHandshake}, {"resumed", resumed, resumedHandshake}} {
		if !wants(l.groups, g.word) {
			continue
		}
		l.askTLS(g.name, "svmgate, token", l.version(), gateway, roots, g.mode, isAssigned)
		l.askTLS(g.name, "fasthttp, constant", moduleVersion("github.com/valyala/fasthttp"), fast, roots, g.mode, isSize(l.size))
	}
	return nil
}

// A tlsMode says when connections are made.
type tlsMode int

const (
	keepAlive        tlsMode = iota // once
	fullHandshake                   // for each question, as by a stranger
	resumedHandshake                // for each question, with the ticket of the one before
)

// newConns is how many connections are made at once.
const newConns = 16

// askTLS adds a row of a server that is asked over TLS.
func (l *lab) askTLS(group, name, version string, p *process, roots *x509.CertPool, mode tlsMode, right func([]byte) bool) {
	n := newConns
	if mode == keepAlive {
		n = plainConns
	}
	callers, clients := make([]func() error, n), make([]*tlsClient, n)
	for i := range clients {
		clients[i] = newTLSClient(p.addr.String(), mode, roots, l.world, httpAnswer(right), uint64(i))
		callers[i] = clients[i].call
	}
	l.rows = append(l.rows, &row{
		group: group, name: name, version: version, server: p, bytes: l.size, slice: together(callers),
		close: func() {
			for _, c := range clients {
				c.hangUp()
			}
		},
	})
}

// A tlsClient asks one question after the other.
type tlsClient struct {
	question
	addr        string
	mode        tlsMode
	config      *tls.Config
	next        func() int // who asks
	conn        *tls.Conn
	connections int
	out, in     []byte
}

func newTLSClient(addr string, mode tlsMode, roots *x509.CertPool, w *world, answered func([]byte) (int, error), seed uint64) *tlsClient {
	c := &tlsClient{
		question: question{ask: w.get, answered: answered}, addr: addr, mode: mode, next: w.random(seed), in: make([]byte, 4096),
		config: &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}},
	}
	if mode == resumedHandshake {
		c.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c
}

// endOfRequest is where the wish to close the connection goes.
var endOfRequest = []byte("\r\n\r\n")

func (c *tlsClient) call() error {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return err
		}
	}
	c.out = c.ask(c.out[:0], c.next())
	if c.mode != keepAlive {
		// The server closes, so that the client's port is free again at once.
		c.out = append(bytes.TrimSuffix(c.out, endOfRequest), "\r\nConnection: close\r\n\r\n"...)
		defer c.hangUp()
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	return c.read()
}

func (c *tlsClient) connect() error {
	raw, err := net.DialTimeout("tcp", c.addr, patience)
	if err != nil {
		return err
	}
	c.conn = tls.Client(raw, c.config)
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.conn.Handshake(); err != nil {
		return err
	}
	if got, want := c.conn.ConnectionState().DidResume, c.mode == resumedHandshake && c.connections > 0; got != want {
		return fmt.Errorf("TLS: resumed: %t, want %t", got, want)
	}
	c.connections++
	return nil
}

// read reads an answer, and what follows it if it is the last.
func (c *tlsClient) read() error {
	have := 0
	for {
		n, err := c.conn.Read(c.in[have:])
		have += n
		used, wrong := c.answered(c.in[:have])
		switch {
		case wrong != nil:
			return wrong
		case used == 0 && err != nil:
			return err
		case used == 0:
			continue
		case used < have:
			return errors.New("bytes behind the answer")
		}
		return nil
	}
}

func (c *tlsClient) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close() // the answer is here, whatever becomes of the connection
		c.conn = nil
	}
}

// writeCertificate writes a self-signed certificate with a P-256 key, and returns the
// pool that trusts it.
func writeCertificate(certFile, keyFile string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots, errors.Join(os.WriteFile(certFile, certPEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600))
}
