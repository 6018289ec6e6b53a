package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/svmgate/svmgate/store"
)

// SignatureHeader has the time at which a request was sent and the HMAC-SHA256 of that
// time, a point and the body, such as t=1763819911,v1=5257a869….
const SignatureHeader = "Svmgate-Signature"

// WebhookConfig configures a webhook. Only URL is required.
type WebhookConfig struct {
	URL string

	// Secret returns the key of signatures. It is asked before each request, so that the
	// key can be changed. If nil, requests are not signed.
	Secret func() ([]byte, error)

	// CA are the authorities of the server's certificate; if nil, those of this host.
	CA *x509.CertPool

	// Agent is how requests say where they come from.
	Agent string

	// Transport carries requests; a test has another.
	Transport http.RoundTripper
}

type webhook struct {
	cfg    WebhookConfig
	client *http.Client
}

// Webhook returns a target that posts events as a JSON array.
func Webhook(cfg WebhookConfig) Target {
	if cfg.Transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: cfg.CA, MinVersion: tls.VersionTLS12}
		cfg.Transport = transport
	}
	return &webhook{cfg: cfg, client: &http.Client{
		Transport: cfg.Transport,
		// A redirect would take events elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Name implements [Target].
func (w *webhook) Name() string { return "webhook" }

// Close implements [Target].
func (w *webhook) Close() error { w.client.CloseIdleConnections(); return nil }

// Deliver implements [Target]. When the server does not want what it was sent, each event
// is sent alone, so that only those are refused that are the reason.
func (w *webhook) Deliver(ctx context.Context, events []store.Event) (int, error) {
	err := w.post(ctx, events)
	var refused *RefusedError
	if err == nil {
		return len(events), nil
	}
	if !errors.As(err, &refused) || len(events) == 1 {
		return 0, err
	}
	for i := range events {
		if err := w.post(ctx, events[i:i+1]); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

func (w *webhook) post(ctx context.Context, events []store.Event) error {
	lines, err := appendJSON([]byte{'['}, events)
	if err != nil {
		return &RefusedError{err}
	}
	body := bytes.ReplaceAll(lines[:len(lines)-1], []byte{'\n'}, []byte{',', '\n'})
	body = append(body, ']', '\n')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.cfg.Agent)
	if w.cfg.Secret != nil {
		secret, err := w.cfg.Secret()
		if err != nil {
			return err
		}
		req.Header.Set(SignatureHeader, sign(secret, time.Now(), body))
	}
	resp, err := w.client.Do(req)
	var in *url.Error
	if errors.As(err, &in) {
		return in.Err // without the URL, of which a part may be secret
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be kept
	return verdict(resp)
}

func sign(secret []byte, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// refusals are the answers that are about what was sent. All others are about the server,
// or about who may send: they end when somebody mends that, and events wait until then.
var refusals = map[int]bool{
	http.StatusBadRequest: true, http.StatusConflict: true, http.StatusRequestEntityTooLarge: true,
	http.StatusUnsupportedMediaType: true, http.StatusUnprocessableEntity: true,
}

// verdict reads what an answer says of what was sent.
func verdict(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return nil
	case refusals[code]:
		return &RefusedError{fmt.Errorf("the server answers %s", resp.Status)}
	case code/100 == 3:
		return fmt.Errorf("the server answers %s; redirects are not followed", resp.Status)
	default:
		err := fmt.Errorf("the server answers %s", resp.Status)
		if after := retryAfter(resp.Header.Get("Retry-After")); after > 0 {
			return &LaterError{err, after}
		}
		return err
	}
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(text string) time.Duration {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}
