package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/cli"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory/vsphere"
)

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "svmgate",
		Short: "Tells security agents in virtual machines which SVM to connect to",
		Long: "svmgate tells security agents in virtual machines which secure virtual machine (SVM)\n" +
			"to connect to. Start with: svmgate serve --help",
		SilenceErrors: true, // main prints them
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(serveCommand(), configCommand(), versionCommand(), vsphere.Command())
	root.AddCommand(cli.Commands()...)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" { // cobra's own takes any argument for a wish for help
			cmd.Args, cmd.RunE = knownCommand, root.RunE
		}
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.UsageError{Err: err} })
	markUsage(root)
	return root
}

// knownCommand refuses arguments of the root command: they are commands that it
// does not have.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 1 // one slip of typing
	err := fmt.Errorf("there is no command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return fmt.Errorf("%w (svmgate --help lists them)", err)
}

// markUsage makes wrong arguments of every command errors of usage.
func markUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return cli.UsageError{Err: err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}

// outputFlag gives cmd the flag --output.
func outputFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("output", "table", "table or json")
}

// wantsJSON reads the value of --output.
func wantsJSON(output string) (bool, error) {
	switch output {
	case "table":
		return false, nil
	case "json":
		return true, nil
	}
	return false, cli.UsageError{Err: fmt.Errorf("--output %q: want table or json", output)}
}
