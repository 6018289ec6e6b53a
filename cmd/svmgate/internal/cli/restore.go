package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/store"
)

// restoreFlags are the flags of restore.
type restoreFlags struct {
	data, config string
	asNew, sure  bool
}

func restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd, conn := remote(&cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into an empty directory, or into a running gateway as new",
		Long: `Put a backup into an empty directory, from which a gateway can then be started.
The directory is the one that serve would use: --data, else SVMGATE_DATA, else
the key data of the file that --config names. One that has anything in it, or
that a gateway has open, is refused. FILE - is standard input.

--as-new sends the backup to a running gateway instead, which writes all that
lives in it once more: it wins over what has changed since. What the backup does
not have stays. It asks first; where nobody can be asked, --yes is needed.

A file that is damaged is refused as a whole: nothing of it is restored.`,
		Args: exactly("FILE"),
		Example: "  svmgate restore svmgate-2026-11-20.backup --data /var/lib/svmgate\n" +
			"  svmgate restore svmgate-2026-11-20.backup --as-new",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.asNew {
			return restoreAsNew(cmd, conn, f, args[0])
		}
		return restoreInto(cmd, conn, f, args[0])
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", "the `directory` to fill (default: the setting data)")
	flags.StringVar(&f.config, "config", "", "YAML `file` of settings that names it")
	flags.BoolVar(&f.asNew, "as-new", false, "write everything once more into a running gateway")
	flags.BoolVar(&f.sure, "yes", false, "with --as-new: do not ask")
	return cmd
}

// restoreInto fills a directory. No gateway is asked.
func restoreInto(cmd *cobra.Command, conn *connection, f restoreFlags, name string) error {
	if f.sure {
		return usage("--yes is for --as-new")
	}
	for _, flag := range []string{"server", "user", "ca-file"} {
		if cmd.Flags().Changed(flag) {
			return usage("--%s is for --as-new; without it a directory is filled, and no gateway is asked", flag)
		}
	}
	if err := checkOutput(conn.output); err != nil {
		return err
	}
	dir, err := f.dir(cmd)
	if err != nil {
		return err
	}
	from, err := openSource(cmd.InOrStdin(), name)
	if err != nil {
		return err
	}
	defer from.Close()
	p := showProgress(cmd, "restoring")
	defer p.end()
	s, err := store.Restore(dir, from, from.size, p.at)
	if err != nil {
		return fmt.Errorf("%s is not restored into %s: %w", name, dir, err)
	}
	p.end()
	return printSummary(cmd, conn.output, dir, s)
}

// dir finds the data directory as serve does.
func (f restoreFlags) dir(cmd *cobra.Command) (string, error) {
	in := config.Input{Env: os.Environ(), File: f.config}
	if cmd.Flags().Changed("data") {
		in.Flags = map[string]string{"data": f.data}
	}
	v, err := config.Find("data", in)
	if err != nil {
		return "", UsageError{err}
	}
	if v.Text == config.MemoryOnly {
		return "", usage("--data: %s keeps nothing; give a directory", config.MemoryOnly)
	}
	return v.Text, nil
}

// restoreAsNew sends a backup to a running gateway.
func restoreAsNew(cmd *cobra.Command, conn *connection, f restoreFlags, name string) error {
	for _, flag := range []string{"data", "config"} {
		if cmd.Flags().Changed(flag) {
			return usage("--%s is for a restore into a directory; --as-new goes to a running gateway", flag)
		}
	}
	if err := conn.open(cmd); err != nil {
		return err
	}
	from, err := openSource(cmd.InOrStdin(), name)
	if err != nil {
		return err
	}
	defer from.Close()
	if !f.sure {
		if err := conn.agreeToRestore(cmd, from, name); err != nil {
			return err
		}
	}
	answer, err := conn.upload(cmd, from, request{
		method: http.MethodPost, path: "/v1/restore", query: url.Values{"as-new": {"true"}}, contentType: "application/octet-stream",
	})
	if err != nil {
		return err
	}
	return conn.print(cmd, answer, func(w io.Writer) error {
		var done struct {
			Records int
			Kinds   map[string]int64
		}
		if err := json.Unmarshal(answer, &done); err != nil {
			return fmt.Errorf("POST /v1/restore: %w", err)
		}
		_, err := fmt.Fprintf(w, "restored: %s%s\n", plural(done.Records, "record"), kinds(done.Kinds))
		return err
	})
}

// agreeToRestore shows what the backup has and asks.
func (c *connection) agreeToRestore(cmd *cobra.Command, from *source, name string) error {
	p := showProgress(cmd, "checking")
	s, err := store.CheckBackup(from, from.size, p.at)
	p.end()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	cmd.PrintErrf("%s: %s\nAll of it but tombstones is written to %s as new: it wins over what has changed since.\n", name, counts(s), c.server)
	err = agree(cmd, "Restore it?")
	if errors.Is(err, errNoTerminal) {
		return usage("--as-new: nobody can be asked here; give --yes to restore")
	}
	return err
}
