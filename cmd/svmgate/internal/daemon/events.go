package daemon

import (
	"context"
	"crypto/x509"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/adminapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/sink"
	"github.com/svmgate/svmgate/store"
)

// sinksName is the file in the data directory that says where the sinks of events are.
const sinksName = "sinks.json"

// openSinks takes note of the events that are to be delivered. It comes before other
// gateways can have theirs forgotten.
func (a *assembly) openSinks() error {
	targets, err := a.eventTargets()
	if err != nil {
		return err
	}
	cfg := sink.Config{
		Table: a.table, Targets: targets, Backlog: a.settings.EventsBacklog, Keep: &a.sinksKept, Anew: a.anew, Log: a.opt.Log,
	}
	if !a.settings.InMemory() {
		cfg.Keep = sink.File(filepath.Join(a.settings.DataDir, sinksName))
	}
	a.sinks = sink.Open(cfg)
	return nil
}

// eventTargets are where events go, besides the table.
func (a *assembly) eventTargets() (targets []sink.Target, err error) {
	c := &a.settings.Config
	var ca *x509.CertPool
	if c.EventsCA != "" {
		pem, err := config.ReadAuthorities(c.EventsCA)
		if err != nil {
			return nil, &config.Error{Key: "events-ca", Value: c.EventsCA, Reason: err.Error()}
		}
		ca = x509.NewCertPool()
		ca.AppendCertsFromPEM(pem)
	}
	if c.EventsLog {
		targets = append(targets, sink.Log(a.opt.Log))
	}
	if c.EventsFile != "" {
		targets = append(targets, sink.Lines(c.EventsFile))
	}
	if to := c.EventsSyslog; to.Network != "" {
		targets = append(targets, sink.Syslog(sink.SyslogConfig{Network: to.Network, Address: to.Address, Host: c.NodeName, CA: ca}))
	}
	if c.EventsWebhook != "" {
		cfg := sink.WebhookConfig{URL: c.EventsWebhook, CA: ca, Agent: "svmgate/" + a.opt.Build.Version}
		if file := c.EventsWebhookSecretFile; file != "" {
			if _, err := config.ReadSecret(file); err != nil {
				return nil, &config.Error{Key: "events-webhook-secret-file", Value: file, Reason: err.Error()}
			}
			cfg.Secret = func() ([]byte, error) { return config.ReadSecret(file) }
		}
		targets = append(targets, sink.Webhook(cfg))
	}
	return targets, nil
}

// startEvents delivers events, and forgets old ones.
func (a *assembly) startEvents(admin *adminapi.API) {
	a.show(ops.EventFamilies(a.table, admin.EventStreams))
	a.show(ops.SinkFamilies(a.sinks))
	a.work.Go(func() { a.sinks.Run(a.life) })
	a.work.Go(func() { a.forgetEvents(a.life) })
}

// streamsEnd is when answers that would go on for ever are to end.
func (a *assembly) streamsEnd() <-chan struct{} {
	ctx, cancel := context.WithCancel(a.life)
	context.AfterFunc(a.closing, cancel)
	return ctx.Done()
}

// How often events are forgotten: gateways take turns by chance, since what one forgets,
// all do.
var (
	forgetEvery  = time.Minute // less in a test
	forgetJitter = forgetEvery / 4
)

// forgetEvents drops the events that are too old, or too many, until ctx is done.
func (a *assembly) forgetEvents(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(forgetEvery - forgetJitter + rand.N(2*forgetJitter)):
		}
		keep, most := a.eventBounds()
		switch _, err := a.table.ForgetEvents(store.Time{Time: a.clock.Now().Add(-keep)}, most); {
		case err != nil && !failing:
			failing = true
			a.opt.Log.Error("old events can not be forgotten", "reason", err.Error())
		case err == nil && failing:
			failing = false
			a.opt.Log.Info("old events are forgotten again")
		}
	}
}

// eventBounds are how long events are kept and how many, as was last read.
func (g *Gateway) eventBounds() (keep time.Duration, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reloaded.EventsKeep, g.reloaded.EventsMax
}
