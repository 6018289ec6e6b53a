package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

func backupCommand() *cobra.Command {
	cmd, conn := remote(&cobra.Command{
		Use:   "backup FILE",
		Short: "Copy all that a running gateway has into a file",
		Long: `Copy all that a running gateway has into a file: tenants, SVMs, VMs, tokens and
accounts, as they are at one moment. The gateway goes on meanwhile. The file has
the hashes of passwords and tokens: it is made for its owner alone, and should
stay so.

It is written as FILE.partial, read back and checked, and only then becomes FILE;
an older FILE stays until then.`,
		Args:    exactly("FILE"),
		Example: "  svmgate backup svmgate-$(date +%F).backup",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runBackup(cmd, conn, args[0]) }
	return cmd
}

func runBackup(cmd *cobra.Command, conn *connection, name string) (err error) {
	if err := conn.open(cmd); err != nil {
		return err
	}
	file, err := newPartial(name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.discard()
		}
	}()
	// So that an interrupt leaves nothing behind either.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := showProgress(cmd, "receiving")
	defer p.end()
	size, err := conn.receive(ctx, file, p)
	if err != nil {
		return fmt.Errorf("%s is not written: %w", name, err)
	}
	p.now("checking")
	s, err := store.CheckBackup(file, size, p.at)
	if err != nil {
		return fmt.Errorf("%s is not written, because what came is not whole: %w", name, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s is not written: %w", name, err)
	}
	if err := file.publish(name); err != nil {
		return err
	}
	p.end()
	return printSummary(cmd, conn.output, name, s)
}

// receive writes a backup to file and returns how many bytes it has.
func (c *connection) receive(ctx context.Context, file io.Writer, p *progress) (int64, error) {
	resp, err := c.ask(ctx, request{method: http.MethodGet, path: "/v1/backup", timeout: transferTimeout})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(file, &watched{Reader: resp.Body, p: p})
	if err != nil {
		err = fmt.Errorf("the backup broke off after %s: %w", plural(int(n), "byte"), err)
	}
	return n, err
}

// A partial is a file that is not yet what it shall be. It has a lock, so that two
// who write the same do not make one file of two.
type partial struct{ *os.File }

// newPartial opens the empty file name.partial, for its owner only. It may be
// there from a run that was killed.
func newPartial(name string) (*partial, error) {
	path := name + ".partial"
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	p := &partial{file}
	if err := p.claim(path); err != nil {
		_ = file.Close()
		return nil, err
	}
	return p, nil
}

func (p *partial) claim(path string) error {
	inUse := fmt.Errorf("%s is being written by another backup", path)
	if err := syscall.Flock(int(p.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return inUse
	}
	mine, err := p.Stat()
	if err != nil {
		return err
	}
	// Whoever had it may have made it what it should be in between.
	if there, err := os.Lstat(path); err != nil || !os.SameFile(mine, there) {
		return inUse
	}
	return errors.Join(p.Truncate(0), p.Chmod(0o600))
}

// publish makes the file last under its final name.
func (p *partial) publish(name string) error {
	if err := p.Sync(); err != nil {
		return err
	}
	if err := os.Rename(p.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close(), p.Close())
}

// discard removes the file, if it still is what it was.
func (p *partial) discard() {
	_ = os.Remove(p.Name())
	_ = p.Close()
}
