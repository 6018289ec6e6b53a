package viis

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// Bounds of texts, in bytes: those of the table.
const (
	maxName = 256
	maxText = 64 << 10
	// maxPassword bounds a password in base64.
	maxPassword = 4 << 10
)

// ofAnswers are attributes that answers have and that bodies may have.
var ofAnswers = []string{"id", "created", "updated"}

// readTenant reads the body that a tenant is made from. White space at either end of a
// type, a password and an address means nothing; all other texts are taken as they were
// sent, but a name of white space is none.
//
// A tenant of no type is complete. A simple one needs no account, and one that is given
// is not used; nor is what only answers have, so that what was read can be sent.
func readTenant(body []byte) (n tenancy.NewTenant, address string, err error) {
	t := &n.Tenant
	t.Discovery = store.DefaultDiscovery()
	var kind, password, status string
	secret := leaf("password", &password, maxPassword)
	secret.secret = true
	root := &element{name: "tenant", ignored: ofAnswers, children: []*element{
		leaf("name", &t.Name, maxName),
		leaf("description", &t.Description, maxText),
		leaf("userData", &t.UserData, maxText),
		leaf("preferredViisAddress", &address, maxName),
		leaf("status", &status, maxName),
		leaf("type", &kind, maxName),
		{name: "vKsc", ignored: ofAnswers, children: []*element{
			{name: "user", children: []*element{leaf("name", &t.Administration.User, maxName), secret}},
		}},
	}}
	if err := readDocument(body, root); err != nil {
		return n, "", err
	}
	if strings.TrimSpace(t.Name) == "" {
		return n, "", bad("<tenant> must have a <name>")
	}
	if address = strings.TrimSpace(address); address != "" && !isAddress(address) {
		return n, "", bad("<preferredViisAddress> must be an IP address or a host name, with or without a port")
	}
	switch kind = strings.TrimSpace(kind); kind {
	case "Complete", "":
		t.Type = store.Complete
		n.Password, err = readAccount(t, password)
	case "Simple":
		t.Type, t.Administration.User = store.Simple, ""
	default:
		return n, "", bad("<type> is %q: want Complete or Simple", short(kind))
	}
	return n, address, err
}

// readAccount checks the account of a complete tenant's administrator. No error repeats
// the password.
func readAccount(t *store.Tenant, encoded string) ([]byte, error) {
	if strings.TrimSpace(t.Administration.User) == "" || strings.TrimSpace(encoded) == "" {
		return nil, bad("a complete tenant must have <vKsc><user> with the <name> and the <password> of its administrator; a simple one has <type>Simple</type>")
	}
	password, err := base64.StdEncoding.DecodeString(strings.Map(withoutSpace, encoded))
	if err != nil || len(password) == 0 {
		return nil, bad("<password> must be the password in base64")
	}
	return password, nil
}

// withoutSpace drops the white space that programs break base64 with.
func withoutSpace(c rune) rune {
	if strings.ContainsRune(" \t\r\n", c) {
		return -1
	}
	return c
}

// readVM reads the body that a VM is registered by.
func readVM(body []byte) (vm store.VM, err error) {
	var bios string
	root := &element{
		name:     "vm",
		attrs:    []attribute{{"biosId", &bios}},
		ignored:  ofAnswers,
		children: []*element{leaf("name", &vm.Name, maxName), leaf("userData", &vm.UserData, maxText)},
	}
	if err := readDocument(body, root); err != nil {
		return vm, err
	}
	if vm.BIOS, err = store.ParseBIOSID(strings.TrimSpace(bios)); err != nil || vm.BIOS.IsZero() {
		return vm, bad("attribute biosId of <vm> is %q: want a UUID that is not all zeros", short(bios))
	}
	return vm, nil
}

// isAddress reports whether s is an IP address or a host name, with or without a port:
// as the host in a URL, or an IPv6 address without brackets.
func isAddress(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if _, err := netip.ParseAddrPort(s); err == nil {
		return true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && a.Is6() && strings.HasSuffix(inner, "]")
	}
	host, port, hasPort := strings.Cut(s, ":")
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0) {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label || strings.ContainsFunc(label, notInLabel) {
			return false
		}
	}
	return len(host) <= 253
}

func notInLabel(c rune) bool {
	return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
}
