package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// A UsageError reports that a command was used wrongly: what it was given must
// change, trying again does not help.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what was wrong.
func (e UsageError) Unwrap() error { return e.Err }

func usage(format string, args ...any) error {
	return UsageError{fmt.Errorf(format, args...)}
}

// Commands returns the commands. They share no state.
func Commands() []*cobra.Command {
	return []*cobra.Command{
		importCommand(), tenantCommand(), firewallCommand(), svmCommand(), licenseCommand(), planCommand(), explainCommand(), whatIfCommand(), eventsCommand(), userCommand(),
		clusterCommand(), backupCommand(), restoreCommand(), benchCommand(), storeCommand(), benchCommand(),
	}
}

// remote is a command that talks to a gateway, or a group of such commands.
func remote(cmd *cobra.Command) (*cobra.Command, *connection) {
	conn := new(connection)
	flags := cmd.PersistentFlags()
	flags.StringVar(&conn.server, "server", "http://127.0.0.1:7271", "management address of the gateway")
	flags.StringVar(&conn.user, "user", "", "account, as `name[:password]` (else SVMGATE_USER and SVMGATE_PASSWORD, else asked for)")
	flags.StringVar(&conn.output, "output", "table", "table or json")
	flags.StringVar(&conn.caFile, "ca-file", "", "PEM `file` of the authorities that sign the gateway's certificate (default: the system's)")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError{err} })
	return cmd, conn
}

// group is a command that only has subcommands.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage("%s has no command %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usage("%s needs a command", cmd.CommandPath())
		},
	}
}

// exactly wants one argument for each name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(args) > len(names) {
			return usage("%s: %q is one argument too many", cmd.CommandPath(), args[len(names)])
		}
		return usage("%s: %s is missing", cmd.CommandPath(), names[len(args)])
	}
}

// atLeast wants one argument or more, of one kind.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("%s: %s is missing", cmd.CommandPath(), name)
		}
		return nil
	}
}

var errAborted = errors.New("nothing was changed")
