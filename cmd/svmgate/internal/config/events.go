package config

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// A SyslogServer is where events-syslog sends events. The zero value is nowhere.
type SyslogServer struct {
	Network string // udp, tcp, tls or unix
	Address string // HOST:PORT, or the path of a socket
}

const (
	wantSyslog  = "udp://HOST[:514], tcp://HOST[:601], tls://HOST[:6514] or unix:///PATH, such as unix:///dev/log; or nothing"
	wantWebhook = "https://HOST[:PORT][/PATH] or http://…, or nothing"
)

var errSecretInURL = errors.New("a name or a password does not belong into a URL: sign requests with --events-webhook-secret-file")

// syslogPorts are those that the protocols have been given (RFC 5426, 6587, 5425).
var syslogPorts = map[string]string{"udp": "514", "tcp": "601", "tls": "6514"}

func syslogServer(c *Config, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errNotAllowed
	}
	if u.Scheme == "unix" {
		if u.Host != "" || !path.IsAbs(u.Path) || u.Path == "/" {
			return errNotAllowed
		}
		c.EventsSyslog = SyslogServer{"unix", u.Path}
		return nil
	}
	port, known := syslogPorts[u.Scheme]
	if given := u.Port(); given != "" {
		port = given
	}
	if !known || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || !isPort(port) {
		return errNotAllowed
	}
	c.EventsSyslog = SyslogServer{u.Scheme, net.JoinHostPort(u.Hostname(), port)}
	return nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// webhook reads a URL, of which a part may be secret: no error shows it.
func webhook(c *Config, s string) error {
	s = strings.TrimSpace(s)
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Fragment != "":
		return errNotAllowed
	case u.User != nil:
		return errSecretInURL
	case u.Port() != "" && !isPort(u.Port()):
		return errNotAllowed
	}
	c.EventsWebhook = s
	return nil
}

// checkEvents holds the rules of where events go.
func (e *Effective) checkEvents(fail func(*Error)) {
	hook, _ := url.Parse(e.EventsWebhook)
	if e.EventsWebhookSecretFile != "" && e.EventsWebhook == "" {
		fail(e.wrong("events-webhook-secret-file", "needs --events-webhook: there is nothing to sign"))
	}
	if e.EventsCA != "" && e.EventsSyslog.Network != "tls" && hook.Scheme != "https" {
		fail(e.wrong("events-ca", "needs --events-webhook with https or --events-syslog with tls"))
	}
	if hook.Scheme == "http" && !Loopback(net.JoinHostPort(hook.Hostname(), "80")) {
		e.warn("events-webhook sends events to another host without TLS: who did what, and from where, can be read along")
	}
}

// Bounds of the key of signatures, in bytes.
const (
	leastSecret = 16
	mostSecret  = 1024
)

// ReadSecret returns the contents of events-webhook-secret-file without white space
// around them. The file must be its owner's alone.
func ReadSecret(name string) ([]byte, error) {
	text, err := readOwned(name, "secret", 2*mostSecret)
	if err != nil {
		return nil, err
	}
	if text = bytes.TrimSpace(text); len(text) < leastSecret || len(text) > mostSecret {
		return nil, fmt.Errorf("has %d bytes; want a secret of %d to %d, such as that of `openssl rand -hex 32`", len(text), leastSecret, mostSecret)
	}
	return text, nil
}
