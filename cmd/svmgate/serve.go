package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/buildinfo"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/cli"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/daemon"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a gateway",
		Long: "Run a gateway. Every flag is also an environment variable (--agent-addr is SVMGATE_AGENT_ADDR)\n" +
			"and a key of the file named by --config (agent-addr); flags win over variables, those over the file.\n\n" +
			"SIGTERM and SIGINT end it gracefully, a second one at once. SIGHUP reads the file again, as far as\n" +
			"settings can change while it runs, and the TLS files.",
		Args: cobra.NoArgs,
	}
	flags := config.AddFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		load := func() (*config.Effective, error) { return config.Load(flags.Input(os.Environ())) }
		settings, err := load()
		if err != nil {
			return cli.UsageError{Err: err}
		}
		return serve(cmd.OutOrStdout(), cmd.ErrOrStderr(), settings, load)
	}
	return cmd
}

// serve runs a gateway until a signal or a failure ends it.
func serve(out, logTo io.Writer, settings *config.Effective, load func() (*config.Effective, error)) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	level := new(slog.LevelVar)
	level.Set(settings.LogLevel)
	log := newLog(logTo, settings.LogFormat, level)
	for _, w := range settings.Warnings {
		log.Warn(w)
	}
	tuneMemory(log, memlimit.FromCgroup)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	type started struct {
		gateway *daemon.Gateway
		err     error
	}
	start := make(chan started, 1)
	go func() {
		g, err := daemon.Start(ctx, daemon.Options{Settings: settings, Build: buildinfo.Read(version), Out: out, Log: log, Level: level})
		start <- started{g, err}
	}()
	var s started
	for s.gateway == nil {
		select {
		case s = <-start:
			if s.err != nil {
				return s.err
			}
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			log.Info("stopped before the start was complete")
			// One that waits for its peers leaves them. What else was begun ends with the
			// process; the journal allows that at any moment.
			cancel()
			select {
			case <-start:
			case <-time.After(time.Second):
			}
			return nil
		}
	}
	err := wait(s.gateway, signals, log, load)
	go func() {
		for sig := range signals {
			if sig != syscall.SIGHUP {
				log.Warn("a second signal: stopping at once")
				os.Exit(1)
			}
		}
	}()
	if stopErr := s.gateway.Stop(ctx); err == nil {
		err = stopErr
	}
	return err
}

// wait returns when the gateway should be stopped, with the error that is the
// reason, if it is one.
func wait(g *daemon.Gateway, signals <-chan os.Signal, log *slog.Logger, load func() (*config.Effective, error)) error {
	for {
		select {
		case err := <-g.Failed():
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return nil
			}
			next, err := load()
			if err != nil {
				log.Error("the settings can not be used, the old ones stay", "reason", err.Error())
			}
			g.Reload(next)
		}
	}
}

func newLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
