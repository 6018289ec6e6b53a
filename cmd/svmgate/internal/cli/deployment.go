package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
)

func tenantShow(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show TENANT", Short: "Show a tenant, given by id or name, and how far its deployment has come", Args: exactly("TENANT"),
		Example: "  svmgate tenant show acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := conn.openTenant(cmd, args[0])
			if err != nil {
				return err
			}
			body, err := conn.get(cmd.Context(), path, nil)
			if err != nil {
				return err
			}
			steps, err := conn.get(cmd.Context(), path+"/deployment", nil)
			if err != nil {
				return err
			}
			if conn.output == "json" {
				return printJSON(cmd, with(body, "deployment", steps))
			}
			var d tenancy.Deployment
			if err := json.Unmarshal(steps, &d); err != nil {
				return err
			}
			if err := printObject(cmd.OutOrStdout(), body); err != nil {
				return err
			}
			return printDeployment(cmd.OutOrStdout(), &d)
		},
	}
}

// with adds a field to a JSON object that has some.
func with(object []byte, name string, value []byte) []byte {
	object = bytes.TrimSuffix(bytes.TrimSpace(object), []byte("}"))
	return fmt.Appendf(nil, "%s,%q:%s}", object, name, bytes.TrimSpace(value))
}

// Of the checklist, in columns.
const (
	stepMargin = 12
	stepWidth  = 100 - stepMargin
)

// printDeployment writes the steps as a checklist. What is found is wrapped; what may be
// copied is not.
func printDeployment(w io.Writer, d *tenancy.Deployment) error {
	var out strings.Builder
	state := "nothing is missing"
	if n := len(d.Missing); n > 0 {
		state = fmt.Sprintf("%d of %s missing", n, plural(len(d.Steps), "step"))
	}
	fmt.Fprintf(&out, "\nDeployment: %s\n", state)
	margin := strings.Repeat(" ", stepMargin)
	for _, s := range d.Steps {
		fmt.Fprintf(&out, "%d %-*s%s\n", s.Number, stepMargin-2, stepWord(s.State), s.Title)
		for line := range strings.Lines(text.WrapSoft(s.Found, stepWidth)) {
			fmt.Fprintln(&out, margin+strings.TrimSpace(line))
		}
		if s.Remedy != "" {
			fmt.Fprintln(&out, margin+"-> "+s.Remedy)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// stepWord is a state as people read it; what is to be done stands out.
func stepWord(state tenancy.StepState) string {
	switch state {
	case tenancy.StepMissing:
		return "MISSING"
	case tenancy.StepNotNeeded:
		return "no need"
	}
	return string(state)
}

func tenantHandover(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "handover TENANT", Short: "Print what the administrator of a tenant is given, ready to be sent", Args: exactly("TENANT"),
		Long: "Print what the administrator of a tenant is given: where the virtual Administration Server is, and by\n" +
			"which account it is used. The password is not part of it: the gateway does not keep it.",
		Example: "  svmgate tenant handover acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := conn.openTenant(cmd, args[0])
			if err != nil {
				return err
			}
			body, err := conn.get(cmd.Context(), path+"/handover", nil)
			if err != nil {
				return err
			}
			return conn.print(cmd, body, func(w io.Writer) error {
				var h tenancy.Handover
				if err := json.Unmarshal(body, &h); err != nil {
					return err
				}
				for _, s := range h.Missing {
					cmd.PrintErrf("Not ready yet: step %d (%s): %s.\n", s.Number, s.Title, s.Found)
				}
				return printHandover(w, &h)
			})
		},
	}
}

// printHandover writes a text for the tenant's administrator.
func printHandover(w io.Writer, h *tenancy.Handover) error {
	var out strings.Builder
	fmt.Fprintf(&out, "The virtual Administration Server of %s in Kaspersky Security Center\n\n", h.Name)
	for _, row := range [][2]string{
		{"Server", h.Server}, {"Address", h.Address}, {"Account", h.User}, {"Integration Server", h.IntegrationServer},
	} {
		if row[1] != "" {
			fmt.Fprintf(&out, "  %-19s %s\n", row[0]+":", row[1])
		}
	}
	fmt.Fprintf(&out, "\n%s\n", strings.Join(h.Advice, " "))
	_, err := io.WriteString(w, out.String())
	return err
}
