package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"

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

// explanation is what is shown of a [discovery.Explanation].
type explanation struct {
	Sentence   string                `json:"sentence"`
	Candidates []discovery.Candidate `json:"candidates"`
}

func showExplanation(w io.Writer, body []byte) error {
	var e explanation
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s\n\n", e.Sentence); err != nil {
		return err
	}
	rows := make([]table.Row, 0, len(e.Candidates))
	for _, c := range e.Candidates {
		rank, why := "-", c.Reason
		if c.Rank > 0 {
			rank = fmt.Sprint(c.Rank)
		}
		if c.Removed != "" {
			why = c.Removed + ": " + c.Reason
		}
		name := c.Name
		if name == "" {
			name = c.ID.String()
		}
		rows = append(rows, table.Row{rank, name, c.Address, yes(c.Licensed), yes(c.KeyMatch), yes(c.Local), c.State, c.Load, why})
	}
	return printTable(w, table.Row{"RANK", "SVM", "ADDRESS", "LICENSED", "KEY FITS", "LOCAL", "STATE", "LOAD", "WHY"}, rows)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
