package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how often [Files.Watch] looks whether files have changed.
const pollInterval = 2 * time.Second

// ClientAuth is what a plane asks of its clients' certificates.
type ClientAuth int

// What may be asked. Verification is against the authorities of [Paths].
const (
	NoClientCert  ClientAuth = iota
	VerifyIfGiven            // a certificate is optional, and verified
	Require                  // no certificate, no connection
	clientAuths
)

// Paths names the files. ClientCA may be empty where no plane asks for clients'
// certificates.
type Paths struct{ Cert, Key, ClientCA string }

// Files holds what was last read from the files. Its methods may be called from
// many goroutines.
type Files struct {
	paths Paths
	log   *slog.Logger

	mu      sync.Mutex // one reload at a time
	tried   stamps     // of the files that were last tried, well or not
	current atomic.Pointer[generation]

	issuers []issuer                // under mu
	tickets atomic.Pointer[tickets] // nil unless they are shared; its fields are under mu

	reloads, failures atomic.Uint64
	lastFailed        atomic.Bool
}

// A generation is what one reading of the files gave.
type generation struct {
	configs  [clientAuths]*tls.Config
	forgets  [clientAuths]*tls.Config // the same, without tickets
	notAfter time.Time
}

// Stats says how reloading went.
type Stats struct {
	Reloads    uint64    // successes, the first reading included
	Failures   uint64    // since the start
	LastFailed bool      // the files as they are now can not be used
	NotAfter   time.Time // when the certificate in use expires
}

// Open reads the files. The error names the file and what is wrong with it.
func Open(paths Paths, log *slog.Logger) (*Files, error) {
	f := &Files{paths: paths, log: log}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.reloadLocked(); err != nil {
		return nil, err
	}
	return f, nil
}

// Stats returns how reloading went so far.
func (f *Files) Stats() Stats {
	return Stats{
		Reloads: f.reloads.Load(), Failures: f.failures.Load(),
		LastFailed: f.lastFailed.Load(), NotAfter: f.current.Load().notAfter,
	}
}

// Reload reads the files now. On an error what was read before stays in use.
func (f *Files) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshLocked(time.Now())
	return f.reloadLocked()
}

func (f *Files) reloadLocked() error {
	// Before reading: a file that changes meanwhile looks changed next time.
	f.tried = f.stamps()
	next, err := load(f.paths, time.Now())
	if err != nil {
		f.failures.Add(1)
		f.lastFailed.Store(true)
		return err
	}
	f.current.Store(next)
	f.reloads.Add(1)
	f.lastFailed.Store(false)
	return nil
}

// Watch reads the files again whenever one changes, until ctx ends. It logs what
// it did; a file that stays bad is logged once.
func (f *Files) Watch(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.poll()
		}
	}
}

func (f *Files) poll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshLocked(time.Now())
	if f.stamps() == f.tried {
		return
	}
	if err := f.reloadLocked(); err != nil {
		f.log.Error("changed TLS files can not be used, the old ones stay in use", "reason", err.Error())
		return
	}
	f.log.Info("TLS files have changed and are in use", "expires", f.current.Load().notAfter)
}

// Config returns a configuration for a plane that always uses the files as last read. A
// session is resumed on the plane where it began only, whatever the files are by then;
// but if its client showed a certificate, only if that would be accepted now.
func (f *Files) Config(plane string, auth ClientAuth) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if c, ok := hello.Conn.(*gatedConn); ok {
				if err := c.enter(); err != nil {
					return nil, err
				}
			}
			now := f.current.Load()
			if f.tickets.Load() != nil && !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
				return now.forgets[auth], nil
			}
			return now.configs[auth], nil
		},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issuers = append(f.issuers, issuer{plane, c})
	if t := f.tickets.Load(); t != nil {
		c.SetSessionTicketKeys(t.keys(plane))
	}
	return c
}

// stamps tells two states of the files apart.
type stamps [3]stamp

func (f *Files) stamps() (s stamps) {
	for i, path := range []string{f.paths.Cert, f.paths.Key, f.paths.ClientCA} {
		if path == "" {
			continue
		}
		s[i] = stampOf(path)
	}
	return s
}

func load(paths Paths, now time.Time) (*generation, error) {
	pair, err := loadPair(paths.Cert, paths.Key, now)
	if err != nil {
		return nil, err
	}
	g := &generation{notAfter: pair.Leaf.NotAfter}
	var authorities *x509.CertPool
	if paths.ClientCA != "" {
		if authorities, err = loadAuthorities(paths.ClientCA); err != nil {
			return nil, err
		}
	}
	for auth := range clientAuths {
		c := &tls.Config{
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"http/1.1"},
			Certificates: []tls.Certificate{pair},
			// An empty pool rather than nil: nil would mean the system's.
			ClientCAs: x509.NewCertPool(),
		}
		if authorities != nil {
			c.ClientCAs = authorities
		}
		switch auth {
		case VerifyIfGiven:
			c.ClientAuth = tls.VerifyClientCertIfGiven
		case Require:
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
		g.configs[auth], g.forgets[auth] = c, c.Clone()
		g.forgets[auth].SessionTicketsDisabled = true
	}
	return g, nil
}

func loadPair(cert, key string, now time.Time) (tls.Certificate, error) {
	var pair tls.Certificate
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		return pair, fmt.Errorf("tls-cert: %w", err)
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		return pair, fmt.Errorf("tls-key: %w", err)
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return pair, fmt.Errorf("tls-cert %s and tls-key %s: %w", cert, key, err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return pair, fmt.Errorf("tls-cert %s: the certificate expired at %s", cert, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(pair.Leaf.NotBefore) {
		return pair, fmt.Errorf("tls-cert %s: the certificate is not valid before %s; is the clock of this host right?", cert, pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return pair, nil
}

func loadAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls-client-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls-client-ca %s: %w", path, errNoCertificate)
	}
	return pool, nil
}

var errNoCertificate = errors.New("the file has no PEM certificate")
