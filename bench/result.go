package bench

import (
	"bufio"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Result is what a run measured. Its JSON form names units.
type Result struct {
	Machine Machine `json:"machine"`
	Asked   Asked   `json:"asked"`

	// Scheduled is the number of requests that fell due, Answered that of answers
	// of any status, RateAchieved answers a second until the last one.
	Scheduled    int     `json:"scheduled"`
	Answered     int     `json:"answered"`
	Seconds      float64 `json:"seconds"`
	RateAchieved float64 `json:"rateAchieved"`

	// Errors counts what was not an answer with status 200, by kind.
	Errors map[string]int `json:"errors"`

	// Latency counts from the time when a request was due until its answer, or
	// until it failed: this is what an agent would have seen. Requests that were
	// dropped have none.
	Latency Percentiles `json:"latencyMicroseconds"`

	// Service counts from when the request was sent, as a closed loop measures.
	// It is here to show what that hides.
	Service Percentiles `json:"serviceMicroseconds"`

	// Lag is how long requests were due before they were sent: because all
	// connections were busy, or because the generator was late. If it is large
	// while Service is small, the generator, not the gateway, is the bottleneck.
	Lag Percentiles `json:"lagMicroseconds"`
}

// Asked is what the run was asked to do.
type Asked struct {
	Target      string  `json:"target"`
	Rate        float64 `json:"rate"`
	Arrivals    string  `json:"arrivals"` // constant or poisson
	Seconds     float64 `json:"seconds,omitempty"`
	Count       int     `json:"count,omitempty"`
	Connections int     `json:"connections"`
	Agents      int     `json:"agents"`
	Query       string  `json:"query,omitempty"`
	Seed        uint64  `json:"seed"`
}

// Machine is where the generator ran; on loopback, the gateway too.
type Machine struct {
	Processor string `json:"processor"`
	CPUs      int    `json:"cpus"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Go        string `json:"go"`
}

// Percentiles are of a distribution of times in microseconds.
type Percentiles struct {
	Min   int64   `json:"min"`
	Mean  float64 `json:"mean"`
	P50   int64   `json:"p50"`
	P90   int64   `json:"p90"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p99.9"`
	P9999 int64   `json:"p99.99"`
	Max   int64   `json:"max"`
}

func percentiles(h *hdrhistogram.Histogram) Percentiles {
	return Percentiles{
		Min: h.Min(), Mean: h.Mean(), Max: h.Max(),
		P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P99: h.ValueAtQuantile(99),
		P999: h.ValueAtQuantile(99.9), P9999: h.ValueAtQuantile(99.99),
	}
}

func (r *run) result(t *tally) *Result {
	arrivals := "constant"
	if r.cfg.Poisson {
		arrivals = "poisson"
	}
	res := &Result{
		Machine: ThisMachine(),
		Asked: Asked{
			Target: r.cfg.Target, Rate: r.cfg.Rate, Arrivals: arrivals, Seconds: r.cfg.Duration.Seconds(), Count: r.cfg.Count,
			Connections: r.cfg.Connections, Agents: len(r.cfg.Agents), Query: r.cfg.Query, Seed: r.cfg.Seed,
		},
		Scheduled: t.scheduled, Answered: t.answered, Seconds: t.last.Seconds(), Errors: t.errors,
		Latency: percentiles(t.latency), Service: percentiles(t.service), Lag: percentiles(t.lag),
	}
	if t.last > time.Duration(0) {
		res.RateAchieved = float64(t.answered) / t.last.Seconds()
	}
	return res
}

// ThisMachine describes the machine that this program runs on.
func ThisMachine() Machine {
	return Machine{Processor: processor(), CPUs: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()}
}

// processor returns the processor's name where the system tells it, else "".
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
