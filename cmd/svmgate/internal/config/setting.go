package config

import (
	"net/netip"
	"strings"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A Setting is one row of [Table].
type Setting struct {
	Name    string // as a flag without its hyphens, and as a key
	Default string
	Allowed string // what a value may be, for people
	Help    string // what it does, one line

	List    bool // a list: flags may be repeated, keys may hold a YAML list
	Secret  bool // never printed
	EnvOnly bool // no flag, which the process list would show, and no key
	Reload  bool // a change in the file takes effect on SIGHUP

	parse func(*Config, string) error
}

// Env returns the environment variable of s.
func (s *Setting) Env() string {
	return "SVMGATE_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Table lists every setting, in the order in which they are shown. It is not
// modified.
var Table = []Setting{
	{
		Name: "agent-addr", Default: "127.0.0.1:7270", Allowed: wantAddress,
		Help:  "where agents ask",
		parse: address(func(c *Config) *string { return &c.AgentAddr }),
	}, {
		Name: "admin-addr", Default: "127.0.0.1:7271", Allowed: wantAddress,
		Help:  "where administrators and their tools connect",
		parse: address(func(c *Config) *string { return &c.AdminAddr }),
	}, {
		Name: "ops-addr", Default: "127.0.0.1:7272", Allowed: wantAddress,
		Help:  "health, metrics and debug pages",
		parse: address(func(c *Config) *string { return &c.OpsAddr }),
	}, {
		Name: "data", Default: "./svmgate-data", Allowed: "a directory, or :memory: to keep nothing",
		Help:  "where everything is kept that lasts",
		parse: text(func(c *Config) *string { return &c.DataDir }, false),
	}, {
		Name: "sample", Allowed: "an inventory file, or nothing",
		Help:  "inventory to begin with when the table is empty",
		parse: text(func(c *Config) *string { return &c.Sample }, true),
	}, {
		Name: "node-name", Allowed: "1 to 63 letters, digits, dots, hyphens or underscores; empty means the host name",
		Help:  "name of this gateway",
		parse: nodeName,
	}, {
		Name: "unregistered", Default: "deny", Allowed: "deny or serve",
		Help:  "whether agents of VMs that nobody registered are answered",
		parse: unregistered,
	}, {
		Name: "dead-address", Default: "192.0.2.1", Allowed: "an IP address",
		Help:  "the address where no SVM is, told to agents of inactive tenants",
		parse: ipAddress,
	}, {
		Name: "svm-ttl", Default: "15m", Allowed: wantDuration("10s", "168h"),
		Help:  "an SVM that is silent for longer counts as down",
		parse: duration(func(c *Config) *time.Duration { return &c.SVMTTL }, "10s", "168h"),
	}, {
		Name: "svm-probe", Allowed: "tcp:PORT; nothing probes no SVM",
		Help:  "port of SVMs that is tried every 5 s, from two gateways; an SVM that fails twice is used last",
		parse: optional(svmProbe),
	}, {
		Name: "protection-reports", Default: "false", Allowed: "true or false",
		Help:  "collect on which days VMs are protected, for reports",
		parse: boolean(func(c *Config) *bool { return &c.ProtectionReports }),
	}, {
		Name: "protection-keep", Default: "400", Allowed: wantCount(1, store.MaxDays),
		Help:  "how many days of that are kept, today included",
		parse: count(func(c *Config) *int { return &c.ProtectionKeep }, 1, store.MaxDays),
	}, {
		Name: "return-after", Default: "10m", Allowed: wantDuration("0s", "24h"),
		Help:  "how long a better class must have had an SVM before agents that are well served move to it",
		parse: duration(func(c *Config) *time.Duration { return &c.ReturnAfter }, "0s", "24h"),
	}, {
		Name: "admission-rate", Default: "0", Allowed: "a number from 0.01 to 1000000, or 0 for no bound",
		Help:  "agents of a tenant that this gateway sends to another SVM each second; the others are told to come back",
		parse: admissionRate,
	}, {
		Name: "admission-burst", Default: "0", Allowed: wantCount(0, 1_000_000) + "; 0 means what comes in two seconds",
		Help:  "how many of them at once, after a pause",
		parse: count(func(c *Config) *int { return &c.AdmissionBurst }, 0, 1_000_000),
	}, {
		Name: "openstack-locality", Default: "host", Allowed: "host, cluster or zone",
		Help:  "what local means on OpenStack: server group, project or availability zone",
		parse: locality,
	}, {
		Name: "version-matrix", List: true, Allowed: "pairs AGENT=SVM such as 12.0=6.0; empty means the documented ones",
		Help:  "which agent versions fit which SVM versions; equal ones always do",
		parse: matrix,
	}, {
		Name: "agent-auth", Default: "none", Allowed: "none, token or mtls",
		Help:  "how agents prove their tenant; must be chosen where agent-addr is not loopback",
		parse: oneOf(func(c *Config) *string { return &c.AgentAuth }, "none", "token", "mtls"),
	}, {
		Name: "token-overlap", Default: "24h", Allowed: wantDuration("0s", "720h"),
		Help:  "how long the previous token of a tenant remains valid",
		parse: duration(func(c *Config) *time.Duration { return &c.TokenOverlap }, "0s", "720h"),
	}, {
		Name: "license-warning", Default: "720h", Allowed: wantDuration("0s", "8760h") + "; 0s means never",
		Help:  "how long before the end of an SVM's licence that is worth a warning",
		parse: duration(func(c *Config) *time.Duration { return &c.LicenseWarning }, "0s", "8760h"),
	}, {
		Name: "tls-cert", Allowed: "a PEM file, or nothing",
		Help:  "certificate chain of this gateway, read again when the file changes",
		parse: text(func(c *Config) *string { return &c.TLSCert }, true),
	}, {
		Name: "tls-key", Allowed: "a PEM file, or nothing",
		Help:  "private key of tls-cert",
		parse: text(func(c *Config) *string { return &c.TLSKey }, true),
	}, {
		Name: "tls-client-ca", Allowed: "a PEM file, or nothing",
		Help:  "authorities that sign certificates of agents (agent-auth mtls) and administrators",
		parse: text(func(c *Config) *string { return &c.TLSClientCA }, true),
	}, {
		Name: "tls-terminated-by", List: true, Allowed: wantPrefixes,
		Help:  "proxies that ended TLS and may speak plain HTTP to us",
		parse: prefixes(func(c *Config) *[]netip.Prefix { return &c.TLSTerminatedBy }),
	}, {
		Name: "trusted-proxy", List: true, Allowed: wantPrefixes,
		Help:  "proxies whose X-Forwarded-For and X-Forwarded-Host are believed",
		parse: prefixes(func(c *Config) *[]netip.Prefix { return &c.TrustedProxies }),
	}, {
		Name: "insecure", List: true, Allowed: "some of agent, admin, ops, cluster",
		Help:  "planes that may be open to other hosts without protection",
		parse: someOf(func(c *Config) *[]string { return &c.Insecure }, "agent", "admin", "ops", "cluster"),
	}, {
		Name: "cluster-addr", Allowed: wantAddress + "; nothing keeps the table to this gateway",
		Help:  "where other gateways connect, by TCP and UDP",
		parse: optional(address(func(c *Config) *string { return &c.ClusterAddr })),
	}, {
		Name: "cluster-advertise", Allowed: "HOST:PORT with an IP address; nothing means cluster-addr",
		Help:  "where other gateways are told to connect",
		parse: optional(advertised),
	}, {
		Name: "cluster-join", List: true, Allowed: "addresses HOST:PORT, where HOST may be a name",
		Help:  "some gateways of the cluster to join; this one may be among them",
		parse: seeds,
	}, {
		Name: "cluster-key-file", Allowed: "a file of mode 0600 with keys in base64, one a line, or nothing",
		Help:  "keys that encrypt what gateways tell each other; the first encrypts, all decrypt",
		parse: text(func(c *Config) *string { return &c.ClusterKeyFile }, true),
	}, {
		Name: "cluster-label", Allowed: "up to 255 bytes",
		Help:  "gateways with another label are not heard",
		parse: clusterLabel,
	}, {
		Name: "cluster-bootstrap", Default: "false", Allowed: "true or false",
		Help:  "begin a new cluster: be ready with an empty table although no gateway answers",
		parse: boolean(func(c *Config) *bool { return &c.ClusterBootstrap }),
	}, {
		Name: "tombstone-keep", Default: "168h", Allowed: wantDuration("1h", "8760h"),
		Help:  "how long is remembered what was deleted, and so how long a gateway may be away",
		parse: duration(func(c *Config) *time.Duration { return &c.TombstoneKeep }, "1h", "8760h"),
	}, {
		Name: "ksc", List: true, Allowed: wantKSC,
		Help:  "Kaspersky Security Centers in which tenants get virtual Administration Servers",
		parse: ksc,
	}, {
		Name: "ksc-credentials", Allowed: "a file of mode 0600 that maps URLs, or default, to {user, password}, or nothing",
		Help:  "accounts by which the Kaspersky Security Centers are called",
		parse: text(func(c *Config) *string { return &c.KSCCredentials }, true),
	}, {
		Name: "ksc-ca", Allowed: "a PEM file, or nothing for the authorities of this host",
		Help:  "certificates of the Kaspersky Security Centers, or authorities that sign them",
		parse: text(func(c *Config) *string { return &c.KSCCA }, true),
	}, {
		Name: "ksc-timeout", Default: "30s", Allowed: wantDuration("1s", "10m"),
		Help:  "how long one call of a Kaspersky Security Center may take",
		parse: duration(func(c *Config) *time.Duration { return &c.KSCTimeout }, "1s", "10m"),
	}, {
		Name: "events-keep", Default: "720h", Allowed: wantDuration("1h", "8760h"), Reload: true,
		Help:  "how long events are kept",
		parse: duration(func(c *Config) *time.Duration { return &c.EventsKeep }, "1h", "8760h"),
	}, {
		Name: "events-max", Default: "1000000", Allowed: wantCount(1000, 10_000_000), Reload: true,
		Help:  "how many events are kept at most; beyond it the oldest are forgotten",
		parse: count(func(c *Config) *int { return &c.EventsMax }, 1000, 10_000_000),
	}, {
		Name: "event-streams", Default: "100", Allowed: wantCount(1, 10_000),
		Help:  "clients that follow events at once",
		parse: count(func(c *Config) *int { return &c.EventStreams }, 1, 10_000),
	}, {
		Name: "events-log", Default: "false", Allowed: "true or false",
		Help:  "write events to the log, too",
		parse: boolean(func(c *Config) *bool { return &c.EventsLog }),
	}, {
		Name: "events-file", Allowed: "a file, or nothing",
		Help:  "file to which events are appended, as JSON, one a line",
		parse: text(func(c *Config) *string { return &c.EventsFile }, true),
	}, {
		Name: "events-syslog", Allowed: wantSyslog,
		Help:  "syslog server that gets events (RFC 5424)",
		parse: optional(syslogServer),
	}, {
		Name: "events-webhook", Allowed: wantWebhook, Secret: true,
		Help:  "URL to which events are posted, as JSON",
		parse: optional(webhook),
	}, {
		Name: "events-webhook-secret-file", Allowed: "a file of mode 0600 with 16 to 1024 bytes, or nothing",
		Help:  "key that signs what is posted; read for each request",
		parse: text(func(c *Config) *string { return &c.EventsWebhookSecretFile }, true),
	}, {
		Name: "events-ca", Allowed: "a PEM file, or nothing for the authorities of this host",
		Help:  "certificates of the webhook's and the syslog server, or authorities that sign them",
		parse: text(func(c *Config) *string { return &c.EventsCA }, true),
	}, {
		Name: "events-backlog", Default: "100000", Allowed: wantCount(100, 1_000_000),
		Help:  "events that wait for a log, file, server or webhook that is down; beyond it the oldest are dropped, and counted",
		parse: count(func(c *Config) *int { return &c.EventsBacklog }, 100, 1_000_000),
	}, {
		Name: "max-connections", Default: "65536", Allowed: wantCount(1, 1<<20),
		Help:  "connections of agents at once",
		parse: count(func(c *Config) *int { return &c.MaxConnections }, 1, 1<<20),
	}, {
		Name: "max-connections-per-address", Default: "0", Allowed: wantCount(0, 1<<20) + "; 0 means no bound",
		Help:  "connections of agents at once from one IPv4 address or IPv6 /64; proxies that are trusted or end TLS are free",
		parse: count(func(c *Config) *int { return &c.MaxPerAddress }, 0, 1<<20),
	}, {
		Name: "max-waiting", Default: "10000", Allowed: wantCount(0, 1<<20),
		Help:  "questions that wait for a change at once (wait=), half of them for one tenant's VMs; the others are told to come back",
		parse: count(func(c *Config) *int { return &c.MaxWaiting }, 0, 1<<20),
	}, {
		Name: "admin-max-connections", Default: "256", Allowed: wantCount(1, 1<<16),
		Help:  "connections to the management plane at once",
		parse: count(func(c *Config) *int { return &c.AdminMaxConnections }, 1, 1<<16),
	}, {
		Name: "import-limit", Default: "1GiB", Allowed: "a size from 1KiB to 1TiB, such as 512MiB",
		Help:  "the largest inventory that one import may send",
		parse: importLimit,
	}, {
		Name: "shutdown-delay", Default: "0s", Allowed: wantDuration("0s", "1h"),
		Help:  "time between failing /readyz and closing listeners",
		parse: duration(func(c *Config) *time.Duration { return &c.ShutdownDelay }, "0s", "1h"),
	}, {
		Name: "shutdown-timeout", Default: "10s", Allowed: wantDuration("0s", "1h"),
		Help:  "how long requests that run may go on after that",
		parse: duration(func(c *Config) *time.Duration { return &c.ShutdownTimeout }, "0s", "1h"),
	}, {
		Name: "log-level", Default: "info", Allowed: "debug, info, warn or error", Reload: true,
		Help:  "the least level that is logged",
		parse: logLevel,
	}, {
		Name: "log-format", Default: "text", Allowed: "text or json",
		Help:  "how log lines look",
		parse: oneOf(func(c *Config) *string { return &c.LogFormat }, "text", "json"),
	}, {
		Name: "admin-password", Allowed: "1 to 1024 bytes", Secret: true, EnvOnly: true,
		Help:  "password of the first account; never changes one that exists",
		parse: adminPassword,
	},
}

// Lookup returns the setting called name.
func Lookup(name string) (*Setting, bool) {
	for i := range Table {
		if Table[i].Name == name {
			return &Table[i], true
		}
	}
	return nil, false
}

// absent are settings whose names are taken for parts that this release does not
// have. Using one is an error: a gateway that looks as if it answered DNS and does
// not would be found out too late.
var absent = map[string]string{
	"dns-addr": "it does not answer DNS",
}
