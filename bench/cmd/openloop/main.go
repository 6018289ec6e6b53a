// Command openloop puts a gateway under a fixed load and prints what it measured
// as JSON. The rate does not give way to a slow gateway, and latencies count
// from when each request was due.
//
//	openloop -target http://127.0.0.1:7270 -rate 5000 -duration 10s -inventory examples/sample/inventory.yaml
//	openloop -target http://127.0.0.1:7270 -rate 5000 -duration 10s -agents ids.txt
//
// It can also make an inventory for a gateway to import:
//
//	openloop -write-inventory big.ndjson -tenants 10000 -svms 4000 -vms 1000000
//
// It exits with 0 if every request was answered with status 200, with 1 if not
// or if the run failed, and with 2 if it was called wrongly.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/svmgate/svmgate/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	cfg       bench.Config
	agents    string
	inventory string
	write     string
	world     bench.World
}

func (o *options) flags(errOut io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("openloop", flag.ContinueOnError)
	f.SetOutput(errOut)
	c := &o.cfg
	f.StringVar(&c.Target, "target", "http://127.0.0.1:7270", "agent plane to ask")
	f.BoolVar(&c.AllowRemote, "allow-remote", false, "permit a target on another machine")
	f.StringVar(&o.agents, "agents", "", "file of BIOS IDs, one a line; those who ask, at random")
	f.StringVar(&o.inventory, "inventory", "", "inventory file (YAML, JSON, NDJSON, CSV) whose VMs ask, instead of -agents")
	f.StringVar(&c.Query, "query", "", "parameters of each question, such as version=12.0&os=server")
	f.StringVar(&c.Token, "token", "", "bearer token to send")
	f.Float64Var(&c.Rate, "rate", 1000, "requests a second")
	f.BoolVar(&c.Poisson, "poisson", false, "exponential times between requests rather than equal ones")
	f.DurationVar(&c.Duration, "duration", 0, "how long; 10s if there is no -count either")
	f.IntVar(&c.Count, "count", 0, "how many requests at most; 0: as many as fall due")
	f.IntVar(&c.Connections, "connections", 64, "connections kept open")
	f.DurationVar(&c.Timeout, "timeout", 0, "how long one answer may take (default 10s)")
	f.IntVar(&c.Backlog, "backlog", 0, "due requests that may wait for a connection (default 100000)")
	f.Uint64Var(&c.Seed, "seed", 0, "what the choice of agents and the times are made from (0: random), or a written inventory")
	f.StringVar(&o.write, "write-inventory", "", "write an inventory (NDJSON) to this file, and ask nobody")
	f.IntVar(&o.world.Tenants, "tenants", 1000, "tenants of a written inventory")
	f.IntVar(&o.world.SVMs, "svms", 400, "SVMs of a written inventory")
	f.IntVar(&o.world.VMs, "vms", 100_000, "VMs of a written inventory")
	return f
}

var errUsage = errors.New("wrong usage")

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o := &options{}
	flags := o.flags(errOut)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	err := o.run(ctx, flags.Args(), out)
	if err == nil {
		return 0
	}
	fmt.Fprintln(errOut, "openloop:", err)
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func (o *options) run(ctx context.Context, rest []string, out io.Writer) error {
	if len(rest) > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, rest[0])
	}
	if o.write != "" {
		return o.writeInventory()
	}
	name := o.agents + o.inventory
	if name == "" || o.agents != "" && o.inventory != "" {
		return fmt.Errorf("%w: one of -agents FILE and -inventory FILE says who asks", errUsage)
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if o.cfg.Agents, err = bench.ReadAgents(file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if o.cfg.Duration == 0 && o.cfg.Count == 0 {
		o.cfg.Duration = bench.DefaultDuration
	}
	result, err := bench.Run(ctx, o.cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(result); err != nil {
		return err
	}
	bad := 0
	for _, n := range result.Steps[0].Errors {
		bad += n
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d requests were not answered with status 200", bad, result.Steps[0].Scheduled)
	}
	return nil
}

func (o *options) writeInventory() error {
	if o.world.Tenants < 0 || o.world.SVMs < 0 || o.world.VMs < 0 {
		return fmt.Errorf("%w: -tenants, -svms and -vms must not be negative", errUsage)
	}
	o.world.Seed = o.cfg.Seed
	file, err := os.OpenFile(o.write, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(o.world.WriteInventory(file), file.Close())
}
