package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/bench"
	"github.com/svmgate/svmgate/bench/plan"
)

func planCommand() *cobra.Command {
	in := plan.Defaults()
	var measured []string
	var output string
	cmd := &cobra.Command{
		Use: "plan --agents N [--measured FILE…]", Short: "Say how many gateways, processors and SVMs a number of agents needs", Args: exactly(),
		Long: "Say how many gateways, processors and SVMs a number of agents needs, how much memory and bandwidth, and how\n" +
			"long it takes until all have an SVM again after an outage.\n\n" +
			"What a question costs comes from results of svmgate bench --output json, one or more for each way in which\n" +
			"agents connect; what no result tells is assumed from a reference machine. Every figure says where it comes\n" +
			"from: given, measured, assumed, or computed, with the arithmetic.",
		Example: "  svmgate bench --rate 1000,4000,8000 --connection new --tls full … --output json > full.json\n" +
			"  svmgate plan --agents 1000000 --measured full.json\n" +
			"  svmgate plan --agents 200000 --tls 0 --new 0.5 --output json",
	}
	f := cmd.Flags()
	f.IntVar(&in.Agents, "agents", 0, "agents in all")
	f.DurationVar(&in.Interval, "interval", in.Interval, "an agent asks so often")
	f.Float64Var(&in.WithoutSVM, "without-svm", in.WithoutSVM, "part of the agents that have no SVM, from 0 to 1")
	f.DurationVar(&in.WithoutInterval, "without-interval", in.WithoutInterval, "one of those asks so often")
	f.Float64Var(&in.Waiting, "waiting", in.Waiting, "part of the others that hold a long poll (wait=)")
	f.DurationVar(&in.Wait, "wait", in.Wait, "how long a long poll lasts")
	f.DurationVar(&in.Reconnect, "reconnect", in.Reconnect, "after an outage all ask within this time")
	f.Float64Var(&in.TLS, "tls", in.TLS, "part of the questions that come by TLS")
	f.Float64Var(&in.New, "new", in.New, "part of the questions on a new connection: idle ones are closed after 75s")
	f.Float64Var(&in.Resumed, "resumed", in.Resumed, "part of the new TLS connections that resume a session")
	f.Float64Var(&in.Closed, "closed", in.Closed, "part of the questions behind whose answer the agent closes the connection")
	f.Float64Var(&in.Updates, "updates", in.Updates, "changes to the table a second")
	f.DurationVar(&in.ReportEvery, "report-every", in.ReportEvery, "an SVM reports so often")
	f.IntVar(&in.SVMCapacity, "svm-capacity", in.SVMCapacity, "agents that an SVM takes")
	f.IntVar(&in.FailedSVMs, "failed-svms", in.FailedSVMs, "SVMs that may fail at once")
	f.IntVar(&in.FailedGateways, "failed-gateways", in.FailedGateways, "gateways that may fail at once")
	f.IntVar(&in.Processors, "gateway-processors", in.Processors, "processors of a gateway")
	f.Float64Var(&in.Load, "load", in.Load, "part of them that may be busy, from 0.05 to 0.95")
	f.StringArrayVar(&measured, "measured", nil, "a result of svmgate bench --output json")
	f.StringVar(&output, "output", "table", "table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := makePlan(in, measured, output)
		if err != nil {
			return err
		}
		for i := range p.Given {
			if key := p.Given[i].Key; f.Changed(key) {
				p.Say(key)
			}
		}
		if output == "json" {
			body, err := json.Marshal(p)
			if err != nil {
				return err
			}
			return printJSON(cmd, body)
		}
		return printPlan(cmd.OutOrStdout(), p)
	}
	return cmd
}

func makePlan(in plan.Input, measured []string, output string) (*plan.Plan, error) {
	if output != "table" && output != "json" {
		return nil, UsageError{fmt.Errorf("--output %q: want table or json", output)}
	}
	var sources []plan.Source
	for _, name := range measured {
		result, err := readResult(name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, plan.Source{Name: name, Result: result})
	}
	costs, err := plan.Learn(sources)
	if err != nil {
		return nil, err
	}
	p, err := plan.Make(in, costs)
	if bad := (*plan.InputError)(nil); errors.As(err, &bad) {
		return nil, UsageError{fmt.Errorf("--%s %s", planFlags[bad.Field], bad.Reason)}
	}
	return p, err
}

// planFlags are the flags of the fields of a plan's input.
var planFlags = map[string]string{
	"Agents": "agents", "Interval": "interval", "WithoutSVM": "without-svm", "WithoutInterval": "without-interval",
	"Waiting": "waiting", "Wait": "wait", "Reconnect": "reconnect", "TLS": "tls", "New": "new", "Resumed": "resumed", "Closed": "closed",
	"Updates": "updates", "ReportEvery": "report-every", "SVMCapacity": "svm-capacity", "FailedSVMs": "failed-svms",
	"FailedGateways": "failed-gateways", "Processors": "gateway-processors", "Load": "load",
}

func readResult(name string) (*bench.Result, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	result, err := bench.ReadResult(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return result, nil
}

// printPlan writes what is needed first: that is what was asked for.
func printPlan(w io.Writer, p *plan.Plan) error {
	for _, section := range []struct {
		title string
		list  []plan.Figure
	}{{"NEEDED", p.Needed}, {"GIVEN", p.Given}, {"WHAT THINGS COST", p.Costs}} {
		var rows []table.Row
		for _, f := range section.list {
			how := f.How
			if f.Source != plan.Computed {
				how = strings.TrimSuffix(f.Source+": "+f.How, ": ")
			}
			rows = append(rows, table.Row{f.Name, strings.TrimSpace(plan.Number(f.Value) + " " + f.Unit), how})
		}
		if err := printTable(w, table.Row{section.title, "", "FROM"}, rows); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	for _, text := range p.Warnings {
		if _, err := fmt.Fprintln(w, "Note:", text+"."); err != nil {
			return err
		}
	}
	return nil
}
