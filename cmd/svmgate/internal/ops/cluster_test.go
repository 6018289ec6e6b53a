package ops

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/replica"
)

type peers struct {
	stats   cluster.Stats
	members []cluster.Member
}

func (p *peers) Stats() cluster.Stats             { return p.stats }
func (p *peers) Members() []cluster.Member        { return p.members }
func (p *peers) Refused() uint64                  { return 901 }
func (p *peers) Conflicts() (tenants, vms uint64) { return 902, 903 }
func (p *peers) Sightings() replica.SightingStats {
	return replica.SightingStats{Told: 904, Heard: 905, Unreadable: 906}
}

func page(t *testing.T, c Cluster) string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(NewSource(ClusterFamilies(c)...))
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	_, body := ask(New(r, quiet), "/metrics", nil)
	return body
}

// Every count that a node keeps is a metric: each gets a value of its own, which
// the page must have.
func TestEveryClusterCountIsAMetric(t *testing.T) {
	p := &peers{}
	v := reflect.ValueOf(&p.stats).Elem()
	want := map[string]string{"Refused": "901", "tenant conflicts": "902", "vm conflicts": "903", "told": "904", "heard": "905", "unreadable": "906"}
	for i := range v.NumField() {
		n := 1001 + int64(i)
		name := v.Type().Field(i).Name
		want[name] = strconv.FormatInt(n, 10)
		switch f := v.Field(i); {
		case f.Type() == reflect.TypeFor[time.Duration]():
			f.SetInt(n * int64(time.Second))
		case f.CanInt():
			f.SetInt(n)
		case f.CanUint():
			f.SetUint(uint64(n))
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
			want[name] = "1"
		default:
			t.Fatalf("%s is a %v: this test does not know what to do with it", name, f.Type())
		}
	}
	body := page(t, p)
	for name, value := range want {
		if !strings.Contains(body, " "+value+"\n") {
			t.Errorf("%s = %s is no metric:\n%s", name, value, body)
		}
	}
}

func TestClusterPeers(t *testing.T) {
	p := &peers{members: []cluster.Member{
		{Name: "gw-1", Self: true, Lag: time.Hour},
		{Name: "gw-2", Differing: 3, Lag: 1500 * time.Millisecond, Offset: -2 * time.Second},
	}}
	body := page(t, p)
	for name, value := range map[string]string{"differing": "3", "lag_seconds": "1.5", "clock_offset_seconds": "-2"} {
		if line := fmt.Sprintf("\nsvmgate_cluster_peer_%s{peer=\"gw-2\"} %s\n", name, value); !strings.Contains(body, line) {
			t.Errorf("no line %q in\n%s", line, body)
		}
	}
	if strings.Contains(body, "gw-1") {
		t.Error("a gateway is its own peer")
	}
}
