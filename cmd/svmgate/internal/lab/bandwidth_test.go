package lab

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What gateways send each other, by what goes on: the figures of docs/capacity.md.
func TestBandwidthOfThree(t *testing.T) { testBandwidth(t, 3) }
func TestBandwidthOfSix(t *testing.T)   { testBandwidth(t, 6) }

func testBandwidth(t *testing.T, n int) {
	needLong(t)
	if !inside(t) {
		return
	}
	const svms, rate, lasting = 1000, 100, 30 * time.Second
	l := newLab(t, n)
	id := func(n int) string { return fmt.Sprintf("5e000000-0000-4000-8000-%012d", n+2) }
	var b strings.Builder
	b.WriteString(world{tenants: 2}.lines())
	for n := range svms {
		fmt.Fprintf(&b, `{"svm":{"id":%q,"name":"svm%d","address":"10.9.%d.%d","version":"6.0"}}`+"\n", id(n), n, n/250, n%250+1)
	}
	l.gateways[0].do("POST", "/v1/import", b.String(), nil)
	await(t, 30*time.Second, func() error { return l.equal() })
	await(t, time.Minute, l.quiet)

	idle := l.sending(lasting, 0, nil)
	t.Logf("%d gateways, nothing goes on: %.0f bytes and %.1f packets a second for each", n, idle.bytes, idle.packets)
	for _, tt := range []struct {
		name string
		do   func(i int)
	}{
		{"registration of a VM", func(i int) { l.gateways[i%n].register(i, 0) }},
		{"report of an SVM", func(i int) {
			l.gateways[i%n].do("POST", "/v1/svms/"+id(i%svms)+"/report", map[string]int{"connectedAgents": i / svms}, nil)
		}},
	} {
		s := l.sending(lasting, rate, tt.do)
		each := (s.bytes - idle.bytes) / rate
		t.Logf("%d gateways, %d a second: a %s makes each gateway send %.0f bytes; %.1f packets a second", n, rate, tt.name, each, s.packets)
		if each <= 0 {
			t.Errorf("%s: nothing was sent for it", tt.name)
		}
	}
}

type traffic struct{ bytes, packets float64 }

// sending returns what each gateway sends in a second, on average, while something is
// done at a rate.
func (l *lab) sending(lasting time.Duration, rate int, do func(i int)) (s traffic) {
	before, start := l.sent(), time.Now()
	for i := range int(lasting.Seconds()) * rate {
		sleepUntil(start.Add(time.Duration(i) * time.Second / time.Duration(rate)))
		do(i)
	}
	sleepUntil(start.Add(lasting))
	after, took := l.sent(), time.Since(start).Seconds()*float64(len(l.gateways))
	return traffic{(after.bytes - before.bytes) / took, (after.packets - before.packets) / took}
}

// sent returns what all gateways have sent.
func (l *lab) sent() (s traffic) {
	for _, g := range l.gateways {
		s.bytes += g.metric(`svmgate_cluster_sent_bytes_total{by="packet"}`) + g.metric(`svmgate_cluster_sent_bytes_total{by="stream"}`)
		s.packets += g.metric("svmgate_cluster_sent_packets_total")
	}
	return s
}

// quiet reports whether no news waits to be sent.
func (l *lab) quiet() error {
	for _, g := range l.gateways {
		if n := g.metric("svmgate_cluster_queue_records"); n > 0 {
			return fmt.Errorf("%s still has %v records to send", g.name(), n)
		}
	}
	return nil
}

// metric returns a value of the operations plane.
func (g *gateway) metric(name string) float64 {
	g.lab.t.Helper()
	resp, err := client.Get("http://" + ipOf(g.i) + ":7272/metrics")
	if err != nil {
		g.lab.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				g.lab.t.Fatal(err)
			}
			return value
		}
	}
	g.lab.t.Fatalf("%s has no metric %s", g.name(), name)
	return 0
}
