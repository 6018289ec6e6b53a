package store

import (
	"fmt"
	"strings"
)

// TenantType says whether a tenant can be switched off.
type TenantType uint8

// Tenant types. The zero value is Complete.
const (
	Complete TenantType = iota
	Simple
)

// TenantStatus is whether a complete tenant is protected.
type TenantStatus uint8

// Tenant statuses. The zero value is Inactive.
const (
	Inactive TenantStatus = iota
	Active
)

// Algorithm is how locality counts in the choice of an SVM.
type Algorithm uint8

// Algorithms: Standard prefers local SVMs, Extended admits none outside the
// path level. The zero value is Standard.
const (
	Standard Algorithm = iota
	Extended
)

// PathLevel is the level of a [Path] that the extended algorithm compares.
type PathLevel uint8

// Path levels. The zero value is PathHost.
const (
	PathHost PathLevel = iota
	PathCluster
	PathZone
	PathIgnore
)

// Load is how agents spread over equally good SVMs.
type Load uint8

// Load rules: Balanced is weighted rendezvous hashing, Fewest the vendor's
// documented rule. The zero value is Balanced.
const (
	Balanced Load = iota
	Fewest
)

// Platform names what the levels of a path mean.
type Platform uint8

// Platforms. The zero value is Hypervisor.
const (
	Hypervisor Platform = iota
	OpenStack
)

// LicenseState is the state of a licence key.
type LicenseState uint8

// Licence states. The zero value is LicenseNone: no key added.
const (
	LicenseNone LicenseState = iota
	LicenseValid
	LicenseExpired
	LicenseDenied
)

// KeyType is what a licence key counts.
type KeyType uint8

// Key types. The zero value is KeyCore, which also stands for keys per CPU.
const (
	KeyCore KeyType = iota
	KeyServer
	KeyDesktop
)

// LicenseEdition is the edition a licence is for.
type LicenseEdition uint8

// Licence editions. The zero value is EditionStandard.
const (
	EditionStandard LicenseEdition = iota
	EditionEnterprise
)

// SVMState is whether an SVM takes agents.
type SVMState uint8

// SVM states. The zero value is Ready.
const (
	Ready SVMState = iota
	Draining
	Down
	Suspect
)

// GuestOS is the guest class that licence keys distinguish.
type GuestOS uint8

// Guest classes. The zero value is OSUnknown.
const (
	OSUnknown GuestOS = iota
	OSServer
	OSDesktop
)

// AgentKind is the product family of an agent.
type AgentKind uint8

// Agent kinds. The zero value is AgentUnknown.
const (
	AgentUnknown AgentKind = iota
	AgentLinux
	AgentWindows
)

// Role is what an account may do.
type Role uint8

// Roles. The zero value is RoleViewer.
const (
	RoleViewer       Role = iota // every GET of the management API
	RoleSVM                      // its own SVMs' reports
	RoleMultitenancy             // the Integration Server's XML API
	RoleAdmin                    // everything
)

var (
	tenantTypes   = []string{"complete", "simple"}
	tenantStates  = []string{"inactive", "active"}
	algorithms    = []string{"standard", "extended"}
	pathLevels    = []string{"host", "cluster", "zone", "ignore"}
	loads         = []string{"balanced", "fewest"}
	platforms     = []string{"hypervisor", "openstack"}
	licenseStates = []string{"none", "valid", "expired", "denied"}
	keyTypes      = []string{"core", "server", "desktop"}
	editions      = []string{"standard", "enterprise"}
	svmStates     = []string{"ready", "draining", "down", "suspect"}
	guestOSes     = []string{"", "server", "desktop"}
	agentKinds    = []string{"", "linux", "windows"}
	roles         = []string{"viewer", "svm", "multitenancy", "admin"}
)

func (v TenantType) String() string     { return enumString(v, tenantTypes) }
func (v TenantStatus) String() string   { return enumString(v, tenantStates) }
func (v Algorithm) String() string      { return enumString(v, algorithms) }
func (v PathLevel) String() string      { return enumString(v, pathLevels) }
func (v Load) String() string           { return enumString(v, loads) }
func (v Platform) String() string       { return enumString(v, platforms) }
func (v LicenseState) String() string   { return enumString(v, licenseStates) }
func (v KeyType) String() string        { return enumString(v, keyTypes) }
func (v LicenseEdition) String() string { return enumString(v, editions) }
func (v SVMState) String() string       { return enumString(v, svmStates) }
func (v GuestOS) String() string        { return enumString(v, guestOSes) }
func (v AgentKind) String() string      { return enumString(v, agentKinds) }
func (v Role) String() string           { return enumString(v, roles) }

// The MarshalText methods write the words of the contract; UnmarshalText
// accepts exactly those and otherwise names the value and what is allowed.

func (v TenantType) MarshalText() ([]byte, error)     { return []byte(v.String()), nil }
func (v TenantStatus) MarshalText() ([]byte, error)   { return []byte(v.String()), nil }
func (v Algorithm) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }
func (v PathLevel) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }
func (v Load) MarshalText() ([]byte, error)           { return []byte(v.String()), nil }
func (v Platform) MarshalText() ([]byte, error)       { return []byte(v.String()), nil }
func (v LicenseState) MarshalText() ([]byte, error)   { return []byte(v.String()), nil }
func (v KeyType) MarshalText() ([]byte, error)        { return []byte(v.String()), nil }
func (v LicenseEdition) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
func (v SVMState) MarshalText() ([]byte, error)       { return []byte(v.String()), nil }
func (v GuestOS) MarshalText() ([]byte, error)        { return []byte(v.String()), nil }
func (v AgentKind) MarshalText() ([]byte, error)      { return []byte(v.String()), nil }
func (v Role) MarshalText() ([]byte, error)           { return []byte(v.String()), nil }

func (v *TenantType) UnmarshalText(b []byte) error     { return enumParse(v, b, tenantTypes) }
func (v *TenantStatus) UnmarshalText(b []byte) error   { return enumParse(v, b, tenantStates) }
func (v *Algorithm) UnmarshalText(b []byte) error      { return enumParse(v, b, algorithms) }
func (v *PathLevel) UnmarshalText(b []byte) error      { return enumParse(v, b, pathLevels) }
func (v *Load) UnmarshalText(b []byte) error           { return enumParse(v, b, loads) }
func (v *Platform) UnmarshalText(b []byte) error       { return enumParse(v, b, platforms) }
func (v *LicenseState) UnmarshalText(b []byte) error   { return enumParse(v, b, licenseStates) }
func (v *KeyType) UnmarshalText(b []byte) error        { return enumParse(v, b, keyTypes) }
func (v *LicenseEdition) UnmarshalText(b []byte) error { return enumParse(v, b, editions) }
func (v *SVMState) UnmarshalText(b []byte) error       { return enumParse(v, b, svmStates) }
func (v *GuestOS) UnmarshalText(b []byte) error        { return enumParse(v, b, guestOSes) }
func (v *AgentKind) UnmarshalText(b []byte) error      { return enumParse(v, b, agentKinds) }
func (v *Role) UnmarshalText(b []byte) error           { return enumParse(v, b, roles) }

func enumString[T ~uint8](v T, names []string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("invalid(%d)", uint8(v))
}

func enumParse[T ~uint8](v *T, text []byte, names []string) error {
	for i, name := range names {
		if string(text) == name {
			*v = T(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %s", text, strings.Join(quoted(names), ", "))
}

func quoted(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, fmt.Sprintf("%q", n))
	}
	return out
}
