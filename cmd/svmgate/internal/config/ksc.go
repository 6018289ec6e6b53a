package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// kscPort is where Kaspersky Security Center serves its OpenAPI.
	kscPort = "13299"

	// maxKSC bounds ksc: at 500 virtual servers each, 64 have room for 32,000 tenants.
	maxKSC = 64

	wantKSC = "https://HOST[:" + kscPort + "], several with commas; none (virtual Administration Servers are recorded only); or nothing"
)

var errPasswordInURL = errors.New("a name or a password does not belong into a URL, which logs and the process list show: give --ksc-credentials")

// ksc reads none or URLs, which it brings into one form: Config.KSC is what others
// compare with.
func ksc(c *Config, s string) error {
	c.KSC, c.KSCNone = nil, s == "none"
	if c.KSCNone {
		return nil
	}
	if strings.Contains(s, "@") { // before it is split: there may be a comma in a password
		return errPasswordInURL
	}
	items := list(s)
	if len(items) > maxKSC {
		return fmt.Errorf("%d are more than %d", len(items), maxKSC)
	}
	for _, item := range items {
		address, err := kscURL(item)
		if err != nil {
			return err
		}
		if slices.Contains(c.KSC, address) {
			return fmt.Errorf("%s is named twice", address)
		}
		c.KSC = append(c.KSC, address)
	}
	return nil
}

// kscURL returns the one form of a KSC's URL: https://host:port, in lower case.
func kscURL(s string) (string, error) {
	if s == "none" {
		return "", errors.New("none stands alone")
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a URL", s)
	}
	switch {
	case u.Scheme == "http":
		return "", fmt.Errorf("%s is not encrypted: Kaspersky Security Center is called with TLS only", s)
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil:
		return "", fmt.Errorf("%q does not begin with https:// and a host", s)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("%s has more than a host and a port", s)
	}
	port := u.Port()
	if port == "" {
		port = kscPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%s has no port from 1 to 65535", s)
	}
	return "https://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port), nil
}

// checkKSC holds the rules of calling Kaspersky Security Center.
func (e *Effective) checkKSC(fail func(*Error)) {
	if len(e.KSC) > 0 {
		if e.KSCCredentials == "" {
			fail(e.wrong("ksc", "needs --ksc-credentials: a file with the accounts by which virtual Administration Servers are made"))
		}
		return
	}
	for _, name := range []string{"ksc-credentials", "ksc-ca"} {
		if e.value(name).Text != "" {
			fail(e.wrong(name, "needs --ksc with the URL of a Kaspersky Security Center"))
		}
	}
}

// authority is where URLs have names and passwords, and whatever is between them.
var authority = regexp.MustCompile(`(?s)://.*@`)

// withoutPasswords returns text as it may be shown, in case somebody wrote a password
// into a URL.
func withoutPasswords(text string) string {
	return authority.ReplaceAllLiteralString(text, "://"+redacted+"@")
}
