package adminapi

import (
	"context"
	"encoding/base64"
	"slices"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// A Cluster is the gateways that share the table, as this one sees them.
type Cluster interface {
	Name() string
	Ready() (bool, string)
	Members() []cluster.Member
	Stats() cluster.Stats

	// Digests asks every member for the digest of its table.
	Digests(context.Context) []cluster.TableDigest

	// Confirm waits until so many members have the records of keys on disk as this
	// gateway has them, all if enough is 0.
	Confirm(ctx context.Context, keys []store.Key, enough int) cluster.Confirmation
	Majority() int

	ChangeKeys(context.Context, cluster.KeyChange, []byte) ([]cluster.KeyAnswer, error)
}

// Bounds of questions to all members.
const (
	digestsTimeout = 3 * time.Second
	keysTimeout    = 10 * time.Second
)

// clusterState is what /v1/cluster answers.
type clusterState struct {
	Enabled bool            `json:"enabled"`
	Node    string          `json:"node"`
	Ready   bool            `json:"ready"`
	Reason  string          `json:"reason"` // why not
	Members []clusterMember `json:"members"`

	Digests []cluster.TableDigest `json:"digests,omitempty"`
	Equal   *bool                 `json:"equal,omitempty"` // whether all members answered, and alike

	Queue       queueState       `json:"queue"`
	Drops       dropState        `json:"drops"`
	Repair      repairState      `json:"repair"`
	Messages    messageState     `json:"messages"`
	Clock       clockState       `json:"clock"`
	Propagation propagationState `json:"propagation"`
}

type clusterMember struct {
	Name               string     `json:"name"`
	Addr               string     `json:"addr"`
	State              string     `json:"state"`
	Self               bool       `json:"self"`
	Seen               store.Time `json:"seen"`
	Exchanged          store.Time `json:"exchanged"`
	Differing          int        `json:"differing"`
	LagSeconds         float64    `json:"lagSeconds"`
	ClockOffsetSeconds float64    `json:"clockOffsetSeconds"`
	OldestFormat       uint8      `json:"oldestFormat"`
	NewestFormat       uint8      `json:"newestFormat"`
}

type queueState struct {
	Records int `json:"records"`
	Bytes   int `json:"bytes"`
}

type dropState struct {
	News     uint64 `json:"news"`
	Fleeting uint64 `json:"fleeting"`
	Packets  uint64 `json:"packets"`
}

type repairState struct {
	Exchanges     uint64 `json:"exchanges"`
	Differing     int    `json:"differing"`
	PulledRecords uint64 `json:"pulledRecords"`
	PulledBytes   uint64 `json:"pulledBytes"`
	ServedRecords uint64 `json:"servedRecords"`
	ServedBytes   uint64 `json:"servedBytes"`
	Rejoins       uint64 `json:"rejoins"`
}

type messageState struct {
	Malformed uint64 `json:"malformed"`
	Unknown   uint64 `json:"unknown"`
}

type clockState struct {
	OffsetSeconds float64 `json:"offsetSeconds"`
	Wrong         bool    `json:"wrong"`
	Refused       uint64  `json:"refused"` // records from too far in the future
}

type propagationState struct {
	P50Seconds float64 `json:"p50Seconds"`
	P99Seconds float64 `json:"p99Seconds"`
}

func (a *API) readCluster(c *call) error {
	ask := true
	if c.ctx.QueryArgs().Has("digests") {
		var err error
		if ask, err = c.boolParameter("digests"); err != nil {
			return err
		}
	}
	if a.cluster == nil {
		return c.answer(200, clusterState{Ready: true, Members: []clusterMember{}})
	}
	s := a.cluster.Stats()
	out := clusterState{
		Enabled: true, Node: a.cluster.Name(), Members: []clusterMember{},
		Queue: queueState{s.QueuedRecords, s.QueuedBytes},
		Drops: dropState{s.DroppedNews, s.DroppedFleeting, s.DroppedPackets},
		Repair: repairState{
			Exchanges: s.Exchanges, Differing: s.Differing, PulledRecords: s.PulledRecords, PulledBytes: s.PulledBytes,
			ServedRecords: s.ServedRecords, ServedBytes: s.ServedBytes, Rejoins: s.Rejoins,
		},
		Messages:    messageState{s.Malformed, s.UnknownMessages},
		Clock:       clockState{s.ClockOffset.Seconds(), s.ClockWrong, a.table.Stats().SkewRefused},
		Propagation: propagationState{s.PropagationP50.Seconds(), s.PropagationP99.Seconds()},
	}
	out.Ready, out.Reason = a.cluster.Ready()
	for _, m := range a.cluster.Members() {
		out.Members = append(out.Members, clusterMember{
			Name: m.Name, Addr: m.Addr, State: m.State, Self: m.Self, Seen: store.Time{Time: m.Seen}, Exchanged: store.Time{Time: m.Exchanged},
			Differing: m.Differing, LagSeconds: m.Lag.Seconds(), ClockOffsetSeconds: m.Offset.Seconds(),
			OldestFormat: m.Formats[0], NewestFormat: m.Formats[1],
		})
	}
	if ask {
		ctx, cancel := context.WithTimeout(c.ctx, digestsTimeout)
		defer cancel()
		out.Digests = a.cluster.Digests(ctx)
		equal := equalDigests(out.Digests)
		out.Equal = &equal
	}
	return c.answer(200, out)
}

// equalDigests reports whether all answered, and alike.
func equalDigests(list []cluster.TableDigest) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(d cluster.TableDigest) bool { return d.Err != "" || d.Root != list[0].Root })
}

// keyAnswers is what members say of a change of keys.
type keyAnswers struct {
	Members []keyAnswer `json:"members"`
}

type keyAnswer struct {
	Node  string   `json:"node"`
	Keys  []string `json:"keys"`
	Error string   `json:"error,omitempty"`
}

var errNoCluster = refuse(409, "no_cluster", "this gateway shares its table with no other: there is no cluster-addr")

func (a *API) listKeys(c *call) error { return a.changeKeys(c, cluster.ListKeys, nil) }

// postKeys adds a key everywhere, uses it everywhere, or removes it everywhere.
func (a *API) postKeys(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	var change, text string
	if err := (binding{"change": str(&change, ""), "key": str(&text, "")}).bind(whole, body); err != nil {
		return err
	}
	if !slices.Contains([]cluster.KeyChange{cluster.AddKey, cluster.UseKey, cluster.RemoveKey}, cluster.KeyChange(change)) {
		return refuse(400, "invalid_field", "change must be add, use or remove")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !slices.Contains([]int{16, 24, 32}, len(key)) { // the text is a secret: the answer does not repeat it
		return refuse(400, "invalid_field", "key must be 16, 24 or 32 bytes in base64, as svmgate cluster keys generate makes them")
	}
	if err := a.changeKeys(c, cluster.KeyChange(change), key); err != nil {
		return err
	}
	did := map[cluster.KeyChange]string{cluster.AddKey: "added", cluster.UseKey: "began to use", cluster.RemoveKey: "removed"}
	c.note(audit.Entry{Type: "cluster_key", Message: did[cluster.KeyChange(change)] + " a gossip key"})
	return nil
}

func (a *API) changeKeys(c *call, change cluster.KeyChange, key []byte) error {
	if a.cluster == nil {
		return errNoCluster
	}
	ctx, cancel := context.WithTimeout(c.ctx, keysTimeout)
	defer cancel()
	said, err := a.cluster.ChangeKeys(ctx, change, key)
	if err != nil {
		return refuse(409, "key_change_refused", "nothing was changed: "+err.Error())
	}
	if change != cluster.ListKeys {
		a.log.Info("the keys of the cluster were changed", "change", string(change), "by", c.account.Name)
	}
	out := keyAnswers{Members: []keyAnswer{}}
	status := 200
	for _, s := range said {
		if s.Err != "" && change != cluster.ListKeys {
			status = 202
		}
		out.Members = append(out.Members, keyAnswer{Node: s.Node, Keys: append([]string{}, s.Keys...), Error: s.Err})
	}
	return c.answer(status, out)
}

// wait is how many gateways a change is to reach before it is answered.
type wait struct {
	whom    string // "", "majority" or "all"
	timeout time.Duration
}

// Bounds of the timeout of an activation.
const (
	defaultWait = 5 * time.Second
	maxWait     = time.Minute
)

func (c *call) wait() (wait, error) {
	args := c.ctx.QueryArgs()
	w := wait{whom: string(args.Peek("wait")), timeout: defaultWait}
	if args.Has("wait") && w.whom != "majority" && w.whom != "all" {
		return w, badParameter("wait", w.whom, `"majority" or "all"`)
	}
	if args.Has("timeout") {
		text := string(args.Peek("timeout"))
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > maxWait {
			return w, badParameter("timeout", text, "a duration such as 5s, at most "+maxWait.String())
		}
		w.timeout = d
	}
	return w, nil
}

// unconfirmed is a tenant whose change has not reached as many gateways as was
// asked for. It is made all the same, and on its way.
type unconfirmed struct {
	store.Tenant
	AppliedBy []string `json:"appliedBy"`
	Missing   []string `json:"missing"`
}

// answerActivation answers when as many gateways as w wants have applied the
// activation of a tenant. A gateway without a cluster is the majority of its
// members and all of them.
func (c *call) answerActivation(id store.TenantID, w wait) error {
	gateways := c.api.cluster
	if w.whom == "" || gateways == nil {
		return c.answerTenant(200, id)
	}
	enough := 0
	if w.whom == "majority" {
		enough = gateways.Majority()
	}
	ctx, cancel := context.WithTimeout(c.ctx, w.timeout)
	defer cancel()
	told := gateways.Confirm(ctx, []store.Key{{Kind: store.KindActivation, ID: id}}, enough)
	reached := len(told.Missing) == 0 || enough > 0 && len(told.Applied) >= enough
	t, ok := c.api.table.Tenant(id)
	switch {
	case reached:
		return c.answerTenant(200, id)
	case !ok:
		return noTenant(id)
	}
	return c.answerObject(202, t.Revision, unconfirmed{
		Tenant: t, AppliedBy: append([]string{}, told.Applied...), Missing: append([]string{}, told.Missing...),
	})
}
