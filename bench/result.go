package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// A Result is what a run measured. Its JSON form names units; [ReadResult] reads
// it again.
type Result struct {
	// Tool is "svmgate bench", so that a file can be told from any other.
	Tool    string    `json:"tool"`
	Started time.Time `json:"started"`
	Machine Machine   `json:"machine"`
	Asked   Asked     `json:"asked"`

	// Steps are in the order in which they ran, those of the search for the
	// capacity first.
	Steps []Step `json:"steps"`

	// Capacity is nil unless it was looked for, or told.
	Capacity *Capacity `json:"capacity,omitempty"`

	// Churn is nil unless slices with and without changes were compared.
	Churn *Churned `json:"churn,omitempty"`

	// Verdicts are of the limits that were given, in the order of the steps.
	Verdicts []Verdict `json:"verdicts,omitempty"`
}

// Asked is what the run was asked to do.
type Asked struct {
	Target      string  `json:"target"`
	Arrivals    string  `json:"arrivals"` // constant or poisson
	Connections int     `json:"connections"`
	Profile     Profile `json:"profile"`
	Agents      int     `json:"agents"`
	Tokens      bool    `json:"tokens"` // whether agents showed one
	Query       string  `json:"query,omitempty"`

	// Mix has the share of each kind of request, by name; together they are 1.
	Mix        map[string]float64 `json:"mix"`
	BatchLines int                `json:"batchLines,omitempty"`
	PollWait   float64            `json:"pollWaitSeconds,omitempty"`

	Within Millis `json:"withinMilliseconds"` // a later answer is no goodput
	Limits Limits `json:"limits"`
	Seed   uint64 `json:"seed"`
}

// A Profile is how connections are used.
type Profile struct {
	// Connections is keepAlive, or new: one for each request.
	Connections string `json:"connections"`

	// TLS is none, full or resumed: what a new connection costs.
	TLS string `json:"tls"`
}

// A Step is some time at one rate.
type Step struct {
	// Purpose is rate, search or churn: why it was run.
	Purpose string `json:"purpose"`

	// Asked is the rate at which requests fell due, of all kinds together.
	Asked float64 `json:"askedRate"`

	// OfCapacity is Asked as a part of the capacity, 0 where none was known.
	OfCapacity float64 `json:"ofCapacity,omitempty"`

	// At is when it began, from the start of the run. Seconds is how long it took,
	// until the last answer.
	At      float64 `json:"atSeconds"`
	Seconds float64 `json:"seconds"`

	// Scheduled is the number of requests that fell due; Answered of answers of any
	// status; RateAchieved of answers a second until the last.
	// Offered is Scheduled a second: what became of Asked by chance.
	Scheduled    int     `json:"scheduled"`
	Answered     int     `json:"answered"`
	Offered      float64 `json:"offeredRate"`
	RateAchieved float64 `json:"rateAchieved"`

	// Goodput is answers a second that had status 200, or another of success, not
	// later than [Asked.Within] after they were due.
	Goodput float64 `json:"goodput"`

	// Errors counts what was not such an answer, by kind; late ones are none.
	Errors map[string]int `json:"errors"`

	// Latency counts from the time when a request was due until its answer: this is
	// what an agent would have seen. Requests that failed have none, here and in
	// Service: a refusal is quick, and how slow a timeout is says a setting. They are
	// in Errors.
	Latency Percentiles `json:"latencyMicroseconds"`

	// Service counts from when the request was sent, as a closed loop measures.
	// It is here to show what that hides.
	Service Percentiles `json:"serviceMicroseconds"`

	// Lag is how long requests were due before they were sent: because all
	// connections were busy, or because the generator was late. If it is large
	// while Service is small, the generator, not the gateway, is the bottleneck.
	Lag Percentiles `json:"lagMicroseconds"`

	// Pauses is how late the generator woke when it had asked to: by its machine, by
	// others there, or by its own work. As much is in Latency that is not the
	// gateway's. See [Pauses].
	Pauses Percentiles `json:"pausesMicroseconds"`

	// Curve is Latency in more points, towards the slowest request.
	Curve []Point `json:"latencyCurve"`

	// Results counts answers to single questions by what they say.
	Results map[string]int `json:"results"`

	// Kinds has each kind of request by itself: ask, batch, poll, report, activate.
	Kinds map[string]KindResult `json:"kinds"`

	Connects Connects `json:"connects"`

	// ClientCPUSeconds is the processor time of the generator.
	ClientCPUSeconds float64 `json:"clientCpuSeconds"`

	// Server is nil if no operations plane was given, or none answered.
	Server *ServerUse `json:"server,omitempty"`

	// RecoverySeconds is, of a step after an overload, how long it took from its
	// start until the 99th percentile was within the limit and stayed so for a
	// second; -1 if it did not within the step, nil after no overload.
	RecoverySeconds *float64 `json:"recoverySeconds,omitempty"`

	// Updates is the number of changes to the table that were made meanwhile.
	Updates int `json:"updates,omitempty"`

	Series []Moment `json:"series"`
}

// A KindResult is what became of the requests of one kind.
type KindResult struct {
	Scheduled int `json:"scheduled"`
	Answered  int `json:"answered"`

	// Good is the number of answers that count for goodput.
	Good int `json:"good"`

	// Decisions is the number of agents answered: more than Good for batches.
	Decisions int `json:"decisions,omitempty"`

	// Changed is, of long polls, how many were answered early: something changed.
	// Since nobody can say when, they have no latency. Of those that waited to the
	// end the latency is what came on top of the wait.
	Changed int `json:"changed,omitempty"`

	// Unfinished is, of long polls, how many waited still when the step ended.
	Unfinished int `json:"unfinished,omitempty"`

	Latency Percentiles `json:"latencyMicroseconds"`
}

// Connects counts what connections took.
type Connects struct {
	Dialed  int `json:"dialed"`
	Full    int `json:"tlsFull"`
	Resumed int `json:"tlsResumed"`
}

// ServerUse is what the gateways used during a step, by their own metrics;
// several gateways together. Sizes are those at its end.
type ServerUse struct {
	Gateways int    `json:"gateways"`
	Version  string `json:"version"`

	// Processors are those that the gateways may use.
	Processors int `json:"processors"`

	CPUSeconds float64 `json:"cpuSeconds"`

	// CPUMicrosecondsPerRequest is CPUSeconds by the number of answers.
	CPUMicrosecondsPerRequest float64 `json:"cpuMicrosecondsPerRequest"`

	ResidentBytes float64 `json:"residentBytes"`
	HeapBytes     float64 `json:"heapBytes"`

	// Connections is how many the agent planes had open, the most seen in the step.
	Connections int `json:"connections"`

	// GossipBytes is what the gateways sent each other in the step, without the
	// headers of UDP, TCP and IP; 0 without a cluster.
	GossipBytes float64 `json:"gossipBytes,omitempty"`

	// Sizes of the table, of one gateway: they are all alike.
	Tenants int `json:"tenants"`
	SVMs    int `json:"svms"`
	VMs     int `json:"vms"`
}

// A Moment is a short time of a step: a second, or less in short steps.
type Moment struct {
	At       float64 `json:"at"` // its end, in seconds from the start of the run
	Rate     float64 `json:"rate"`
	Errors   int     `json:"errors"`
	P50      int64   `json:"p50Microseconds"`
	P99      int64   `json:"p99Microseconds"`
	CPU      float64 `json:"serverCpus,omitempty"` // processors that the gateways kept busy
	Resident float64 `json:"serverResidentBytes,omitempty"`
}

// Capacity is the highest rate that held within the limits.
type Capacity struct {
	RequestsPerSecond float64 `json:"requestsPerSecond"`

	// Told is whether it was given, rather than measured here.
	Told bool `json:"told,omitempty"`

	// FailedAt is the lowest rate that did not hold, 0 if all did; Why says what
	// did not.
	FailedAt float64 `json:"failedAt,omitempty"`
	Why      string  `json:"why,omitempty"`
}

// Churned compares steps with changes to the table and steps without, by the
// medians of the slices of each.
type Churned struct {
	UpdatesPerSecond float64 `json:"updatesPerSecond"` // achieved

	// Throughput and CPU are with changes as a part of without: answers a second,
	// and the gateways' processor time for each.
	Throughput float64 `json:"throughputRatio"`
	CPU        float64 `json:"cpuPerRequestRatio,omitempty"`
}

// Machine is where the generator ran; on loopback, the gateway too.
type Machine struct {
	Processor string `json:"processor"`
	CPUs      int    `json:"cpus"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Go        string `json:"go"`
}

// Millis is a duration whose JSON form is a number of milliseconds.
type Millis time.Duration

// MarshalJSON writes milliseconds.
func (m Millis) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(m).Seconds() * 1e3)
}

// UnmarshalJSON reads milliseconds.
func (m *Millis) UnmarshalJSON(text []byte) error {
	var ms float64
	if err := json.Unmarshal(text, &ms); err != nil {
		return err
	}
	if !(ms >= 0 && ms <= float64(MaxDuration.Milliseconds())) {
		return fmt.Errorf("bench: %v milliseconds: want from 0 to %d", ms, MaxDuration.Milliseconds())
	}
	*m = Millis(ms * float64(time.Millisecond))
	return nil
}

const (
	tool = "svmgate bench"

	// maxResult bounds a result that is read, in bytes.
	maxResult = 256 << 20
)

// ReadResult reads the JSON form of a Result that has at least one step. Fields
// of later releases are passed over.
func ReadResult(r io.Reader) (*Result, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxResult+1))
	if err != nil {
		return nil, fmt.Errorf("bench: read result: %w", err)
	}
	if len(text) > maxResult {
		return nil, fmt.Errorf("bench: a result has at most %d bytes", maxResult)
	}
	res := &Result{}
	if err := json.Unmarshal(text, res); err != nil {
		return nil, fmt.Errorf("bench: this is no result of svmgate bench --output json: %w", err)
	}
	switch {
	case res.Tool != tool:
		return nil, errors.New("bench: this is no result of svmgate bench --output json: it does not say so")
	case len(res.Steps) == 0:
		return nil, errors.New("bench: the result has no steps")
	}
	return res, nil
}

// WriteJSON writes the result as JSON, for people and programs.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("bench: write result: %w", err)
	}
	return nil
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
