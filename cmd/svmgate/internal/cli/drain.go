package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

func svmDrain(conn *connection) *cobra.Command {
	var (
		over time.Duration
		rate int
	)
	cmd := &cobra.Command{
		Use: "drain SVM…", Short: "Let SVMs take no new agents, and those that they have leave", Args: atLeast("SVM"),
		Long: `Let SVMs take no new agents, and those that they have leave evenly over a time:
each is given another SVM when it asks and its turn has come. Of an SVM that
drains already, --over and --rate change only how long it takes.`,
		Example: "  svmgate svm drain svm-03 svm-04 --over 1h\n  svmgate svm drain svm-03 --rate 100",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := drainBody(cmd, over, rate)
			if err != nil {
				return err
			}
			if err := conn.open(cmd); err != nil {
				return err
			}
			var ids []string
			for _, given := range args { // find all before one is drained
				id, err := conn.svmID(cmd.Context(), given)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return conn.drain(cmd, ids, body)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&over, "over", store.DefaultDrain, "how long their agents take to leave, at most "+store.MaxDrain.String()+"; 0 is at once")
	f.IntVar(&rate, "rate", 0, "agents a minute that leave each SVM, instead of --over")
	return cmd
}

// drainBody is what is asked for: nil if nothing is.
func drainBody(cmd *cobra.Command, over time.Duration, rate int) (any, error) {
	byTime, byRate := cmd.Flags().Changed("over"), cmd.Flags().Changed("rate")
	switch {
	case byTime && byRate:
		return nil, usage("--over and --rate exclude each other")
	case byTime && (over < 0 || over > store.MaxDrain):
		return nil, usage("--over %v: want 0s to %v", over, store.MaxDrain)
	case byRate && rate < 1:
		return nil, usage("--rate %d: want at least 1 agent a minute", rate)
	case byTime:
		return map[string]string{"over": over.String()}, nil
	case byRate:
		return map[string]int{"rate": rate}, nil
	}
	return nil, nil
}

// drain drains SVMs one by one, and says of each what becomes of its agents.
func (c *connection) drain(cmd *cobra.Command, ids []string, body any) error {
	if c.output == "json" {
		return c.drainForJSON(cmd, ids, body)
	}
	// Asked before: once they drain, agents that are not remembered would not be there.
	future, unknown := c.forecast(cmd.Context(), supposition{Lose: ids})
	var drained []store.SVMID
	for _, id := range ids {
		answer, err := c.send(cmd.Context(), "POST", "/v1/svms/"+id+"/drain", nil, body)
		if err != nil {
			return err
		}
		var s store.SVM
		if err := json.Unmarshal(answer, &s); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), drainLine(&s)); err != nil {
			return err
		}
		drained = append(drained, s.ID)
	}
	if unknown != nil {
		cmd.PrintErrln("Where their agents will be can not be told now:", unknown)
		return nil
	}
	return sayWhere(cmd, future, drained)
}

// drainForJSON drains SVMs and writes what was answered: the SVM, or a list of them.
func (c *connection) drainForJSON(cmd *cobra.Command, ids []string, body any) error {
	all := page{Items: []json.RawMessage{}}
	for _, id := range ids {
		answer, err := c.send(cmd.Context(), "POST", "/v1/svms/"+id+"/drain", nil, body)
		if err != nil {
			return err
		}
		all.Items = append(all.Items, answer)
	}
	if len(all.Items) == 1 {
		return printJSON(cmd, all.Items[0])
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return printJSON(cmd, text)
}

func drainLine(s *store.SVM) string {
	when := "at their next question"
	if s.Drain.Over > 0 {
		when = "by " + stamp(store.Time{Time: s.Drain.Until()})
	}
	return fmt.Sprintf("SVM %s (%s) is %s: its agents (%d by its last report) are sent elsewhere %s",
		orDash(s.Name), s.ID, s.State, s.ConnectedAgents, when)
}

// maxGoals is how many SVMs are named of those where an SVM's agents go.
const maxGoals = 5

// sayWhere tells where the agents of SVMs will be.
func sayWhere(cmd *cobra.Command, forecast []byte, drained []store.SVMID) error {
	var f discovery.Forecast
	if err := json.Unmarshal(forecast, &f); err != nil {
		return err
	}
	for _, id := range drained {
		if line := goals(&f, id); line != "" {
			fmt.Fprintln(cmd.OutOrStdout(), line)
		}
	}
	now, then := f.Before, f.InTheEnd
	if n := then.NoSVM + then.OverCapacity - now.NoSVM - now.OverCapacity; n > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%s will find no SVM: for %d none passes the filters, for %d all that do are at their hard cap\n",
			plural(n, "agent"), then.NoSVM, then.OverCapacity)
	}
	return nil
}

// goals says where the agents of an SVM go; nothing if nobody goes.
func goals(f *discovery.Forecast, from store.SVMID) string {
	var to []string
	name := ""
	for _, flow := range f.Flows {
		if flow.From.ID == from {
			name = nameOr(flow.From.Name, from)
			to = append(to, fmt.Sprintf("%d to %s", flow.Agents, nameOr(flow.To.Name, flow.To.ID)))
		}
	}
	switch {
	case len(to) == 0:
		return ""
	case len(to) > maxGoals || f.FlowCount > len(f.Flows):
		to = append(to[:min(len(to), maxGoals)], "some elsewhere")
	}
	return "From " + name + " will go " + strings.Join(to, ", ")
}
