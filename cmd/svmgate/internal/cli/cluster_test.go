package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/adminapi"
	"github.com/svmgate/svmgate/store"
)

// peers are two gateways, of which gw-2 may be away or differ.
type peers struct {
	away    bool
	differs bool
	change  cluster.KeyChange
	key     []byte
}

func (p *peers) Name() string          { return "gw-1" }
func (p *peers) Ready() (bool, string) { return true, "" }
func (p *peers) Majority() int         { return 2 }
func (p *peers) Stats() cluster.Stats  { return cluster.Stats{} }

func (p *peers) Members() []cluster.Member {
	return []cluster.Member{
		{Name: "gw-1", Addr: "10.0.0.1:7273", State: "alive", Self: true},
		{Name: "gw-2", Addr: "10.0.0.2:7273", State: "dead", Differing: 3, Lag: 1500 * time.Millisecond, Offset: -time.Second},
	}
}

func (p *peers) Digests(context.Context) []cluster.TableDigest {
	list := []cluster.TableDigest{{Node: "gw-1", Root: "00000000000000aa"}, {Node: "gw-2", Root: "00000000000000aa"}}
	switch {
	case p.away:
		list[1] = cluster.TableDigest{Node: "gw-2", Err: "it does not answer"}
	case p.differs:
		list[1].Root = "00000000000000bb"
	}
	return list
}

func (p *peers) Confirm(context.Context, []store.Key, int) cluster.Confirmation {
	if p.away {
		return cluster.Confirmation{Applied: []string{"gw-1"}, Missing: []string{"gw-2"}}
	}
	return cluster.Confirmation{Applied: []string{"gw-1", "gw-2"}}
}

func (p *peers) ChangeKeys(_ context.Context, change cluster.KeyChange, key []byte) ([]cluster.KeyAnswer, error) {
	p.change, p.key = change, key
	list := []cluster.KeyAnswer{{Node: "gw-1", Keys: []string{"ab12", "cd34"}}, {Node: "gw-2", Keys: []string{"ab12"}}}
	if p.away {
		list[1] = cluster.KeyAnswer{Node: "gw-2", Err: "it does not answer"}
	}
	return list, nil
}

func newCluster(t *testing.T) (*gateway, *peers) {
	t.Helper()
	p := &peers{}
	return newGateway(t, func(c *adminapi.Config) { c.Cluster = p }), p
}

func TestClusterMembers(t *testing.T) {
	g, _ := newCluster(t)
	out := g.must("cluster", "members")
	for _, want := range []string{`(?m)^gw-1 +10\.0\.0\.1:7273 +alive +self`, `(?m)^gw-2 +10\.0\.0\.2:7273 +dead +3 +1\.5s +-1s`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no line %s in\n%s", want, out)
		}
	}
	var view clusterView
	if err := json.Unmarshal([]byte(g.must("cluster", "members", "--output", "json")), &view); err != nil || len(view.Members) != 2 {
		t.Errorf("%v, %+v", err, view)
	}
}

// The exit code tells whether all tables are alike.
func TestClusterDigest(t *testing.T) {
	g, p := newCluster(t)
	if out := g.must("cluster", "digest"); strings.Count(out, "00000000000000aa") != 2 {
		t.Error(out)
	}
	p.differs = true
	if r := g.run("cluster", "digest"); r.exit() != 1 || !strings.Contains(r.out, "00000000000000bb") {
		t.Errorf("exit %d, %s; want 1 and both digests", r.exit(), r.out)
	}
	p.away = true
	r := g.run("cluster", "digest", "--output", "json")
	if r.exit() != 1 || !json.Valid([]byte(r.out)) {
		t.Errorf("exit %d, %s; want 1 and JSON", r.exit(), r.out)
	}
	if r := newGateway(t).run("cluster", "digest"); r.exit() != 1 || !strings.Contains(r.err.Error(), "cluster-addr") {
		t.Errorf("without a cluster: exit %d, %v", r.exit(), r.err)
	}
}

func TestClusterKeys(t *testing.T) {
	g, p := newCluster(t)
	name := filepath.Join(t.TempDir(), "new.key")
	g.must("cluster", "keys", "generate", name)
	text, err := os.ReadFile(name)
	check(t, err)
	info, err := os.Stat(name)
	check(t, err)
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 || info.Mode().Perm() != 0o600 {
		t.Fatalf("a key of %d bytes, mode %v, %v; want 32, 0600", len(key), info.Mode(), err)
	}
	if r := g.run("cluster", "keys", "generate", name); r.exit() != 1 {
		t.Errorf("a file was written over: exit %d", r.exit())
	}
	if out := g.must("cluster", "keys", "list"); !regexp.MustCompile(`(?m)^gw-1 +ab12 cd34 `).MatchString(out) {
		t.Error(out)
	}
	for _, verb := range []string{"add", "use", "remove"} {
		g.must("cluster", "keys", verb, name)
		if string(p.change) != verb || string(p.key) != string(key) {
			t.Errorf("%s: %s of %x, want of %x", verb, p.change, p.key, key)
		}
	}
	p.away = true
	if r := g.run("cluster", "keys", "add", name); r.exit() != 1 || !strings.Contains(r.err.Error(), "1 gateway of 2") || !strings.Contains(r.out, "it does not answer") {
		t.Errorf("exit %d, %v, %s; want 1 and who did not answer", r.exit(), r.err, r.out)
	}
	two := file(t, "two.key", string(text)+string(text))
	if r := g.run("cluster", "keys", "add", two); r.exit() != 2 || strings.Contains(r.err.Error(), strings.TrimSpace(string(text))) {
		t.Errorf("two keys: exit %d, %v; want 2 and no key shown", r.exit(), r.err)
	}
}

// Who waits for others learns which of them have it, and the exit code says so.
func TestTenantWaits(t *testing.T) {
	g, p := newCluster(t)
	g.must("tenant", "create", "acme")
	g.must("tenant", "activate", "acme", "--wait", "all")
	p.away = true
	r := g.run("tenant", "deactivate", "acme", "--wait", "all")
	if r.exit() != 1 || !strings.Contains(r.out, "deactivated") || !strings.Contains(r.err.Error(), "gw-2 did not") {
		t.Errorf("exit %d, %q, %v; want 1, what was done, and who is missing", r.exit(), r.out, r.err)
	}
}
