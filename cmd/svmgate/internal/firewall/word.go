package firewall

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Interface is the name of a network interface of the router, as Linux takes it and
// no rule misreads it.
type Interface string

var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)

// UnmarshalText takes 1 to 15 letters, digits, dots, hyphens and underscores.
func (i *Interface) UnmarshalText(text []byte) error {
	if !interfaceName.Match(text) {
		return fmt.Errorf("%q is not the name of an interface: want 1 to 15 letters, digits, dots, hyphens and underscores", text)
	}
	*i = Interface(text)
	return nil
}

// A Format is how advice is written.
type Format string

// Formats.
const (
	Nftables Format = "nftables" // for nft -f
	Iptables Format = "iptables" // a script for sh, which calls iptables and ip6tables
	JSON     Format = "json"
)

// UnmarshalText takes the word of a format.
func (f *Format) UnmarshalText(text []byte) error {
	switch g := Format(text); g {
	case Nftables, Iptables, JSON:
		*f = g
		return nil
	}
	return fmt.Errorf("%q is not one of nftables, iptables, json", text)
}

// Bounds of what comments hold.
const (
	maxQuoted = 64 // characters of a name
	maxNamed  = 10 // tenants or SVMs of one comment
)

// quoted is a name as a comment may hold it: printable ASCII on one line, and not endless.
func quoted(name string) string {
	if utf8.RuneCountInString(name) > maxQuoted {
		name = string([]rune(name)[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(name)
}

// some lists the first of many.
func some(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return strings.Join(names[:maxNamed], ", ") + fmt.Sprintf(", and %d more", more)
	}
	return strings.Join(names, ", ")
}

// figure writes a number of things: "1 tenant", "2 tenants".
func figure(n int, thing string) string { return strconv.Itoa(n) + " " + either(n, thing, thing+"s") }

// either returns the word for one thing, or that for another number of them.
func either(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
