// Package ksctest is a KSC for tests: it speaks as much of KSC Open API over HTTPS as
// package ksc uses, keeps state, and holds its callers to the documented rules.
//
// What callers break is refused with PxgError and told by [KSC.Broken]: parameters that
// the reference does not name, an action that is asked for on another connection than
// the one that began it, or too early, a call without a session, permissions that lock
// the caller out. Display names of virtual servers are made unique, AddGroup returns the
// folder that exists, and names of accounts are unique over all servers, as documented.
//
// A [Fault] makes one call fail, and [KSC.OnCall] is told of each, before it is handled
// and before it is answered. Where the reference is silent, a field of [Config] chooses.
package ksctest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

// Config configures [Start]. The zero value of each field is fine.
type Config struct {
	// Addr is where to listen; if empty, a free port of loopback.
	Addr string

	// User and Password are the account that may do everything: "gateway" and
	// "gateway-secret" if empty.
	User, Password string

	// Limit bounds the virtual servers: 500 if zero.
	Limit int

	// ActionTime is how long an action takes, and CheckDelay what its caller has to wait
	// between two checks, in whole milliseconds; 2 ms if zero.
	ActionTime, CheckDelay time.Duration

	// ActionsDie says that an action is given up when its connection is lost. If not, it
	// goes on, and nobody can ask for it any more.
	ActionsDie bool

	// UsersStay says that accounts outlive their virtual server.
	UsersStay bool

	// OnlyName says that of a virtual server nothing but its display name can be changed.
	OnlyName bool
}

// A KSC runs until Close. Its methods may be called at any time, by several goroutines.
type KSC struct {
	cfg    Config
	url    string
	ca     []byte
	signer []byte
	http   *http.Server
	ended  chan struct{} // closed when it no longer serves
	closed context.Context
	close  context.CancelFunc

	mu     sync.Mutex
	conns  map[net.Conn]*conn
	onCall func(n int, method, when string)
	faults []Fault
	calls  []string
	counts map[string]int // of calls, by method
	broken []string
	busy   int        // calls that are under way
	calm   *sync.Cond // told when busy is 0
	state
}

// A conn is one connection.
type conn struct {
	lost   bool            // it is closed, or about to be
	doomed bool            // the next call on it is its end
	begun  map[string]bool // actions
}

type connKey struct{}

// Start starts a KSC with a certificate of its own, which signs for nobody.
func Start(cfg Config) (*KSC, error) {
	cfg.User, cfg.Password = cmp.Or(cfg.User, "gateway"), cmp.Or(cfg.Password, "gateway-secret")
	cfg.Limit, cfg.CheckDelay = cmp.Or(cfg.Limit, 500), cmp.Or(cfg.CheckDelay, 2*time.Millisecond)
	authority, err := tlstest.NewAuthority("nobody trusts me")
	if err != nil {
		return nil, err
	}
	cert, key, err := authority.Issue(tlstest.Leaf{Name: "ksc"})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cmp.Or(cfg.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	k := &KSC{
		cfg: cfg, ca: cert, signer: authority.PEM, url: "https://" + listener.Addr().String(), ended: make(chan struct{}),
		conns: map[net.Conn]*conn{}, counts: map[string]int{}, state: newState(),
	}
	k.calm = sync.NewCond(&k.mu)
	k.closed, k.close = context.WithCancel(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	k.http = &http.Server{
		Handler: k, ConnContext: k.connected, ConnState: k.connState, Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	go func() {
		defer close(k.ended)
		if err := k.http.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			k.breach("serving ended: %v", err)
		}
	}()
	return k, nil
}

// Close ends all connections, and returns when nothing is served any more.
func (k *KSC) Close() {
	k.close()
	_ = k.http.Close() // its error is that of a listener that is gone
	<-k.ended
}

// URL is where it listens, such as https://127.0.0.1:40001.
func (k *KSC) URL() string { return k.url }

// CA is its own certificate, in PEM.
func (k *KSC) CA() []byte { return slices.Clone(k.ca) }

// Authority is the certificate of who signed that, in PEM.
func (k *KSC) Authority() []byte { return slices.Clone(k.signer) }

// OnCall sets whom to tell of each call: before it is handled (when is "before") and when
// it has been handled and is about to be answered ("after"). n counts all calls from 1.
// Calls that a [Fault] keeps from being handled have no "after". fn may block, and call
// methods of k; nil tells nobody.
func (k *KSC) OnCall(fn func(n int, method, when string)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.onCall = fn
}

// Inject adds faults.
func (k *KSC) Inject(faults ...Fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = append(k.faults, faults...)
}

// Heal removes all faults.
func (k *KSC) Heal() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = nil
}

// Wait returns when no call is under way. A call goes on when its caller is gone; a test
// that kills its caller waits before it looks.
func (k *KSC) Wait() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.busy > 0 {
		k.calm.Wait()
	}
}

// Calls returns the methods that were called, in order.
func (k *KSC) Calls() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.calls)
}

// Broken returns the documented rules that callers broke.
func (k *KSC) Broken() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.broken)
}

func (k *KSC) breach(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.breachLocked(format, args...)
}

func (k *KSC) breachLocked(format string, args ...any) {
	k.broken = append(k.broken, fmt.Sprintf(format, args...))
}

func (k *KSC) connected(ctx context.Context, c net.Conn) context.Context {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := &conn{begun: map[string]bool{}}
	k.conns[c] = known
	return context.WithValue(ctx, connKey{}, known)
}

func (k *KSC) connState(c net.Conn, now http.ConnState) {
	if now != http.StateClosed {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.conns[c]; known != nil {
		known.lost = true
		delete(k.conns, c)
	}
}
