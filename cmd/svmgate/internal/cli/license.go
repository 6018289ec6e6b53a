package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/store"
)

// licenseView is what the command line reads of /v1/licenses.
type licenseView struct {
	At store.Time `json:"at"`
	license.Licenses
	All       license.Cover    `json:"all"`
	Protected license.Cover    `json:"protected"`
	Items     []license.Tenant `json:"items"`
	Next      string           `json:"next"`
}

func licenseCommand() *cobra.Command {
	cmd, conn := remote(&cobra.Command{
		Use: "license", Short: "Show the licences of SVMs, and which tenants' VMs they cover", Args: exactly(),
		Long: "Show the licences of SVMs, which end soon, and which tenants' VMs they cover.\n\n" +
			"Each VM is in one of four columns, by the best licence among the SVMs that the filters admit for it, up or\n" +
			"not: COVERED by a valid one with a key that matches the guest, OTHER KEY a valid one with a key for other\n" +
			"guests (or the guest is not known), UNLICENSED none is valid, NO SVM there is none.",
		Example: "  svmgate license\n  svmgate license --output json",
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := conn.open(cmd); err != nil {
			return err
		}
		all, err := conn.licenses(cmd)
		if err != nil {
			return err
		}
		if conn.output == "json" {
			body, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return printJSON(cmd, body)
		}
		return printLicenses(cmd.OutOrStdout(), all)
	}
	return cmd
}

// licenses reads all pages of /v1/licenses as one.
func (c *connection) licenses(cmd *cobra.Command) (all licenseView, err error) {
	query := url.Values{"limit": {"1000"}}
	for {
		body, err := c.get(cmd.Context(), "/v1/licenses", query)
		if err != nil {
			return all, err
		}
		var page licenseView
		if err := json.Unmarshal(body, &page); err != nil {
			return all, fmt.Errorf("GET /v1/licenses: %w", err)
		}
		if page.Next != "" && page.Next == query.Get("after") {
			return all, errors.New("GET /v1/licenses: the gateway repeats a page")
		}
		page.Items = append(all.Items, page.Items...)
		if all = page; all.Next == "" {
			return all, nil
		}
		query.Set("after", all.Next)
	}
}

// printLicenses writes three tables, those that have something.
func printLicenses(w io.Writer, all licenseView) error {
	var rows []table.Row
	for _, c := range all.Counts {
		rows = append(rows, table.Row{c.State, c.Key, c.Edition, c.SVMs})
	}
	if err := printTable(w, table.Row{"LICENCE", "KEY", "EDITION", "SVMS"}, rows); err != nil {
		return err
	}
	if rows = nil; len(all.Endings) > 0 {
		for _, e := range all.Endings {
			soon := ""
			if e.Warning {
				soon = "soon"
			}
			rows = append(rows, table.Row{e.SVM, orDash(e.Name), e.Key, e.Edition, e.Expires.UTC().Format(time.RFC3339), e.Days, soon})
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := printTable(w, table.Row{"SVM", "NAME", "KEY", "EDITION", "EXPIRES", "DAYS", ""}, rows); err != nil {
			return err
		}
	}
	if rows = nil; len(all.Items) == 0 {
		return nil
	}
	cells := func(name, protected string, c license.Cover) table.Row {
		return table.Row{name, protected, c.VMs, c.Covered, c.OtherKey, c.Unlicensed, c.None}
	}
	for i := range all.Items {
		t := &all.Items[i]
		name, protected := t.Name, "no"
		if t.ID.IsZero() {
			name = "(no tenant)"
		}
		if t.Protected {
			protected = "yes"
		}
		rows = append(rows, cells(name, protected, t.Cover))
	}
	rows = append(rows, cells("(all)", "", all.All), cells("(all protected)", "", all.Protected))
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return printTable(w, table.Row{"TENANT", "PROTECTED", "VMS", "COVERED", "OTHER KEY", "UNLICENSED", "NO SVM"}, rows)
}
