package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/cli"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/replica"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and show the settings of a gateway",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand(), configPrintCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check settings and the files they name as serve would, without starting anything",
		Args:  cobra.NoArgs,
	}
	flags := config.AddFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := loadSettings(cmd, flags)
		if err != nil {
			return err
		}
		if settings.TLSCert != "" {
			paths := tlsconf.Paths{Cert: settings.TLSCert, Key: settings.TLSKey, ClientCA: settings.TLSClientCA}
			if _, err := tlsconf.Open(paths, slog.New(slog.DiscardHandler)); err != nil {
				return cli.UsageError{Err: err}
			}
		}
		if path := settings.ClusterKeyFile; path != "" {
			if _, err := replica.ReadKeys(path); err != nil {
				return &config.Error{Key: "cluster-key-file", Value: path, Reason: err.Error()}
			}
		}
		if err := checkKSCFiles(&settings.Config); err != nil {
			return err
		}
		if err := checkEventFiles(&settings.Config); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "The configuration is valid.")
		return err
	}
	return cmd
}

// checkKSCFiles reads what calling Kaspersky Security Center takes.
func checkKSCFiles(c *config.Config) error {
	if c.KSCCredentials != "" {
		if _, err := config.ReadCredentials(c.KSCCredentials, c.KSC); err != nil {
			return &config.Error{Key: "ksc-credentials", Value: c.KSCCredentials, Reason: err.Error()}
		}
	}
	if c.KSCCA != "" {
		if _, err := config.ReadAuthorities(c.KSCCA); err != nil {
			return &config.Error{Key: "ksc-ca", Value: c.KSCCA, Reason: err.Error()}
		}
	}
	return nil
}

// checkEventFiles reads what delivering events takes.
func checkEventFiles(c *config.Config) error {
	if c.EventsWebhookSecretFile != "" {
		if _, err := config.ReadSecret(c.EventsWebhookSecretFile); err != nil {
			return &config.Error{Key: "events-webhook-secret-file", Value: c.EventsWebhookSecretFile, Reason: err.Error()}
		}
	}
	if c.EventsCA != "" {
		if _, err := config.ReadAuthorities(c.EventsCA); err != nil {
			return &config.Error{Key: "events-ca", Value: c.EventsCA, Reason: err.Error()}
		}
	}
	return nil
}

func configPrintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Show every setting with its value and where that comes from",
		Args:  cobra.NoArgs,
	}
	output := outputFlag(cmd)
	flags := config.AddFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		settings, err := loadSettings(cmd, flags)
		if err != nil {
			return err
		}
		return settings.Print(cmd.OutOrStdout(), asJSON)
	}
	return cmd
}

// loadSettings finds the settings of cmd and prints what is odd about them.
func loadSettings(cmd *cobra.Command, flags *config.Flags) (*config.Effective, error) {
	settings, err := config.Load(flags.Input(os.Environ()))
	if err != nil {
		return nil, cli.UsageError{Err: err}
	}
	for _, w := range settings.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "svmgate: warning: %s\n", w)
	}
	return settings, nil
}
