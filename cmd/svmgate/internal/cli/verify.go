package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

// maxDamages is how many damages are listed with --output json; the rest is
// counted.
const maxDamages = 10_000

func storeCommand() *cobra.Command {
	cmd := group("store", "Look into a data directory")
	cmd.Example = "  svmgate store verify /var/lib/svmgate"
	cmd.AddCommand(verifyCommand())
	return cmd
}

func verifyCommand() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Read a data directory and name what is damaged",
		Long: `Read all of a data directory and name what is damaged, a line for each place:

  FILE: byte N: record KIND/ID: REASON

The record is left out where it is not one that is hurt. Nothing is changed, and a
gateway may have the directory open. The exit code is 0 if everything is sound,
and 1 if it is not or can not be read.`,
		Args:    exactly("DIR"),
		Example: "  svmgate store verify /var/lib/svmgate",
	}
	cmd.Flags().StringVar(&output, "output", "table", "table or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		return verify(cmd, args[0], output == "json")
	}
	return cmd
}

// A verdict is what verify found.
type verdict struct {
	Sound bool `json:"sound"`
	store.Summary
	Damages     []store.Damage `json:"damages"`
	DamagesMore int            `json:"damagesMore,omitempty"`
}

func verify(cmd *cobra.Command, dir string, asJSON bool) error {
	found := verdict{Damages: []store.Damage{}}
	count := 0
	p := showProgress(cmd, "reading")
	defer p.end()
	s, err := store.Verify(dir, p.at, func(d store.Damage) {
		count++
		switch {
		case !asJSON:
			p.without(func() { fmt.Fprintln(cmd.OutOrStdout(), d) })
		case len(found.Damages) < maxDamages:
			found.Damages = append(found.Damages, d)
		default:
			found.DamagesMore++
		}
	})
	p.end()
	if err != nil {
		return fmt.Errorf("%s can not be read: %w", dir, err)
	}
	found.Sound, found.Summary = count == 0, s
	if asJSON {
		body, err := json.Marshal(found)
		if err != nil {
			return err
		}
		if err := printJSON(cmd, body); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s\n", dir, counts(s), plural(count, "damage")); err != nil {
		return err
	}
	if count > 0 {
		return fmt.Errorf("%s has %s", dir, plural(count, "damaged place"))
	}
	return nil
}
