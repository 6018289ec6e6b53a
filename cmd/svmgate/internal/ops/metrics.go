package ops

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/buildinfo"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// NewRegistry returns a registry with what every process has: the Go runtime, the
// process, and which build it is.
func NewRegistry(b buildinfo.Build) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(NewSource(Family{
		Name: "build_info", Help: "Which build is running; the value is always 1.", Labels: []string{"version", "go_version", "commit"},
		Read: func(emit Emit) { emit(1, b.Version, b.Go, b.Commit) },
	}))
	return r
}

// Emit passes on one sample with its label values.
type Emit func(value float64, labels ...string)

// A Family is a metric that is read from elsewhere when it is gathered.
type Family struct {
	Name    string // without the prefix svmgate_
	Help    string
	Labels  []string
	Counter bool // else a gauge
	Read    func(Emit)
}

// A Source collects families. Reading on demand keeps counting out of the paths
// that are counted: those have counters of their own.
type Source struct {
	families []Family
	descs    []*prometheus.Desc
}

// NewSource returns a collector of families.
func NewSource(families ...Family) *Source {
	s := &Source{families: families}
	for _, f := range families {
		s.descs = append(s.descs, prometheus.NewDesc("svmgate_"+f.Name, f.Help, f.Labels, nil))
	}
	return s
}

// Describe implements [prometheus.Collector].
func (s *Source) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *Source) Collect(ch chan<- prometheus.Metric) {
	for i, f := range s.families {
		kind := prometheus.GaugeValue
		if f.Counter {
			kind = prometheus.CounterValue
		}
		f.Read(func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(s.descs[i], kind, value, labels...)
		})
	}
}

// ReadyFamilies tells what /readyz tells.
func (p *Plane) ReadyFamilies() []Family {
	return []Family{{
		Name: "ready", Help: "Whether the gateway is ready for agents (1) or not (0).",
		Read: func(emit Emit) { emit(number(p.Ready())) },
	}}
}

// TableFamilies tells the size of a table.
func TableFamilies(t *store.Table) []Family {
	count := func(name, help string, n func(store.Stats) int) Family {
		return Family{Name: name, Help: help, Read: func(emit Emit) { emit(float64(n(t.Stats()))) }}
	}
	return []Family{
		count("tenants", "Tenants in the table.", func(s store.Stats) int { return s.Tenants }),
		count("svms", "SVMs in the table.", func(s store.Stats) int { return s.SVMs }),
		count("vms", "Registered VMs in the table.", func(s store.Stats) int { return s.VMs }),
		count("accounts", "Accounts of the management plane.", func(s store.Stats) int { return s.Accounts }),
		count("tombstones", "Records that say that something was deleted.", func(s store.Stats) int { return s.Tombstones }),
		{
			Name: "svms_by_state", Help: "SVMs in the table by their present state.", Labels: []string{"state"},
			Read: func(emit Emit) {
				for state, n := range svmStates(t) {
					emit(float64(n), store.SVMState(state).String())
				}
			},
		}, {
			Name: "records_refused_skew_total", Help: "Records refused because their version lies too far in the future.", Counter: true,
			Read: func(emit Emit) { emit(float64(t.Stats().SkewRefused)) },
		}, {
			Name: "records_unreadable_total", Help: "Records of other gateways left out because they can not be read.", Counter: true,
			Read: func(emit Emit) { emit(float64(t.Stats().Unreadable)) },
		}, {
			Name: "table_ahead_seconds", Help: "How far the newest record is ahead of the clock; above 60, other gateways refuse what is written here.",
			Read: func(emit Emit) { emit(t.Stats().Ahead.Seconds()) },
		},
	}
}

func svmStates(t *store.Table) (n [4]int) {
	for _, s := range t.SVMs() {
		if int(s.State) < len(n) {
			n[s.State]++
		}
	}
	return n
}

// SelectorFamilies tells how a selector prepares its decisions.
func SelectorFamilies(s *discovery.Selector) []Family {
	one := func(name, help string, counter bool, n func(discovery.Stats) float64) Family {
		return Family{Name: name, Help: help, Counter: counter, Read: func(emit Emit) { emit(n(s.Stats())) }}
	}
	return []Family{
		one("candidate_sets", "Candidate sets that stand.", false, func(s discovery.Stats) float64 { return float64(s.Sets) }),
		one("candidate_set_bytes", "Memory that the candidate sets take.", false, func(s discovery.Stats) float64 { return float64(s.SetBytes) }),
		one("candidate_set_builds_total", "Candidate sets built.", true, func(s discovery.Stats) float64 { return float64(s.Builds) }),
		one("candidate_set_resets_total", "Times that all candidate sets were dropped because they were too many.", true,
			func(s discovery.Stats) float64 { return float64(s.Resets) }),
		one("decisions_scanned_total", "Questions answered by a scan before their candidate set stood.", true,
			func(s discovery.Stats) float64 { return float64(s.Scans) }),
		{
			Name: "agents_sent_total", Help: "Agents sent to an SVM that they did not have: new, because they had none, or moved.",
			Labels: []string{"why"}, Counter: true,
			Read: func(emit Emit) {
				stats := s.Stats()
				emit(float64(stats.Placed), "new")
				emit(float64(stats.Moved), "moved")
			},
		},
		one("agents_put_off_total", "Questions of agents that were told to come later, because too many of their tenant need another SVM.", true,
			func(s discovery.Stats) float64 { return float64(s.Later) }),
		one("bad_picks_total", "Picks of the policy that were not among the SVMs it was given.", true,
			func(s discovery.Stats) float64 { return float64(s.BadPicks) }),
		one("svms_suspect", "SVMs that agents, probes or other gateways can not reach: they are used last.", false,
			func(s discovery.Stats) float64 { return float64(s.Suspects) }),
		one("svms_held", "SVMs that went silent together and are used all the same, until another gateway finds the same or five minutes are over.", false,
			func(s discovery.Stats) float64 { return float64(s.Held) }),
	}
}

// TLSFamilies tells how reading the TLS files went. A certificate that should
// have been renewed shows in the expiry long before it ends service.
func TLSFamilies(f *tlsconf.Files) []Family {
	return []Family{
		{
			Name: "tls_reloads_total", Help: "Readings of the TLS files by how they went.", Labels: []string{"result"}, Counter: true,
			Read: func(emit Emit) {
				s := f.Stats()
				emit(float64(s.Reloads), "ok")
				emit(float64(s.Failures), "failed")
			},
		}, {
			Name: "tls_files_usable", Help: "Whether the TLS files as they are now can be used (1) or older ones are in use (0).",
			Read: func(emit Emit) { emit(number(!f.Stats().LastFailed)) },
		}, {
			Name: "tls_certificate_expiry_timestamp_seconds", Help: "When the certificate in use expires, in seconds since 1970.",
			Read: func(emit Emit) { emit(float64(f.Stats().NotAfter.Unix())) },
		},
	}
}

// A Listening is a plane that accepts connections.
type Listening struct {
	Plane    string
	Listener *tlsconf.Listener
	Open     func() int // connections now
	Rejected func() int // connections beyond the limit, since the start
}

// ListenerFamilies tells who connects.
func ListenerFamilies(listening []Listening) []Family {
	each := func(fn func(Listening, Emit)) func(Emit) {
		return func(emit Emit) {
			for _, l := range listening {
				fn(l, emit)
			}
		}
	}
	return []Family{
		{
			Name: "connections", Help: "Open connections by plane.", Labels: []string{"plane"},
			Read: each(func(l Listening, emit Emit) { emit(float64(l.Open()), l.Plane) }),
		}, {
			Name: "connections_rejected_total", Help: "Connections rejected because of the limit on their number.", Labels: []string{"plane"}, Counter: true,
			Read: each(func(l Listening, emit Emit) { emit(float64(l.Rejected()), l.Plane) }),
		}, {
			Name: "connections_refused_total", Help: "Connections refused because they did not come from a proxy that ends TLS.",
			Labels: []string{"plane"}, Counter: true,
			Read: each(func(l Listening, emit Emit) { emit(float64(l.Listener.Stats().Refused), l.Plane) }),
		}, {
			Name: "connections_crowded_total", Help: "Connections closed because their address had as many as one may have.",
			Labels: []string{"plane"}, Counter: true,
			Read: each(func(l Listening, emit Emit) { emit(float64(l.Listener.Stats().Crowded), l.Plane) }),
		}, {
			Name: "tls_handshakes_total", Help: "TLS handshakes by how they ended.", Labels: []string{"plane", "result"}, Counter: true,
			Read: each(func(l Listening, emit Emit) {
				s := l.Listener.Stats()
				emit(float64(s.Handshakes), l.Plane, "ok")
				emit(float64(s.Failed), l.Plane, "failed")
			}),
		},
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
