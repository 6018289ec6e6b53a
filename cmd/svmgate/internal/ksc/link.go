package ksc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// A link is one connection to a KSC, and the session on it: of the main server or of one
// of its virtual servers. A goroutine at a time may use it, so there is one call at a
// time on a connection. A connection that is lost is opened anew by the next call.
type link struct {
	center  *center
	virtual string // KLVSRV_UID of the virtual server; empty: the main server

	transport *http.Transport
	client    http.Client
	session   string      // empty: none yet, or refused
	secrets   []secret    // what it sends and nobody else may see
	bound     atomic.Bool // an action is under way: another connection is of no use
}

// errMoved is why a link that is bound opens no other connection.
var errMoved = errors.New("the connection that began the action is gone")

func newLink(c *center, virtual string) *link {
	l := &link{center: c, virtual: virtual}
	l.hide(secret(c.account.Password))
	dialer := net.Dialer{Timeout: c.cfg.Timeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // on HTTP/2 a connection has many calls at a time
	l.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if l.bound.Load() {
				return nil, errMoved
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:     c.tls,
		TLSHandshakeTimeout: c.cfg.Timeout,
		Protocols:           protocols,
		MaxConnsPerHost:     1,
		MaxIdleConnsPerHost: 1,
		DisableCompression:  true, // a bound on what is read is one on what is in memory
	}
	l.client = http.Client{
		Transport: l.transport,
		// Nobody sends us, or our password, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return l
}

// call asks KSC once. It opens a session if there is none, and another if KSC no longer
// knows the one there is: KSC refused the call then, so it is safe to ask again. Errors
// are [*Error], [ErrUnreachable] or [ErrCredentials], or that of ctx.
func (l *link) call(ctx context.Context, method string, in, out any) error {
	for range 2 {
		if err := l.login(ctx); err != nil {
			return err
		}
		header := http.Header{"X-KSC-Session": {l.session}}
		err := l.post(ctx, method, header, in, out)
		if !errors.Is(err, errSession) {
			return err
		}
		l.session = ""
	}
	return fmt.Errorf("%w: %s: %s: a session is refused right after it began", ErrCredentials, l.center.url, method)
}

// errSession is KSC's answer to a session that it does not know, or no longer.
var errSession = errors.New("session refused")

// login begins a session if there is none.
func (l *link) login(ctx context.Context) error {
	if l.session != "" {
		return nil
	}
	account := &l.center.account
	header := http.Header{"Authorization": {account.authorization()}}
	if l.virtual != "" {
		header["X-KSC-VServer"] = []string{base64.StdEncoding.EncodeToString([]byte(l.virtual))}
	}
	var session value[string]
	err := l.post(ctx, "Session.StartSession", header, nil, &session)
	var no *Error
	switch {
	case errors.Is(err, errSession), errors.As(err, &no) && no.Module == "KLWAT":
		where := l.center.url
		if l.virtual != "" {
			where += ", virtual server " + l.virtual
		}
		return fmt.Errorf("%w: %s: account %q: see that it exists there, with the rights of a main administrator, and that its password is right",
			ErrCredentials, where, account.User)
	case err != nil:
		return err
	case session.V == "":
		return &lostError{method: "Session.StartSession", cause: errNotUnderstood}
	}
	l.session = session.V
	return nil
}

// authorization is what Session.StartSession is told.
func (a *Account) authorization() string {
	encode := base64.StdEncoding.EncodeToString
	internal := "1"
	if a.Domain != "" {
		internal = "0"
	}
	return fmt.Sprintf(`KSCBasic user="%s", pass="%s", domain="%s", internal="%s"`,
		encode([]byte(a.User)), encode([]byte(a.Password)), encode([]byte(a.Domain)), internal)
}

// hide keeps a secret out of what KSC says from now on, as it is and as base64.
func (l *link) hide(s secret) {
	l.secrets = append(l.secrets, s, secret(base64.StdEncoding.EncodeToString([]byte(s))))
}

// post sends one request and reads its answer.
func (l *link) post(ctx context.Context, method string, header http.Header, in, out any) error {
	if in == nil {
		in = struct{}{}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("ksc: %s: %w", method, err)
	}
	limited, cancel := context.WithTimeout(ctx, l.center.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, l.center.url+"/api/v1.0/"+method, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ksc: %s: %w", method, err)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return lost(ctx, method, l.why(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20)
	}
	if err != nil {
		return lost(ctx, method, l.why(err))
	}
	return l.judge(ctx, method, resp.StatusCode, answer, out)
}

// judge makes an error, or a result, of an answer.
func (l *link) judge(ctx context.Context, method string, status int, answer []byte, out any) error {
	if status == http.StatusOK {
		err := decode(method, answer, out)
		if errors.Is(err, errNotUnderstood) {
			// Not the decoder's words: they may quote the answer, and so a secret.
			return lost(ctx, method, errNotUnderstood)
		}
		return l.struck(err)
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return errSession
	}
	if err := decode(method, answer, nil); refused(err) {
		return l.struck(err)
	}
	switch {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return lost(ctx, method, fmt.Errorf("HTTP status %d", status))
	}
	return &Error{Method: method, Module: "HTTP", Code: status, Message: strings.ToLower(http.StatusText(status))}
}

// struck removes secrets from what KSC said, before anything else of it is changed, and
// makes it fit to be told.
func (l *link) struck(err error) error {
	var no *Error
	if errors.As(err, &no) {
		no.Module, no.Message = plain(no.Module), plain(strike(no.Message, l.secrets...))
	}
	return err
}

// why names the KSC, and leaves out what net/http says besides.
func (l *link) why(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v", l.center.cfg.Timeout)
	}
	return fmt.Errorf("%s: %w", l.center.url, err)
}

// maxFarewell bounds the end of a session.
const maxFarewell = 5 * time.Second

// close ends the session, if that does not take long, and the connection.
func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), maxFarewell)
	defer cancel()
	if l.session != "" {
		header := http.Header{"X-KSC-Session": {l.session}}
		if err := l.post(ctx, "Session.EndSession", header, nil, nil); err != nil && !errors.Is(err, errSession) {
			// KSC ends it by itself some day.
			l.center.log.Debug("a session was not ended", "ksc", l.center.url, "error", err)
		}
		l.session = ""
	}
	l.transport.CloseIdleConnections()
}
