package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// questionFlags are passed on as the query parameters of their names.
var questionFlags = []struct{ flag, parameter, usage string }{
	{"version", "version", "the agent's version, such as 12.0"},
	{"os", "os", "the guest: server or desktop"},
	{"kind", "kind", "the agent: linux or windows"},
	{"tag", "tag", "the agent's tag, where the tenant's settings are not locked"},
	{"failed", "failed", "SVMs that the agent could not reach, `ids` separated by commas"},
	{"current", "current", "the SVM `id` that the agent is connected to"},
	{"protection", "protection", "connection protection, on or off, where settings are not locked"},
	{"algorithm", "algorithm", "standard or extended, where settings are not locked"},
	{"path", "path", "scope of the extended algorithm, where settings are not locked"},
	{"bios-id-order", "biosIdOrder", "swapped reads the BIOS ID in the other byte order"},
}

func explainCommand() *cobra.Command {
	cmd, conn := remote(&cobra.Command{
		Use:   "explain BIOS_ID",
		Short: "Tell why an agent gets this SVM, and why not the others",
		Long: `Tell why the agent of a VM gets this SVM: every SVM with its rank, or with the
rule that removed it and the reason. Flags say what the agent would say of itself;
what they do not say comes from the VM's record and the tenant's settings.`,
		Args:    exactly("BIOS_ID"),
		Example: "  svmgate explain 4c4c4544-0042-3510-8052-b4c04f4e3732 --version 12.1",
	})
	for _, f := range questionFlags {
		cmd.Flags().String(f.flag, "", f.usage)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := store.ParseBIOSID(args[0]); err != nil {
			return usage("BIOS_ID %q: %w", args[0], err)
		}
		if err := conn.open(cmd); err != nil {
			return err
		}
		query := url.Values{}
		for _, f := range questionFlags {
			if cmd.Flags().Changed(f.flag) {
				query.Set(f.parameter, cmd.Flags().Lookup(f.flag).Value.String())
			}
		}
		body, err := conn.get(cmd.Context(), "/v1/explain/"+url.PathEscape(args[0]), query)
		if err != nil {
			return err
		}
		return conn.print(cmd, body, func(w io.Writer) error { return showExplanation(w, body) })
	}
	return cmd
}

// Rows of an explanation that are for people.
const (
	rankedRows  = discovery.MaxLimit
	removedRows = 10
)

func showExplanation(w io.Writer, body []byte) error {
	var e discovery.Explanation
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n\n", e.Sentence)
	if err := showFacts(w, &e); err != nil {
		return err
	}
	ranked := 0
	for ranked < len(e.Candidates) && e.Candidates[ranked].Rank > 0 {
		ranked++
	}
	return errors.Join(showRanked(w, e.Candidates[:ranked]), showRemoved(w, e.Candidates[ranked:]))
}

// showFacts tells what was decided from, as far as it is known.
func showFacts(w io.Writer, e *discovery.Explanation) error {
	f := &e.Facts
	var agent []string
	add := func(text, format string) {
		if text != "" {
			agent = append(agent, fmt.Sprintf(format, text))
		}
	}
	add(f.Version, "version %s")
	add(f.OS.String(), "%s")
	add(f.Kind.String(), "%s")
	add(f.Tag, "tag %s")
	if f.Protection {
		agent = append(agent, "protected connection")
	}
	add(f.Path.Host, "host %s")
	add(f.Path.Cluster, "cluster %s")
	add(f.Path.Zone, "zone %s")
	rule := f.Algorithm.String()
	if f.Scope != store.PathIgnore {
		rule += " within the " + f.Scope.String()
	}
	rows := [][2]string{{"Agent", orDash(strings.Join(agent, ", "))}, {"Rule", rule + ", " + f.Load.String()}}
	if t := e.Tenant; t != nil {
		rows = append(rows, [2]string{"Tenant", fmt.Sprintf("%s (%v, %v)", t.Name, t.Type, t.Status)})
	}
	if h := e.Has; h != nil {
		source := "as remembered"
		if h.Says {
			source = "as it says"
		}
		rows = append(rows, [2]string{"Has", nameOr(h.Name, h.ID) + ", " + source})
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%-7s %s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

func showRanked(w io.Writer, list []discovery.Candidate) error {
	rows := make([]table.Row, 0, len(list))
	for i := range list {
		c, why := &list[i], list[i].Reason
		if i == 0 {
			why = "the answer" // which the sentence has explained
		}
		rows = append(rows, table.Row{
			c.Rank, nameOr(c.Name, c.ID), c.Address, standing(c), classOf(c), c.Load, c.Fair, count(c.HardCap), why,
		})
	}
	header := table.Row{"RANK", "SVM", "ADDRESS", "STATE", "CLASS", "LOAD", "FAIR SHARE", "HARD CAP", "WHY"}
	return sectionOf(w, header, rows, rankedRows)
}

func showRemoved(w io.Writer, list []discovery.Candidate) error {
	rows := make([]table.Row, 0, len(list))
	for i := range list {
		c := &list[i]
		rows = append(rows, table.Row{nameOr(c.Name, c.ID), c.Address, standing(c), c.Load, orDash(c.Removed), c.Reason})
	}
	return sectionOf(w, table.Row{"NOT RANKED", "ADDRESS", "STATE", "LOAD", "RULE", "WHY"}, rows, removedRows)
}

// sectionOf writes as many rows as are for people, and how many more there are.
func sectionOf(w io.Writer, header table.Row, rows []table.Row, most int) error {
	return section(w, header, rows[:min(len(rows), most)], len(rows), "")
}

// standing is an SVM's state with all that bears on it.
func standing(c *discovery.Candidate) string {
	text := c.State.String()
	if c.Suspect && c.State != store.Suspect {
		text += ", suspect"
	}
	if c.Held {
		text += ", held"
	}
	if c.State == store.Draining {
		text += fmt.Sprintf(" %d %%", c.Left)
	} else if c.State == store.Ready && c.Open < 8 {
		text += fmt.Sprintf(", open to %d/8", c.Open)
	}
	return text
}

// classOf is by what an SVM comes before others, or not.
func classOf(c *discovery.Candidate) string {
	parts := []string{"no licence", "key unfit", ""}
	if c.Licensed {
		parts[0] = "licensed"
	}
	if c.KeyMatch {
		parts[1] = "key fits"
	}
	if c.Local {
		parts[2] = ", local"
	}
	return parts[0] + ", " + parts[1] + parts[2]
}
