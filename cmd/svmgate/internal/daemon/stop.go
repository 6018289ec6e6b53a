package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
)

// opsTimeout bounds how long the operations plane may go on at the end: a profile
// that somebody takes ends with the process.
const opsTimeout = time.Second

// Stop takes the gateway down: it fails readiness, waits shutdown-delay, stops
// accepting, waits up to shutdown-timeout for what runs, and closes the table.
// It returns early, having closed everything, when ctx ends. The error is one of
// the table's; requests that had to be cut off are logged.
func (g *Gateway) Stop(ctx context.Context) error {
	c := &g.opt.Settings.Config
	g.opt.Log.Info("svmgate is shutting down", "delay", c.ShutdownDelay.String())
	g.ops.SetReady(errDraining)
	if c.ShutdownDelay > 0 {
		timer := time.NewTimer(c.ShutdownDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	wait, cancel := context.WithTimeout(ctx, c.ShutdownTimeout)
	defer cancel()
	err := g.close(wait)
	g.opt.Log.Info("svmgate has stopped")
	return err
}

// close stops whatever runs, in the reverse order of the start.
func (g *Gateway) close(ctx context.Context) error {
	g.ops.SetReady(errDraining)
	g.beginClose()
	var serving sync.WaitGroup
	for _, p := range g.planes {
		if p.name == "ops" {
			continue
		}
		serving.Go(func() { g.stopPlane(ctx, p) })
	}
	serving.Wait()
	for _, p := range g.planes {
		if p.name == "ops" {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), opsTimeout)
			g.stopPlane(last, p)
			cancel()
		}
	}
	g.background()
	g.tasks.Wait()
	if g.servers != nil {
		defer g.servers.Close()
	}
	if g.assembly != nil {
		return g.assembly.shut(ctx)
	}
	return nil
}

func (g *Gateway) stopPlane(ctx context.Context, p *plane) {
	err := p.stop(ctx)
	// A listener that no server has taken over yet is still open; closing it a
	// second time only says so.
	_ = p.listener.Close()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		g.opt.Log.Warn("requests were cut off", "plane", p.name, "connections", p.open())
	} else if err != nil {
		g.opt.Log.Warn("a listener did not close well", "plane", p.name, "reason", err.Error())
	}
}

// Reload applies new settings as far as they can change while the gateway runs,
// and reads the TLS files again. next is nil if the settings can not be used, and
// then stay as they are.
func (g *Gateway) Reload(next *config.Effective) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if next != nil {
		for i, v := range next.Values {
			switch s := v.Setting; {
			case v.Text == g.reloaded.Values[i].Text:
			case s.Reload:
				g.opt.Log.Info("a setting has changed", "setting", s.Name, "value", v.Text)
			default:
				g.opt.Log.Warn("a setting has changed that takes effect only at a restart", "setting", s.Name)
			}
		}
		g.reloaded = next
		g.opt.Level.Set(next.LogLevel)
	}
	if g.files == nil {
		return
	}
	if err := g.files.Reload(); err != nil {
		g.opt.Log.Error("the TLS files can not be used, the old ones stay in use", "reason", err.Error())
		return
	}
	g.opt.Log.Info("the TLS files were read again", "expires", g.files.Stats().NotAfter)
}
