package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// The parse functions of [Table]. Their error is nil or errNotAllowed, to which
// the caller adds key, value, place and what is allowed; or one that says more.

var errNotAllowed = errors.New("not allowed")

const (
	wantAddress  = "HOST:PORT, where HOST is an IP address, localhost, or empty for every address of this host"
	wantPrefixes = "networks such as 10.0.0.0/8, or addresses"
)

func address(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return errNotAllowed
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errNotAllowed
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
			return errNotAllowed
		}
		*field(c) = s
		return nil
	}
}

// Loopback reports whether addr, which is HOST:PORT, can be reached from this
// host alone.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func text(field func(*Config) *string, mayBeEmpty bool) func(*Config, string) error {
	return func(c *Config, s string) error {
		if s == "" && !mayBeEmpty || strings.ContainsRune(s, 0) {
			return errNotAllowed
		}
		*field(c) = s
		return nil
	}
}

func oneOf(field func(*Config) *string, words ...string) func(*Config, string) error {
	return func(c *Config, s string) error {
		if !slices.Contains(words, s) {
			return errNotAllowed
		}
		*field(c) = s
		return nil
	}
}

// optional lets a setting be empty.
func optional(parse func(*Config, string) error) func(*Config, string) error {
	return func(c *Config, s string) error {
		if s == "" {
			return nil
		}
		return parse(c, s)
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, s string) error {
		if s != "true" && s != "false" {
			return errNotAllowed
		}
		*field(c) = s == "true"
		return nil
	}
}

func someOf(field func(*Config) *[]string, words ...string) func(*Config, string) error {
	return func(c *Config, s string) error {
		items := list(s)
		for _, item := range items {
			if !slices.Contains(words, item) {
				return errNotAllowed
			}
		}
		*field(c) = items
		return nil
	}
}

// list splits at commas; the empty text is the empty list.
func list(s string) []string {
	var items []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func prefixes(field func(*Config) *[]netip.Prefix) func(*Config, string) error {
	return func(c *Config, s string) error {
		var out []netip.Prefix
		for _, item := range list(s) {
			p, err := netip.ParsePrefix(item)
			if err != nil {
				a, err := netip.ParseAddr(item)
				if err != nil || a.Zone() != "" {
					return errNotAllowed
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			if p.Masked() != p {
				return fmt.Errorf("%s has bits beyond its length; did you mean %s?", item, p.Masked())
			}
			out = append(out, p)
		}
		*field(c) = out
		return nil
	}
}

func wantDuration(least, most string) string {
	return "a duration from " + least + " to " + most + ", such as 90s, 15m or 24h"
}

func duration(field func(*Config) *time.Duration, least, most string) func(*Config, string) error {
	lo, err1 := time.ParseDuration(least)
	hi, err2 := time.ParseDuration(most)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	return func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < lo || d > hi {
			return errNotAllowed
		}
		*field(c) = d
		return nil
	}
}

func wantCount(least, most int) string { return fmt.Sprintf("a number from %d to %d", least, most) }

func count(field func(*Config) *int, least, most int) func(*Config, string) error {
	return func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return errNotAllowed
		}
		*field(c) = n
		return nil
	}
}

var nodeNames = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

func nodeName(c *Config, s string) error {
	if s == "" {
		host, err := os.Hostname()
		if err != nil || !nodeNames.MatchString(host) {
			host = "local"
		}
		s = host
	}
	if !nodeNames.MatchString(s) {
		return errNotAllowed
	}
	c.NodeName = s
	return nil
}

func unregistered(c *Config, s string) error {
	switch s {
	case "deny":
		c.Unregistered = discovery.Deny
	case "serve":
		c.Unregistered = discovery.Serve
	default:
		return errNotAllowed
	}
	return nil
}

func svmProbe(c *Config, s string) error {
	port, ok := strings.CutPrefix(s, "tcp:")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 {
		return errNotAllowed
	}
	c.SVMProbe = int(n)
	return nil
}

func admissionRate(c *Config, s string) error {
	rate, err := strconv.ParseFloat(s, 64)
	if err != nil || rate != 0 && !(rate >= 0.01 && rate <= 1_000_000) { // and not NaN
		return errNotAllowed
	}
	c.AdmissionRate = rate
	return nil
}

func ipAddress(c *Config, s string) error {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return errNotAllowed
	}
	c.DeadAddress = a.String()
	return nil
}

func locality(c *Config, s string) error {
	if s == store.PathIgnore.String() || c.OpenStackLocality.UnmarshalText([]byte(s)) != nil {
		return errNotAllowed
	}
	return nil
}

func matrix(c *Config, s string) error {
	c.Matrix = nil
	for _, pair := range list(s) {
		left, right, _ := strings.Cut(pair, "=")
		agent, ok1 := store.ParseProductVersion(strings.TrimSpace(left))
		svm, ok2 := store.ParseProductVersion(strings.TrimSpace(right))
		if !ok1 || !ok2 {
			return fmt.Errorf("%q is not a pair of versions", pair)
		}
		if c.Matrix == nil {
			c.Matrix = discovery.Matrix{}
		}
		c.Matrix[agent] = append(c.Matrix[agent], svm)
	}
	return nil
}

// sizes are in falling order, so that the unit is the longest that fits.
var sizes = []struct {
	unit  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func importLimit(c *Config, s string) error {
	for _, size := range sizes {
		digits, ok := strings.CutSuffix(s, size.unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > 1<<40/size.bytes || n*size.bytes < 1<<10 {
			return errNotAllowed
		}
		c.ImportLimit = n * size.bytes
		return nil
	}
	return errNotAllowed
}

func logLevel(c *Config, s string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[s]
	if !ok {
		return errNotAllowed
	}
	c.LogLevel = level
	return nil
}

func adminPassword(c *Config, s string) error {
	if len(s) > 1024 {
		return errNotAllowed
	}
	c.AdminPassword = s
	return nil
}
