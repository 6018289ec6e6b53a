package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

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
			var paths []string
			for _, given := range args { // find all before one is drained
				path, err := conn.openSVM(cmd, given)
				if err != nil {
					return err
				}
				paths = append(paths, path)
			}
			return conn.drain(cmd, paths, body)
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
func (c *connection) drain(cmd *cobra.Command, paths []string, body any) error {
	done := page{Items: []json.RawMessage{}}
	for _, path := range paths {
		answer, err := c.send(cmd.Context(), "POST", path+"/drain", nil, body)
		if err != nil {
			return err
		}
		done.Items = append(done.Items, answer)
		if c.output == "json" {
			continue
		}
		var s store.SVM
		if err := json.Unmarshal(answer, &s); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), drainLine(&s)); err != nil {
			return err
		}
	}
	if c.output != "json" {
		return nil
	}
	if len(done.Items) == 1 {
		return printJSON(cmd, done.Items[0])
	}
	text, err := json.Marshal(done)
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
