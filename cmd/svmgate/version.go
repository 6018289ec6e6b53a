package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/buildinfo"
)

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Say which build this is", Args: cobra.NoArgs}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		b := buildinfo.Read(version)
		if asJSON {
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(b)
		}
		commit := b.Commit
		if commit == "" {
			commit = "unknown"
		}
		if b.Modified {
			commit += ", modified"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "svmgate %s (commit %s, %s)\n", b.Version, commit, b.Go)
		return err
	}
	return cmd
}
