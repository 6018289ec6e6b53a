package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Config holds the settings of a gateway, checked and converted. [Table] says
// what each means.
type Config struct {
	AgentAddr, AdminAddr, OpsAddr string

	DataDir  string // ":memory:" keeps nothing
	NodeName string
	Sample   string // inventory to begin with; empty: none

	Unregistered      discovery.Unregistered
	DeadAddress       string
	SVMTTL            time.Duration
	SVMProbe          int // TCP port; 0: none is probed
	ReturnAfter       time.Duration
	AdmissionRate     float64 // agents a second and tenant; 0: no bound
	AdmissionBurst    int     // agents; 0: what comes in two seconds
	OpenStackLocality store.PathLevel
	Matrix            discovery.Matrix // nil: the default one

	ProtectionReports bool
	ProtectionKeep    int // days

	AgentAuth    string // "none", "token" or "mtls"
	TokenOverlap time.Duration

	LicenseWarning time.Duration // before the end of an SVM's licence; 0: never

	TLSCert, TLSKey, TLSClientCA string
	TLSTerminatedBy              []netip.Prefix
	TrustedProxies               []netip.Prefix
	Insecure                     []string // planes

	// ClusterAddr is empty if the table is this gateway's alone.
	ClusterAddr, ClusterAdvertise string
	ClusterJoin                   []string
	ClusterKeyFile, ClusterLabel  string
	ClusterBootstrap              bool
	TombstoneKeep                 time.Duration

	// KSC are the Kaspersky Security Centers, in the form https://host:port. If there are
	// none, KSCNone says whether complete tenants can do without.
	KSC            []string
	KSCNone        bool
	KSCCredentials string // for [ReadCredentials]
	KSCCA          string // for [ReadAuthorities]; empty: the authorities of this host
	KSCTimeout     time.Duration

	// How long events are kept, how many may follow them, and where they go.
	EventsKeep              time.Duration
	EventsMax, EventStreams int
	EventsLog               bool
	EventsFile              string
	EventsSyslog            SyslogServer
	EventsWebhook           string // URL
	EventsWebhookSecretFile string // for [ReadSecret]
	EventsCA                string // for [ReadAuthorities]; empty: the authorities of this host
	EventsBacklog           int    // that wait for each of these

	MaxConnections      int // agent plane
	MaxPerAddress       int // of them; 0: no bound
	MaxWaiting          int // questions; 0: none may wait
	AdminMaxConnections int
	ImportLimit         int64

	ShutdownDelay, ShutdownTimeout time.Duration

	LogLevel  slog.Level
	LogFormat string // "text" or "json"

	// AdminPassword is that of the first account, if it is to be a given one.
	AdminPassword string
}

// InMemory says that nothing is kept on disk.
func (c *Config) InMemory() bool { return c.DataDir == MemoryOnly }

// Clustered says that the table is shared with other gateways.
func (c *Config) Clustered() bool { return c.ClusterAddr != "" }

// MemoryOnly is the value of data that keeps nothing.
const MemoryOnly = ":memory:"

// OpsTLS reports whether the operations plane speaks TLS: it does where it can
// be reached from elsewhere and there is a certificate.
func (c *Config) OpsTLS() bool { return c.TLSCert != "" && !Loopback(c.OpsAddr) }
