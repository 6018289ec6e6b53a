package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
)

// openProtection gets ready to collect on which days VMs are protected, if it is to be,
// and to report it. What other gateways ask of reports is answered from the first.
func (a *assembly) openProtection() error {
	c := &a.settings.Config
	cfg := protection.Config{Table: a.table, Collect: c.ProtectionReports, Keep: c.ProtectionKeep, Log: a.opt.Log}
	if c.Clustered() {
		cfg.Clock = a.clock.Now
	}
	dir := ""
	if !c.InMemory() {
		dir = filepath.Join(c.DataDir, "reports")
	}
	var err error
	if a.book, err = protection.New(cfg); err != nil {
		return err
	}
	if a.reports, err = protection.NewFiles(dir, a.book); err != nil {
		return fmt.Errorf("data %s: %w", c.DataDir, err)
	}
	a.show(ops.ProtectionFamilies(a.book, a.reports))
	return nil
}

// startProtection writes down what comes, and removes old reports.
func (a *assembly) startProtection() {
	a.work.Go(func() { a.book.Run(a.life) })
	a.work.Go(func() { a.reports.Run(a.life) })
}

// pieceTimeout is how long another gateway may take for a piece of a report.
const pieceTimeout = 10 * time.Second

// report opens a report that a gateway made.
func (a *assembly) report(node string, id uuid.UUID) (protection.Report, error) {
	switch {
	case node == a.settings.NodeName:
		return a.reports.Open(id)
	case a.replica == nil:
		return nil, fmt.Errorf("%w: this gateway is alone", protection.ErrAway)
	}
	ask := a.ask(aboutReports)
	return protection.OpenDistant(func(question []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(a.life, pieceTimeout)
		defer cancel()
		return ask(ctx, node, question)
	}, id)
}
