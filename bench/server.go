package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrapeTimeout bounds how long a gateway may take for its metrics.
const scrapeTimeout = 2 * time.Second

// A scraper reads the metrics of gateways.
type scraper struct {
	planes []string
	client *http.Client
	last   *scraped // what was read last, nil if nothing
}

// scraped is what was read at a time; of several gateways the sum.
type scraped struct {
	at     time.Time
	cpu    float64 // seconds
	gossip float64 // bytes sent
	use    ServerUse
}

func newScraper(c *Config) *scraper {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.TLS != nil {
		transport.TLSClientConfig = c.TLS.Clone()
	}
	return &scraper{planes: c.Ops, client: &http.Client{Transport: transport, Timeout: scrapeTimeout}}
}

// CheckOps tells whether the operations planes can be read: a run that can not
// read them goes on without.
func CheckOps(ctx context.Context, c *Config) error {
	if err := c.checkTargets(); err != nil {
		return err
	}
	s := newScraper(c)
	defer s.client.CloseIdleConnections()
	for _, plane := range s.planes {
		if _, err := s.read(ctx, plane); err != nil {
			return err
		}
	}
	return nil
}

// scrape reads all gateways; nil if there are none, or one does not answer: half
// of a sum would be wrong.
func (s *scraper) scrape(ctx context.Context) *scraped {
	s.last = nil
	if len(s.planes) == 0 {
		return nil
	}
	sum := &scraped{at: time.Now()}
	for _, plane := range s.planes {
		families, err := s.read(ctx, plane)
		if err != nil {
			return nil
		}
		sum.add(families)
	}
	s.last = sum
	return sum
}

// often is scrape for those who come often: what was read within a second will
// do, since reading is work for the gateway.
func (s *scraper) often(ctx context.Context) *scraped {
	if s.last != nil && time.Since(s.last.at) < time.Second {
		return s.last
	}
	return s.scrape(ctx)
}

func (s *scraper) read(ctx context.Context, plane string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, plane+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("bench: Ops: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("bench: Ops: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("bench: Ops: %s/metrics answers %s", plane, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(http.MaxBytesReader(nil, resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("bench: Ops: %s/metrics: %w", plane, err)
	}
	if families["process_cpu_seconds_total"] == nil || families["svmgate_vms"] == nil {
		return nil, fmt.Errorf("bench: Ops: %s/metrics is not that of a gateway", plane)
	}
	return families, nil
}

// add adds a gateway's metrics.
func (s *scraped) add(families map[string]*dto.MetricFamily) {
	value := func(name string) float64 { return valueOf(families[name], "", "") }
	s.cpu += value("process_cpu_seconds_total")
	s.gossip += value("svmgate_cluster_sent_bytes_total")
	u := &s.use
	u.Gateways++
	u.Processors += int(value("go_sched_gomaxprocs_threads"))
	u.Version = labelOf(families["svmgate_build_info"], "version")
	u.ResidentBytes += value("process_resident_memory_bytes")
	u.HeapBytes += value("go_memstats_heap_alloc_bytes")
	u.Connections += int(valueOf(families["svmgate_connections"], "plane", "agent"))
	u.Tenants, u.SVMs, u.VMs = int(value("svmgate_tenants")), int(value("svmgate_svms")), int(value("svmgate_vms"))
}

// valueOf sums the values of a family, those with a label only if one is named.
func valueOf(f *dto.MetricFamily, label, is string) (sum float64) {
	for _, m := range f.GetMetric() {
		wanted := label == ""
		for _, l := range m.GetLabel() {
			wanted = wanted || l.GetName() == label && l.GetValue() == is
		}
		if wanted {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return sum
}

func labelOf(f *dto.MetricFamily, name string) string {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == name {
				return l.GetValue()
			}
		}
	}
	return ""
}

// since is what was used since before; nil if one of the two is missing. most is
// the most that was seen meanwhile, or nil.
func (s *scraped) since(before *scraped, most *ServerUse, answered int) *ServerUse {
	if s == nil || before == nil {
		return nil
	}
	use := s.use.most(most)
	use.CPUSeconds = s.cpu - before.cpu
	use.GossipBytes = s.gossip - before.gossip
	if answered > 0 {
		use.CPUMicrosecondsPerRequest = use.CPUSeconds * 1e6 / float64(answered)
	}
	return use
}

// most is u with the greatest memory and number of connections of the two.
func (u ServerUse) most(o *ServerUse) *ServerUse {
	if o != nil {
		u.ResidentBytes = max(u.ResidentBytes, o.ResidentBytes)
		u.HeapBytes = max(u.HeapBytes, o.HeapBytes)
		u.Connections = max(u.Connections, o.Connections)
	}
	return &u
}
