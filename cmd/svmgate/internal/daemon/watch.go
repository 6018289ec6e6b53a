package daemon

import (
	"context"
	"errors"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
)

// newWatch makes what makes events of agents' notices, and of what becomes of SVMs and
// gateways. It is there before other gateways are: to catch up with them may bring up
// conflicts.
func (a *assembly) newWatch() (err error) {
	c := &a.settings.Config
	a.feed = watch.NewFeed()
	cfg := watch.Config{Table: a.table, Feed: a.feed, Self: c.NodeName, LicenseWarning: c.LicenseWarning, Protection: a.book, Log: a.opt.Log}
	if c.Clustered() {
		cfg.Clock, cfg.Ask, cfg.Members = a.clock.Now, a.ask(aboutWatch), a.gateways
	}
	a.watching, err = watch.New(cfg)
	return err
}

// startWatch lets it watch, once the planes are about to answer.
func (a *assembly) startWatch() {
	a.show(ops.WatchFamilies(a.watching))
	a.work.Go(func() { a.watching.Run(a.life) })
}

// gateways are those that are known.
func (a *assembly) gateways() (list []watch.Member) {
	for _, m := range a.replica.Members() {
		list = append(list, watch.Member{Name: m.Name, Alive: m.State != "dead"})
	}
	return list
}

// What gateways ask each other is a byte that says what it is about, and then what that
// part of a gateway asks. The bytes are on the wire: none is used for something else.
const (
	aboutWatch   = 1
	aboutReports = 2
)

// ask returns how a part of this gateway asks its like in another.
func (a *assembly) ask(about byte) func(ctx context.Context, gateway string, question []byte) ([]byte, error) {
	return func(ctx context.Context, gateway string, question []byte) ([]byte, error) {
		return a.replica.Ask(ctx, gateway, append([]byte{about}, question...))
	}
}

// answer answers another gateway.
func (a *assembly) answer(ctx context.Context, gateway string, question []byte) ([]byte, error) {
	if len(question) == 0 {
		return nil, errNotUnderstood
	}
	switch question[0] {
	case aboutWatch:
		return a.watching.Answer(ctx, gateway, question[1:])
	case aboutReports:
		return a.reports.Answer(question[1:])
	}
	return nil, errNotUnderstood
}

var errNotUnderstood = errors.New("this release does not understand what it is asked")
