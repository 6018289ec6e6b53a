package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/bench"
)

// benchFlags are the flags of bench that are no fields of its configuration.
type benchFlags struct {
	cfg    bench.Config
	limits bench.Limits

	agents, inventory, world string
	token, tokens            string
	mix, rate, report        string
	steps, churn, pairs      int
	find, skipVerify, change bool
	search                   bench.Search

	p99, recovery                     time.Duration
	errors, least, goodput, churnRate string
}

func benchCommand() *cobra.Command {
	f := &benchFlags{}
	cmd, conn := remote(&cobra.Command{
		Use:   "bench",
		Short: "Measure what a gateway can do",
		Long: `Measure what a gateway can do, as its agents would feel it. Requests fall due at
a rate, whatever the gateway does, and a latency counts from when its request was
due: nothing that a stall delays is left out.

Without other wishes it asks single questions over connections that are kept
alive. --find-capacity looks for the highest rate at which p99, errors and rate are
within limits; rates may then be parts of it. See docs/bench.md.

It ends with 0 if every limit that was given was kept, with 1 if not or if the
run failed, and with 2 if it was asked wrongly. Without limits, requests that fail
are told of and change nothing else.`,
		Args: exactly(),
		Example: `  svmgate bench --inventory inventory.yaml --rate 2000 --duration 30s
  svmgate bench --world tenants=10000,svms=4000,vms=1000000,seed=1 --find-capacity --rate 80%:60s --max-p99 5ms`,
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runBench(cmd, conn, f) }
	f.whoAsks(cmd)
	f.howOften(cmd)
	f.whatCounts(cmd)
	cmd.AddCommand(benchInventory(), benchTokens(conn))
	return cmd
}

func (f *benchFlags) whoAsks(cmd *cobra.Command) {
	flags, c := cmd.Flags(), &f.cfg
	flags.StringVar(&c.Target, "target", "http://127.0.0.1:7270", "agent plane to ask")
	flags.StringSliceVar(&c.Ops, "ops", nil, "operations `planes` of the gateways behind --target, for their processor time and memory (default: http://127.0.0.1:7272, if --target is not given either)")
	flags.BoolVar(&c.AllowRemote, "allow-remote", false, "permit --target and --ops on another machine")
	flags.StringVar(&f.agents, "agents", "", "`file` of BIOS IDs, one a line: those who ask, at random")
	flags.StringVar(&f.inventory, "inventory", "", "inventory `file` whose VMs ask")
	flags.StringVar(&f.world, "world", "", "made VMs ask: `tenants=1000,svms=400,vms=100000,seed=1`, as svmgate bench inventory makes them")
	flags.StringVar(&f.token, "agent-token", "", "bearer `token` that every agent shows")
	flags.StringVar(&f.tokens, "agent-tokens", "", "`file` of tenants and their tokens, as svmgate bench tokens writes it")
	flags.StringVar(&c.Query, "query", "", "parameters of each question, such as `version=12.0&os=server`")
	flags.StringVar(&f.mix, "mix", "ask=1", "how often each kind of request is made: ask, batch, poll, report, activate")
	flags.IntVar(&c.BatchLines, "batch-lines", 100, "agents in a batch")
	flags.DurationVar(&c.PollWait, "poll-wait", time.Minute, "how long a long poll waits")
	flags.BoolVar(&f.change, "allow-changes", false, "permit reports, activations and --churn, which change the gateway; what they change is put back")
	flags.IntVar(&c.Connections, "connections", 64, "connections for questions; long polls have their own")
	flags.BoolVar(&c.NewConnections, "new-connections", false, "make a connection for each request")
	flags.BoolVar(&c.FullHandshakes, "full-handshakes", false, "resume no TLS session")
	flags.BoolVar(&f.skipVerify, "insecure-skip-verify", false, "take any certificate of --target and --ops")
}

func (f *benchFlags) howOften(cmd *cobra.Command) {
	flags, c := cmd.Flags(), &f.cfg
	flags.StringVar(&f.rate, "rate", "", "requests a second, one step after another: `2000,4000:60s`, parts of the capacity such as 80%, or 1000..16000 (default 1000)")
	flags.IntVar(&f.steps, "steps", 5, "steps of --rate 1000..16000")
	flags.BoolVar(&c.Poisson, "poisson", false, "exponential times between requests rather than equal ones")
	flags.DurationVar(&c.Duration, "duration", 0, "how long a step is (default 10s, unless there is --count)")
	flags.IntVar(&c.Count, "count", 0, "how many requests a step has at most; 0: as many as fall due")
	flags.DurationVar(&c.Warmup, "warmup", 0, "ask for so long before anything is measured")
	flags.BoolVar(&f.find, "find-capacity", false, "look for the highest rate that is within the limits, before --rate")
	flags.Float64Var(&f.search.From, "find-from", 1000, "rate to begin with")
	flags.DurationVar(&f.search.Duration, "find-step", 5*time.Second, "how long each try is")
	flags.IntVar(&f.search.Halvings, "find-halvings", 4, "tries once a rate has failed; each halves what is in doubt")
	flags.Float64Var(&c.Capacity, "capacity", 0, "the capacity, measured before, that --rate 80% is a part of")
	flags.IntVar(&f.churn, "churn", 0, "compare with slices in which so many VMs move each second")
	flags.IntVar(&f.pairs, "churn-pairs", 3, "slices of each kind")
	flags.DurationVar(&c.Timeout, "timeout", 10*time.Second, "how long an answer may take")
	flags.DurationVar(&c.Patience, "patience", 0, "how long a request that is due may wait for a connection before it is given up unsent (default: --timeout)")
	flags.Uint64Var(&c.Seed, "seed", 0, "what agents and times are made from; 0: chance")
}

func (f *benchFlags) whatCounts(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.DurationVar(&f.cfg.Within, "within", 0, "an answer later than this is no goodput (default: --timeout)")
	flags.DurationVar(&f.p99, "max-p99", 0, "limit of the 99th percentile; 5ms for --find-capacity")
	flags.StringVar(&f.errors, "max-errors", "", "limit of the `share` of requests that fail; 0.1% for --find-capacity")
	flags.StringVar(&f.least, "min-rate", "", "least `share` of the offered rate that is answered; 98% for --find-capacity")
	flags.StringVar(&f.goodput, "min-goodput", "", "least `share` of the capacity that is answered in time beyond it")
	flags.DurationVar(&f.recovery, "max-recovery", 0, "how long p99 may be over its limit after a step beyond the capacity")
	flags.StringVar(&f.churnRate, "min-under-churn", "", "least `share` of the throughput that --churn leaves")
	flags.StringVar(&f.report, "report", "", "write a page with plots to this `file` (HTML)")
}

// config checks the flags, and fills in the configuration but for who asks and
// what reaches the management plane.
func (f *benchFlags) config(cmd *cobra.Command, conn *connection) (err error) {
	if err := checkOutput(conn.output); err != nil {
		return err
	}
	c := &f.cfg
	if c.Mix, err = bench.ParseMix(f.mix); err != nil {
		return usage("--mix %s: %w", f.mix, err)
	}
	if f.rate == "" && !f.find {
		f.rate = "1000"
	}
	if f.rate != "" {
		if c.Rates, err = bench.ParseRates(f.rate, f.steps); err != nil {
			return usage("--rate %s: %w", f.rate, err)
		}
	}
	if f.find {
		c.Search = &f.search
	}
	if err := f.parseLimits(); err != nil {
		return err
	}
	c.Limits = f.limits
	changes := c.Mix[bench.Report]+c.Mix[bench.Activate] > 0 || f.churn != 0
	if changes && !f.change {
		return usage("reports, activations and --churn change the gateway: give --allow-changes if that is meant")
	}
	if c.TLS, err = f.tls(conn); err != nil {
		return err
	}
	return f.findOps(cmd)
}

func (f *benchFlags) parseLimits() error {
	l := &f.limits
	l.P99, l.Recovery = bench.Millis(f.p99), bench.Millis(f.recovery)
	for name, into := range map[string]*float64{"min-rate": &l.Rate, "min-goodput": &l.Goodput, "min-under-churn": &l.Churn} {
		text := map[string]string{"min-rate": f.least, "min-goodput": f.goodput, "min-under-churn": f.churnRate}[name]
		if text == "" {
			continue
		}
		var err error
		if *into, err = parseShare(text); err != nil {
			return usage("--%s: %w", name, err)
		}
	}
	if f.errors != "" {
		share, err := parseShare(f.errors)
		if err != nil {
			return usage("--max-errors: %w", err)
		}
		l.Errors = &share
	}
	return nil
}

// parseShare reads 0.1% or 0.001.
func parseShare(text string) (float64, error) {
	number, isPercent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if isPercent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q: want a share such as 0.1%% or 0.001, at most 100%%", text)
	}
	return v, nil
}

func (f *benchFlags) tls(conn *connection) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.skipVerify}
	if conn.caFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(conn.caFile)
	if err != nil {
		return nil, usage("--ca-file: %w", err)
	}
	if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, usage("--ca-file %s: has no PEM certificate", conn.caFile)
	}
	return cfg, nil
}

// findOps looks at the operations planes: one that was asked for has to answer.
func (f *benchFlags) findOps(cmd *cobra.Command) error {
	given := cmd.Flags().Changed("ops")
	if !given && !cmd.Flags().Changed("target") {
		f.cfg.Ops = []string{"http://127.0.0.1:7272"}
	}
	for i, plane := range f.cfg.Ops {
		f.cfg.Ops[i] = strings.TrimSuffix(plane, "/")
	}
	if err := bench.CheckOps(cmd.Context(), &f.cfg); err != nil {
		if given || len(f.cfg.Ops) == 0 {
			return usage("%w", err)
		}
		f.cfg.Ops = nil
	}
	return nil
}

func runBench(cmd *cobra.Command, conn *connection, f *benchFlags) error {
	if err := f.config(cmd, conn); err != nil {
		return err
	}
	if err := f.findAgents(); err != nil {
		return err
	}
	if f.change {
		if err := f.manage(cmd, conn); err != nil {
			return err
		}
	}
	result, err := f.runShown(cmd)
	if result == nil {
		return usage("%w", err)
	}
	if f.report != "" {
		page, pageErr := result.Page()
		if pageErr == nil {
			pageErr = os.WriteFile(f.report, page, 0o600)
		}
		err = errors.Join(err, pageErr)
	}
	if conn.output == "json" {
		err = errors.Join(err, result.WriteJSON(cmd.OutOrStdout()))
	} else {
		err = errors.Join(err, showBench(cmd.OutOrStdout(), result))
	}
	if err != nil {
		return err
	}
	return missed(result)
}

// missed is the error of a run that did not keep to a limit.
func missed(r *bench.Result) error {
	var all []string
	for _, v := range r.Verdicts {
		switch {
		case v.Holds:
		case v.Step < 0:
			all = append(all, v.String())
		default:
			all = append(all, fmt.Sprintf("at %.0f requests/s %s", r.Steps[v.Step].Asked, v))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "\n"))
}
