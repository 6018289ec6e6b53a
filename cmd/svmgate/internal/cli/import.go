package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
)

// importFlags are the flags of import.
type importFlags struct {
	format                              string
	dryRun, atomic, status, prune, sure bool
}

func importCommand() *cobra.Command {
	var f importFlags
	cmd, conn := remote(&cobra.Command{
		Use:   "import FILE",
		Short: "Load an inventory into a running gateway",
		Long: `Load an inventory into a running gateway: tenants, SVMs and VMs as YAML, JSON,
NDJSON, or VMs as CSV. FILE - is standard input. Importing the same file twice
changes nothing. Records that are refused are listed with their lines; the rest
is applied, unless --atomic.

--prune removes what the gateway has and the file does not. It shows that first
and asks; where nobody can be asked, --yes is needed. Only kinds that the file
has are pruned: a CSV of VMs removes no tenants. A tenant's VMs go with it.`,
		Args:    exactly("FILE"),
		Example: "  svmgate import inventory.yaml --dry-run",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runImport(cmd, conn, f, args[0]) }
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", "", "yaml, json, ndjson or csv (default: by the file's ending, else by its contents)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "validate and count, change nothing")
	flags.BoolVar(&f.atomic, "atomic", false, "change nothing at all if any record is refused")
	flags.BoolVar(&f.status, "with-status", false, "let a tenant's status and an SVM's state count for what exists already, too")
	flags.BoolVar(&f.prune, "prune", false, "remove what the file does not have, after showing it")
	flags.BoolVar(&f.sure, "yes", false, "with --prune: do not ask")
	return cmd
}

func runImport(cmd *cobra.Command, conn *connection, f importFlags, name string) error {
	switch {
	case f.prune && name == "-":
		return usage("--prune reads the inventory twice and therefore needs a file, not standard input")
	case f.sure && !f.prune:
		return usage("--yes is for --prune")
	}
	body, format, err := openInventory(cmd, name, f.format)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := conn.open(cmd); err != nil {
		return err
	}
	var surplus []surplusObject
	if f.prune {
		if surplus, err = conn.surplus(cmd.Context(), name, format); err != nil {
			return err
		}
		if err := agreeToPrune(cmd, f, surplus); err != nil {
			return err
		}
	}
	if err := conn.sendInventory(cmd, f, body, format); err != nil {
		return err
	}
	if f.dryRun {
		return nil
	}
	return conn.remove(cmd, surplus)
}

// openInventory opens a file or standard input and finds its format.
func openInventory(cmd *cobra.Command, name, format string) (*source, inventory.Format, error) {
	var given inventory.Format
	if format != "" {
		var err error
		if given, err = inventory.ParseFormat(format); err != nil {
			return nil, 0, usage("--format: %w", err)
		}
	}
	from, err := openSource(cmd.InOrStdin(), name)
	if err != nil || format != "" {
		return from, given, err
	}
	head := make([]byte, 512)
	n, err := from.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = from.Close()
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	return from, inventory.Detect(name, head[:n]), nil
}

func (c *connection) sendInventory(cmd *cobra.Command, f importFlags, body *source, format inventory.Format) error {
	query := url.Values{}
	for name, set := range map[string]bool{"dry-run": f.dryRun, "atomic": f.atomic, "with-status": f.status} {
		if set {
			query.Set(name, "true")
		}
	}
	answer, err := c.upload(cmd, body, request{method: "POST", path: "/v1/import", query: query, contentType: format.MediaType()})
	if err != nil {
		return err
	}
	var result struct {
		Changed, Unchanged, RefusedMore int
		Refused                         []inventory.Refusal
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return fmt.Errorf("POST /v1/import: %w", err)
	}
	refused := len(result.Refused) + result.RefusedMore
	err = c.print(cmd, answer, func(w io.Writer) error {
		verb := "changed"
		if f.dryRun {
			verb = "would change"
		}
		for _, r := range result.Refused {
			cmd.PrintErrf("line %d: %s\n", r.Line, r.Reason)
		}
		if result.RefusedMore > 0 {
			cmd.PrintErrf("and %d more\n", result.RefusedMore)
		}
		_, err := fmt.Fprintf(w, "%d %s, %d unchanged, %d refused\n", result.Changed, verb, result.Unchanged, refused)
		return err
	})
	switch {
	case err != nil || refused == 0:
		return err
	case f.atomic:
		return fmt.Errorf("%s refused, so nothing was changed", plural(refused, "record"))
	}
	return fmt.Errorf("%s refused", plural(refused, "record"))
}
