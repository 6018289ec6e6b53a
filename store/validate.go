package store

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of fields. They are generous; their purpose is that nothing is endless.
const (
	maxName      = 256      // bytes of a name, a path level or an address
	maxText      = 64 << 10 // bytes of a description or of user data
	maxTag       = 128      // bytes of a tag
	maxArtifacts = 4 << 10
	maxList      = 1024      // elements of a list
	maxHash      = 1024      // bytes of an encoded password hash
	maxCapacity  = 1_000_000 // agents of one SVM
)

// Validate says what of a tenant's settings no table would take, as a [*FieldError].
// Whether the name is another tenant's only a table knows.
func (t *Tenant) Validate() error {
	row := t.row()
	return row.validate()
}

func (r *tenantRow) validate() error {
	if r.Name == "" {
		return fieldError("name", "", "must not be empty")
	}
	if err := cmp.Or(
		checkWord("type", r.Type, tenantTypes),
		checkWord("discovery.algorithm", r.Discovery.Algorithm, algorithms),
		checkWord("discovery.path", r.Discovery.Path, pathLevels),
		checkWord("discovery.load", r.Discovery.Load, loads),
	); err != nil {
		return err
	}
	for _, f := range []struct {
		name, value string
		most        int
	}{
		{"name", r.Name, maxName},
		{"description", r.Description, maxText},
		{"userData", r.UserData, maxText},
		{"discovery.tag", r.Discovery.Tag, maxTag},
		{"administration.server", r.Administration.Server, maxName},
		{"administration.address", r.Administration.Address, maxName},
		{"administration.user", r.Administration.User, maxName},
		{"administration.integrationServer", r.Administration.IntegrationServer, maxName},
		{"administration.artifacts", r.Administration.Artifacts, maxArtifacts},
	} {
		if err := checkText(f.name, f.value, f.most); err != nil {
			return err
		}
	}
	if err := checkCount("subnets", len(r.Subnets)); err != nil {
		return err
	}
	for _, s := range r.Subnets {
		if _, err := netip.ParsePrefix(s); err != nil {
			return fieldError("subnets", s, "must be networks in CIDR notation, such as 10.1.0.0/16")
		}
	}
	return checkVersion("discovery.agentVersion", r.Discovery.AgentVersion)
}

func (r *svmConfigRow) validate() error {
	if err := checkText("name", r.Name, maxName); err != nil {
		return err
	}
	if !validAddress(r.Address) {
		return fieldError("address", r.Address, "must be an IP address or a host name")
	}
	if err := checkCount("tags", len(r.Tags)); err != nil {
		return err
	}
	for _, tag := range r.Tags {
		if tag == "" {
			return fieldError("tags", tag, "a tag must not be empty")
		}
		if err := checkText("tags", tag, maxTag); err != nil {
			return err
		}
	}
	if err := checkCount("tenants", len(r.Tenants)); err != nil {
		return err
	}
	if slices.Contains(r.Tenants, TenantID{}) {
		return fieldError("tenants", "", "must be ids of tenants")
	}
	return cmp.Or(
		checkRange("capacity", r.Capacity),
		checkRange("hardCap", r.HardCap),
		checkWord("state", r.Wanted, svmStates),
	)
}

func validateReport(f *SVMFacts, connected int) error {
	if err := cmp.Or(
		checkRange("connectedAgents", connected),
		checkTime("license.expires", f.License.Expires),
	); err != nil {
		return err
	}
	if err := checkText("version", f.Version, maxName); err != nil {
		return err
	}
	if err := checkCount("kinds", len(f.Kinds)); err != nil {
		return err
	}
	for _, k := range f.Kinds {
		if k != AgentLinux && k != AgentWindows {
			return fieldError("kinds", k.String(), "must be linux or windows")
		}
	}
	return cmp.Or(
		checkWord("platform", f.Platform, platforms),
		checkWord("license.state", f.License.State, licenseStates),
		checkWord("license.key", f.License.Key, keyTypes),
		checkWord("license.edition", f.License.Edition, editions),
		checkPath(f.Path),
	)
}

func validateVM(vm *VM) error {
	if vm.BIOS.IsZero() {
		return fieldError("biosId", "", "must not be empty")
	}
	if err := checkText("name", vm.Name, maxName); err != nil {
		return err
	}
	if err := checkText("userData", vm.UserData, maxText); err != nil {
		return err
	}
	if err := checkText("version", vm.Version, maxName); err != nil {
		return err
	}
	return cmp.Or(checkWord("os", vm.OS, guestOSes), checkWord("kind", vm.Kind, agentKinds), checkPath(vm.Path))
}

func validateAccount(a *Account) error {
	if a.Name == "" || strings.ContainsRune(a.Name, ':') {
		return fieldError("name", a.Name, "must not be empty and must not contain a colon, which HTTP Basic can not carry")
	}
	if a.Hash == "" {
		return fieldError("password", "", "must not be empty")
	}
	if len(a.Hash) > maxHash { // which errors do not show
		return fieldError("password", "", "has a hash of %d bytes; at most %d are allowed", len(a.Hash), maxHash)
	}
	if err := checkWord("role", a.Role, roles); err != nil {
		return err
	}
	if err := checkCount("svms", len(a.SVMs)); err != nil {
		return err
	}
	return checkText("name", a.Name, maxName)
}

func checkPath(p Path) error {
	for _, f := range [][2]string{{"path.host", p.Host}, {"path.cluster", p.Cluster}, {"path.zone", p.Zone}} {
		if err := checkText(f[0], f[1], maxName); err != nil {
			return err
		}
	}
	return nil
}

func checkText(field, value string, most int) error {
	if len(value) > most {
		return fieldError(field, value, "is %d bytes long; at most %d are allowed", len(value), most)
	}
	if isPlain(value) { // nearly always
		return nil
	}
	if !utf8.ValidString(value) {
		return fieldError(field, value, "must be valid UTF-8")
	}
	if most < maxText && strings.ContainsFunc(value, unicode.IsControl) {
		return fieldError(field, value, "must not contain control characters")
	}
	return nil
}

// isPlain reports whether s is printable ASCII.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func checkCount(field string, n int) error {
	if n > maxList {
		return fieldError(field, "", "has %d elements; at most %d are allowed", n, maxList)
	}
	return nil
}

func checkRange(field string, n int) error {
	if n < 0 || n > maxCapacity {
		return fieldError(field, itoa(n), "must be 0 to %d", maxCapacity)
	}
	return nil
}

// checkWord refuses a value of an enumeration that has no word.
func checkWord[T ~uint8](field string, v T, names []string) error {
	if int(v) >= len(names) {
		return fieldError(field, itoa(int(v)), "must be one of %s", strings.Join(quoted(names), ", "))
	}
	return nil
}

func checkVersion(field, text string) error {
	if text == "" {
		return nil
	}
	if _, ok := ParseProductVersion(text); !ok {
		return fieldError(field, text, "must start with two numbers, such as 12.0")
	}
	return nil
}

// validAddress accepts IP addresses without zone and host names as of RFC 1123.
func validAddress(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() == ""
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool {
				return r != '-' && r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
			}) {
			return false
		}
	}
	return true
}

func checkTime(field string, t Time) error {
	if t.IsZero() {
		return nil
	}
	if y := t.Year(); y < 1971 || y > 9999 {
		return fieldError(field, t.Format(time.RFC3339), "must be a time after 1970")
	}
	return nil
}
