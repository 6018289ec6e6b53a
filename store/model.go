package store

import (
	"fmt"
	"time"
)

// A Tenant is a customer whose VMs are protected.
type Tenant struct {
	ID          TenantID `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`

	// Type says whether Status matters: a simple tenant is always protected.
	Type TenantType `json:"type"`

	// Status changes by activation and deactivation only, never by a write of
	// the settings. A new tenant is inactive.
	Status TenantStatus `json:"status"`

	UserData string `json:"userData"`

	// Subnets are the tenant's networks in CIDR notation, for firewall advice.
	// They identify nobody: tenants may use overlapping subnets.
	Subnets []string `json:"subnets"`

	Discovery      Discovery      `json:"discovery"`
	Administration Administration `json:"administration"`

	Created  Time   `json:"created"`
	Updated  Time   `json:"updated"`
	Revision uint64 `json:"revision"` // 53-bit fingerprint of settings and status
}

// Discovery is how a tenant's agents choose an SVM.
type Discovery struct {
	Algorithm Algorithm `json:"algorithm"`
	Path      PathLevel `json:"path"` // scope of the extended algorithm
	Load      Load      `json:"load"`

	// Tag, if not empty, restricts agents to SVMs that list it.
	Tag string `json:"tag"`

	// Protection restricts agents to SVMs with encryption on.
	Protection bool `json:"protection"`

	// AgentVersion stands in for agents whose version nobody told.
	AgentVersion string `json:"agentVersion"`

	// Locked makes a question's own tag, protection, algorithm and path
	// ineffective.
	Locked bool `json:"locked"`
}

// DefaultDiscovery is what a tenant has that says nothing, and what a
// registered VM without a tenant has.
func DefaultDiscovery() Discovery {
	return Discovery{Algorithm: Standard, Path: PathHost, Load: Balanced, Locked: true}
}

// Administration is the tenant's virtual Administration Server. A password is
// never part of it.
type Administration struct {
	Server  string `json:"server"`
	Address string `json:"address"`
	User    string `json:"user"`

	// IntegrationServer is where the tenant's agents and SVMs shall find the
	// Integration Server: a host, with a port if it is not the usual one.
	IntegrationServer string `json:"integrationServer,omitzero"`

	// Artifacts are what whoever made Server must know to remove all that came with it.
	// This package does not know what they are. They are nobody else's business, and no
	// secret.
	Artifacts string `json:"-"`
}

// An SVM is a secure virtual machine: the scan engine that agents connect to.
// [SVMConfig] is written by administrators, [SVMFacts] by the SVM's reports.
type SVM struct {
	ID SVMID `json:"id"`
	SVMConfig
	SVMFacts

	// ConnectedAgents is the count of the last report.
	ConnectedAgents int `json:"connectedAgents"`

	// State is what holds now. What an administrator wrote holds for pinned
	// SVMs; draining holds for all; ready and down otherwise follow reports.
	State SVMState `json:"state"`

	// Drain is how agents leave it while it is draining, and zero otherwise. Writers
	// do not set it: it begins with the state, and [Tx.DrainSVM] says how long it is.
	Drain Drain `json:"drain,omitzero"`

	// LastReport is when the last report came; zero if none did. It is not kept
	// over a restart.
	LastReport Time `json:"lastReport"`

	Revision uint64 `json:"-"` // 53-bit fingerprint of configuration and facts
}

// SVMConfig is the part of an SVM that administrators write.
type SVMConfig struct {
	Name     string     `json:"name"`
	Address  string     `json:"address"` // IP address or host name
	Tags     []string   `json:"tags"`    // if any, only agents with one of them are taken
	Tenants  []TenantID `json:"tenants"` // if any, only their agents are taken
	Capacity int        `json:"capacity"`
	HardCap  int        `json:"hardCap"` // agents; 0 means none
	Pinned   bool       `json:"pinned"`  // needs no reports
}

// SVMFacts is the part of an SVM that it reports itself.
type SVMFacts struct {
	Version          string      `json:"version"`
	Platform         Platform    `json:"platform"`
	Path             Path        `json:"path"`
	LargeInfra       bool        `json:"largeInfrastructure"`
	License          License     `json:"license"`
	Encryption       bool        `json:"encryption"`
	AllowUnprotected bool        `json:"allowUnprotected"`
	Kinds            []AgentKind `json:"kinds"` // agents whose updates it has; empty means all
}

// License is the state of an SVM's licence key.
type License struct {
	State   LicenseState   `json:"state"`
	Key     KeyType        `json:"key"`
	Edition LicenseEdition `json:"edition"`
	Expires Time           `json:"expires"` // past means expired, whatever State says
}

// Path is where a machine runs: three levels, from narrow to wide. The names
// are those of hypervisor platforms; on OpenStack platforms they are server
// group, project and availability zone. An empty level equals nothing.
type Path struct {
	Host    string `json:"host" yaml:"host"`
	Cluster string `json:"cluster" yaml:"cluster"`
	Zone    string `json:"zone" yaml:"zone"`
}

// A VM is a registered virtual machine.
type VM struct {
	BIOS     BIOSID    `json:"biosId"`
	ID       VMID      `json:"id"`
	Tenant   TenantID  `json:"tenant"` // zero: registered to no tenant, and always served
	Name     string    `json:"name"`
	UserData string    `json:"userData"`
	OS       GuestOS   `json:"os"`
	Kind     AgentKind `json:"kind"`
	Version  string    `json:"version"` // of the agent; empty if unknown
	Path     Path      `json:"path"`
	Created  Time      `json:"created"`
	Updated  Time      `json:"updated"`

	Revision uint64 `json:"-"` // 53-bit fingerprint of registration and placement
}

// An Account may use the management planes. Hash is the encoded password hash,
// opaque to this package, and never leaves it as JSON.
type Account struct {
	Name    string  `json:"name"`
	Role    Role    `json:"role"`
	SVMs    []SVMID `json:"svms"` // for role svm: whose reports it may send
	Hash    string  `json:"-"`
	Created Time    `json:"created"`
}

// A Token authenticates a tenant's agents. Only digests (SHA-256) are stored.
// Previous remains valid until PreviousUntil, so that agents can be moved over.
type Token struct {
	Tenant        TenantID
	Current       [32]byte
	Previous      [32]byte
	PreviousUntil time.Time
}

// Time is a time that is empty text in JSON when it is zero, and otherwise
// RFC 3339 in UTC.
type Time struct{ time.Time }

// MarshalText writes RFC 3339 in UTC, or nothing for the zero time.
func (t Time) MarshalText() ([]byte, error) {
	if t.IsZero() {
		return []byte{}, nil
	}
	return t.UTC().MarshalText()
}

// MarshalJSON writes the text of [Time.MarshalText] as a JSON string.
func (t Time) MarshalJSON() ([]byte, error) {
	text, err := t.MarshalText()
	return []byte(`"` + string(text) + `"`), err
}

// UnmarshalText reads RFC 3339; empty text is the zero time.
func (t *Time) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		t.Time = time.Time{}
		return nil
	}
	if err := t.Time.UnmarshalText(b); err != nil {
		return fmt.Errorf("%q is not a time like 2026-01-31T12:00:00Z (RFC 3339)", b)
	}
	t.Time = t.UTC()
	return nil
}

// UnmarshalJSON reads a JSON string by [Time.UnmarshalText].
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("%s is not a time like \"2026-01-31T12:00:00Z\" (RFC 3339)", b)
	}
	return t.UnmarshalText(b[1 : len(b)-1])
}
