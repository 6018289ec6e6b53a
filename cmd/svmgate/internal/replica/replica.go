package replica

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Config configures a [Replica]. Table, Name, Addr, Clock and Log are required;
// [cluster.Config] says what the rest means.
type Config struct {
	Table *store.Table
	Clock *cluster.Clock // which the table takes its versions from, too
	Log   *slog.Logger

	// Dir is the data directory; empty if nothing is kept.
	Dir string

	Name, Addr, Advertise string
	Seeds                 []string
	Bootstrap             bool
	Label, KeyFile        string
	Keep                  time.Duration
	Stale                 func(cluster.Stale)

	// Hear takes what another gateway told of SVMs' agents. It is called by several
	// goroutines, and keeps nothing of list. If nil, nobody listens.
	Hear func(gateway string, epoch uint64, list []discovery.Sighting)

	// Answer answers what other gateways ask this one with [cluster.Node.Ask]; see
	// [cluster.Config]. The first may come before Start returns. If nil, nobody is
	// answered.
	Answer func(ctx context.Context, gateway string, question []byte) ([]byte, error)

	// Anew says that the table takes the place of one that was set aside: only peers
	// have what belongs in it. Peers are those of the old one, if there is no Dir.
	Anew  bool
	Peers []cluster.Peer
}

// A Replica is a table that is shared. Its methods may be called from many
// goroutines.
type Replica struct {
	*cluster.Node
	table   *store.Table
	cancel  func() // ends the subscription
	log     *slog.Logger
	refused atomic.Uint64

	sightings sightings

	tenantConflicts, vmConflicts atomic.Uint64
}

// Start joins the table to its peers, without waiting for any. Stop it before the
// table is closed.
func Start(cfg Config) (*Replica, error) {
	r := &Replica{table: cfg.Table, log: cfg.Log}
	r.sightings.init(table{cfg.Table, cfg.Log, &r.refused}, &cfg)
	nc := cluster.Config{
		Name: cfg.Name, Table: &r.sightings, Addr: literal(cfg.Addr), Advertise: cfg.Advertise,
		Seeds: cfg.Seeds, Bootstrap: cfg.Bootstrap, Label: cfg.Label, Fleeting: fleeting, Stale: cfg.Stale,
		Answer: cfg.Answer, Keep: cfg.Keep, Clock: cfg.Clock, Logger: cfg.Log,
	}
	nc.State.Peers = cfg.Peers
	var err error
	if cfg.KeyFile != "" {
		if nc.Keys, err = ReadKeys(cfg.KeyFile); err != nil {
			return nil, fmt.Errorf("cluster-key-file %s: %w", cfg.KeyFile, err)
		}
		nc.SaveKeys = func(keys [][]byte) error { return saveKeys(cfg.KeyFile, keys) }
	}
	if cfg.Dir != "" {
		if nc.State, err = lastState(cfg.Dir, cfg.Table); err != nil {
			return nil, err
		}
		nc.Save = func(s cluster.State) error { return saveState(cfg.Dir, s) }
	}
	if anew, err := startsAnew(cfg, nc.State.Peers); err != nil {
		return nil, err
	} else if anew {
		nc.Bootstrap = false
		if len(nc.Seeds) == 0 { // then it would not wait for anybody; this one waits to be called on
			nc.Seeds = []string{cmp.Or(nc.Advertise, nc.Addr)}
		}
	}
	if r.Node, err = cluster.Start(nc); err != nil {
		return nil, fmt.Errorf("cluster-addr %s: %w", cfg.Addr, err)
	}
	r.sightings.node.Store(r.Node)
	r.cancel = cfg.Table.Subscribe(r.spread)
	return r, nil
}

// startsAnew reports whether only peers have what belongs in the table, which may
// also be seen after a crash: it is empty, and there were peers, or there is what
// was written to another.
func startsAnew(cfg Config, peers []cluster.Peer) (bool, error) {
	if cfg.Anew || !isEmpty(cfg.Table) {
		return cfg.Anew, nil
	}
	if len(peers) > 0 || cfg.Dir == "" {
		return len(peers) > 0, nil
	}
	offers, err := offersOf(cfg.Dir)
	return len(offers) > 0, err
}

// literal returns an address to listen at as the network wants it.
func literal(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	switch host {
	case "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// spread passes on what the table has learnt.
func (r *Replica) spread(news *store.News) {
	for _, c := range news.Conflicts {
		r.conflict(c)
	}
	if len(news.Records) == 0 {
		return
	}
	list := make([]cluster.Record, len(news.Records))
	for i, record := range news.Records {
		list[i] = told(record)
	}
	r.Spread(news.From, list)
}

// Stop leaves the cluster.
func (r *Replica) Stop(ctx context.Context) error {
	r.cancel()
	return r.Node.Stop(ctx)
}

// conflict logs and counts what merging gave up.
func (r *Replica) conflict(c store.Conflict) {
	if c.Type == store.TenantConflict {
		r.tenantConflicts.Add(1)
		r.log.Warn("a tenant was activated by one gateway and deactivated by another that did not know: it is inactive",
			"type", c.Type, "tenant", c.Tenant)
		return
	}
	r.vmConflicts.Add(1)
	r.log.Warn("two gateways registered a VM for different tenants without knowing of each other: the earlier registration holds",
		"type", c.Type, "vm", c.VM, "name", c.Name, "lost_by", c.Tenant, "held_by", c.Holder)
}

// Conflicts are how many activations and registrations of VMs merging gave up.
func (r *Replica) Conflicts() (tenants, vms uint64) {
	return r.tenantConflicts.Load(), r.vmConflicts.Load()
}

// Refused is how many records of peers the table did not take.
func (r *Replica) Refused() uint64 { return r.refused.Load() }

// Confirm waits until so many members have the records of keys on disk as this
// gateway has them, all known ones if enough is 0, or until ctx ends.
func (r *Replica) Confirm(ctx context.Context, keys []store.Key, enough int) cluster.Confirmation {
	var records []cluster.Record
	for _, key := range keys {
		if record, ok := r.table.Record(key); ok {
			records = append(records, told(record))
		}
	}
	return r.Node.Confirm(ctx, records, enough)
}

// Peers are the other members, for a table that takes the place of this one.
func (r *Replica) Peers() (list []cluster.Peer) {
	for _, m := range r.Members() {
		if !m.Self {
			list = append(list, cluster.Peer{Name: m.Name, Addr: m.Addr, Seen: m.Seen})
		}
	}
	return list
}

// Addr is where peers connect.
func (r *Replica) Addr() string {
	for _, m := range r.Members() {
		if m.Self {
			return m.Addr
		}
	}
	return ""
}
