package inventory

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/svmgate/svmgate/store"
)

// An Item is one record of an inventory: exactly one of Tenant, SVM, VM and Err
// is not nil.
type Item struct {
	Line   int     `json:"-"` // where the record starts; 0 if it comes from no file
	Tenant *Tenant `json:"tenant,omitempty"`
	SVM    *SVM    `json:"svm,omitempty"`
	VM     *VM     `json:"vm,omitempty"`

	// Err says why the record can not be used.
	Err *Error `json:"-"`
}

// A Tenant is what an inventory says of a tenant. A nil field says nothing.
type Tenant struct {
	ID             store.TenantID      `json:"id,omitzero"` // zero: known by its name
	Name           *string             `json:"name,omitempty"`
	Description    *string             `json:"description,omitempty"`
	Type           *store.TenantType   `json:"type,omitempty"`
	Status         *store.TenantStatus `json:"status,omitempty"` // counts on creation only
	UserData       *string             `json:"userData,omitempty"`
	Subnets        *[]string           `json:"subnets,omitempty"`
	Discovery      *Discovery          `json:"discovery,omitempty"`
	Administration *Administration     `json:"administration,omitempty"`
}

// Discovery is what an inventory says of a tenant's discovery settings.
type Discovery struct {
	Algorithm    *store.Algorithm `json:"algorithm,omitempty"`
	Path         *store.PathLevel `json:"path,omitempty"`
	Load         *store.Load      `json:"load,omitempty"`
	Tag          *string          `json:"tag,omitempty"`
	Protection   *bool            `json:"protection,omitempty"`
	AgentVersion *string          `json:"agentVersion,omitempty"`
	Locked       *bool            `json:"locked,omitempty"`
}

// Administration is what an inventory says of a tenant's virtual Administration
// Server.
type Administration struct {
	Server  *string `json:"server,omitempty"`
	Address *string `json:"address,omitempty"`
	User    *string `json:"user,omitempty"`
}

// An SVM is what an inventory says of an SVM. A nil field says nothing.
type SVM struct {
	ID   store.SVMID `json:"id,omitzero"` // zero: known by its name
	Name *string     `json:"name,omitempty"`

	// Configured, like Name.
	Address  *string         `json:"address,omitempty"`
	Tags     *[]string       `json:"tags,omitempty"`
	Tenants  *[]TenantRef    `json:"tenants,omitempty"`
	Capacity *int            `json:"capacity,omitempty"`
	HardCap  *int            `json:"hardCap,omitempty"`
	Pinned   *bool           `json:"pinned,omitempty"`
	State    *store.SVMState `json:"state,omitempty"` // counts on creation only

	// Observed: a record with any of these counts as a report of the SVM.
	Version          *string            `json:"version,omitempty"`
	Platform         *store.Platform    `json:"platform,omitempty"`
	Path             *Path              `json:"path,omitempty"`
	LargeInfra       *bool              `json:"largeInfrastructure,omitempty"`
	License          *License           `json:"license,omitempty"`
	Encryption       *bool              `json:"encryption,omitempty"`
	AllowUnprotected *bool              `json:"allowUnprotected,omitempty"`
	Kinds            *[]store.AgentKind `json:"kinds,omitempty"`
	ConnectedAgents  *int               `json:"connectedAgents,omitempty"`
}

// License is what an inventory says of an SVM's licence.
type License struct {
	State   *store.LicenseState   `json:"state,omitempty"`
	Key     *store.KeyType        `json:"key,omitempty"`
	Edition *store.LicenseEdition `json:"edition,omitempty"`
	Expires *store.Time           `json:"expires,omitempty"`
}

// Path is what an inventory says of where a machine runs.
type Path struct {
	Host    *string `json:"host,omitempty"`
	Cluster *string `json:"cluster,omitempty"`
	Zone    *string `json:"zone,omitempty"`
}

// A VM is what an inventory says of a VM. A nil field says nothing.
type VM struct {
	BIOS     store.BIOSID     `json:"biosId"`
	ID       store.VMID       `json:"id,omitzero"` // zero: kept, or made
	Tenant   *TenantRef       `json:"tenant,omitempty"`
	Name     *string          `json:"name,omitempty"`
	UserData *string          `json:"userData,omitempty"`
	OS       *store.GuestOS   `json:"os,omitempty"`
	Kind     *store.AgentKind `json:"kind,omitempty"`
	Version  *string          `json:"version,omitempty"`
	Path     *Path            `json:"path,omitempty"`
}

// A TenantRef refers to a tenant by id or, if that is zero, by name. The zero
// TenantRef is no tenant.
type TenantRef struct {
	ID   store.TenantID
	Name string
}

// ParseTenantRef reads an id if s is one, and otherwise a name. The empty text
// is no tenant.
func ParseTenantRef(s string) TenantRef {
	if len(s) >= 32 { // digits of an id
		if id, err := store.ParseTenantID(s); err == nil && !id.IsZero() {
			return TenantRef{ID: id}
		}
	}
	return TenantRef{Name: s}
}

// IsZero reports whether r is no tenant.
func (r TenantRef) IsZero() bool { return r == TenantRef{} }

func (r TenantRef) String() string {
	if r.ID.IsZero() {
		return r.Name
	}
	return r.ID.String()
}

// MarshalText writes what [ParseTenantRef] reads.
func (r TenantRef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// An Error says what is wrong with a record or a document.
type Error struct {
	Line   int    // 0 if unknown
	Field  string // such as "vm.path.host"; empty if no field is to blame
	Reason string // what is wrong and what is allowed
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.text()
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.text())
}

// text is the error without its line, for a [Refusal] that has its own.
func (e *Error) text() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// namespace is that of ids derived from names: the version 5 UUID (RFC 9562) of
// "svmgate.inventory" in the namespace of DNS names.
var namespace = uuid.NewSHA1(uuid.NameSpaceDNS, []byte("svmgate.inventory"))

// DerivedID is an id that every gateway and every run derives alike from what
// something is known by: the version 5 UUID of kind, a colon and name, in the
// namespace 13c378b5-4e70-5004-95d6-28997d7b1b42.
func DerivedID(kind, name string) [16]byte {
	return uuid.NewSHA1(namespace, []byte(kind+":"+name))
}

// TenantIDOf is the id of a tenant that an inventory knows by name only: the
// [DerivedID] of kind "tenant".
func TenantIDOf(name string) store.TenantID { return DerivedID("tenant", name) }

// SVMIDOf is the id of an SVM that an inventory knows by name only: the
// [DerivedID] of kind "svm".
func SVMIDOf(name string) store.SVMID { return DerivedID("svm", name) }
