package adminapi

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/store"
)

// peers are three gateways of which gw-3 may be away.
type peers struct {
	away    bool
	refuses error // of key changes
	root3   string

	confirmed []store.Key
	enough    int
	deadline  time.Duration
	change    cluster.KeyChange
	key       []byte
}

func (p *peers) Name() string          { return "gw-1" }
func (p *peers) Ready() (bool, string) { return true, "" }
func (p *peers) Majority() int         { return 2 }

func (p *peers) Members() []cluster.Member {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return []cluster.Member{
		{Name: "gw-1", Addr: "10.0.0.1:7273", State: "alive", Self: true, Seen: at, Formats: [2]uint8{1, 1}},
		{Name: "gw-2", Addr: "10.0.0.2:7273", State: "alive", Seen: at, Exchanged: at, Offset: -2 * time.Second, Formats: [2]uint8{1, 2}},
		{Name: "gw-3", Addr: "10.0.0.3:7273", State: "dead", Seen: at, Exchanged: at, Differing: 3, Lag: 1500 * time.Millisecond},
	}
}

func (p *peers) Stats() cluster.Stats {
	return cluster.Stats{
		Members: 3, Alive: 2, QueuedRecords: 4, QueuedBytes: 400, DroppedNews: 5, DroppedFleeting: 6, DroppedPackets: 7, Malformed: 8,
		UnknownMessages: 9, Exchanges: 10, PulledRecords: 11, PulledBytes: 12, ServedRecords: 13, ServedBytes: 14, Differing: 15, Rejoins: 16,
		ClockOffset: -250 * time.Millisecond, ClockWrong: true, PropagationP50: 10 * time.Millisecond, PropagationP99: 20 * time.Millisecond,
	}
}

func (p *peers) Digests(context.Context) []cluster.TableDigest {
	list := []cluster.TableDigest{{Node: "gw-1", Root: "00000000000000aa"}, {Node: "gw-2", Root: "00000000000000aa"}, {Node: "gw-3", Root: p.root3}}
	if p.away {
		list[2] = cluster.TableDigest{Node: "gw-3", Err: "it does not answer"}
	}
	return list
}

func (p *peers) Confirm(ctx context.Context, keys []store.Key, enough int) cluster.Confirmation {
	p.confirmed, p.enough = keys, enough
	end, _ := ctx.Deadline()
	p.deadline = time.Until(end)
	if p.away {
		return cluster.Confirmation{Applied: []string{"gw-1", "gw-2"}, Missing: []string{"gw-3"}}
	}
	return cluster.Confirmation{Applied: []string{"gw-1", "gw-2", "gw-3"}}
}

func (p *peers) ChangeKeys(_ context.Context, change cluster.KeyChange, key []byte) ([]cluster.KeyAnswer, error) {
	p.change, p.key = change, key
	if p.refuses != nil {
		return nil, p.refuses
	}
	list := []cluster.KeyAnswer{{Node: "gw-1", Keys: []string{"ab12", "cd34"}}, {Node: "gw-2", Keys: []string{"ab12", "cd34"}}, {Node: "gw-3", Keys: []string{"ab12"}}}
	if p.away {
		list[2] = cluster.KeyAnswer{Node: "gw-3", Err: "it does not answer"}
	}
	return list, nil
}

func with(p *peers) func(*Config) { return func(c *Config) { c.Cluster = p } }

func TestCluster(t *testing.T) {
	p := &peers{root3: "00000000000000bb"}
	w := newWorld(t, with(p))
	var got clusterState
	w.must(200, "GET", "/v1/cluster", "").json(t, &got)
	if !got.Enabled || got.Node != "gw-1" || !got.Ready || got.Equal == nil || *got.Equal || len(got.Digests) != 3 {
		t.Errorf("%+v", got)
	}
	at := store.Time{Time: p.Members()[0].Seen}
	wantMember := clusterMember{Name: "gw-3", Addr: "10.0.0.3:7273", State: "dead", Seen: at, Exchanged: at, Differing: 3, LagSeconds: 1.5}
	if len(got.Members) != 3 || got.Members[2] != wantMember || got.Members[1].ClockOffsetSeconds != -2 || got.Members[1].NewestFormat != 2 {
		t.Errorf("members %+v", got.Members)
	}
	want := clusterState{
		Queue: queueState{4, 400}, Drops: dropState{5, 6, 7}, Messages: messageState{8, 9},
		Repair: repairState{10, 15, 11, 12, 13, 14, 16}, Clock: clockState{-0.25, true, 0}, Propagation: propagationState{0.01, 0.02},
	}
	got.Enabled, got.Node, got.Ready, got.Members, got.Digests, got.Equal = false, "", false, nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("figures %+v, want %+v", got, want)
	}

	p.root3 = "00000000000000aa"
	if w.must(200, "GET", "/v1/cluster", "").json(t, &got); !*got.Equal {
		t.Error("equal digests are not equal")
	}
	p.away = true
	if w.must(200, "GET", "/v1/cluster", "").json(t, &got); *got.Equal {
		t.Error("digests are equal although a member did not answer")
	}
	got = clusterState{}
	if w.must(200, "GET", "/v1/cluster?digests=false", "").json(t, &got); got.Digests != nil || got.Equal != nil {
		t.Errorf("asked for no digests, got %+v, %v", got.Digests, got.Equal)
	}
}

func TestAlone(t *testing.T) {
	w := newWorld(t)
	var got clusterState
	if w.must(200, "GET", "/v1/cluster", "").json(t, &got); got.Enabled {
		t.Errorf("%+v: there is no cluster", got)
	}
	for _, method := range []string{"GET", "POST"} {
		body := ""
		if method == "POST" {
			body = `{"change":"add","key":"` + aKey + `"}`
		}
		if a := w.do(method, "/v1/cluster/keys", body); a.status != 409 || a.code() != "no_cluster" {
			t.Errorf("%s of keys: %d %s, want 409 no_cluster", method, a.status, a.code())
		}
	}
}

// Who waits hears whether enough gateways have the change, and which do not.
func TestWaitForOthers(t *testing.T) {
	p := &peers{}
	w := newWorld(t, with(p))
	tenant := "/v1/tenants/" + w.tenant.String()
	w.must(200, "POST", tenant+"/deactivate", "")
	if p.confirmed != nil {
		t.Error("others were waited for although nobody asked")
	}
	w.must(200, "POST", tenant+"/deactivate?wait=all&timeout=9s", "")
	if want := []store.Key{{Kind: store.KindActivation, ID: w.tenant}}; !slices.Equal(p.confirmed, want) || p.enough != 0 {
		t.Errorf("confirmed %v by %d, want %v by all", p.confirmed, p.enough, want)
	}
	if p.deadline < 8*time.Second || p.deadline > 9*time.Second {
		t.Errorf("waited until %v from now, want 9 s", p.deadline)
	}
	p.away = true
	if w.must(200, "POST", tenant+"/activate?wait=majority", ""); p.enough != 2 || p.deadline > defaultWait {
		t.Errorf("waited %v for %d, want %v for 2", p.deadline, p.enough, defaultWait)
	}
	a := w.must(202, "POST", tenant+"/activate?wait=all", "")
	var got unconfirmed
	a.json(t, &got)
	if got.ID != w.tenant || got.Status != store.Active || !slices.Equal(got.AppliedBy, []string{"gw-1", "gw-2"}) || !slices.Equal(got.Missing, []string{"gw-3"}) {
		t.Errorf("%s", a.body)
	}
	if a.header.Get("ETag") == "" {
		t.Error("no ETag")
	}
}

var aKey = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))

func TestKeys(t *testing.T) {
	p := &peers{}
	w := newWorld(t, with(p))
	var got keyAnswers
	w.must(200, "GET", "/v1/cluster/keys", "").json(t, &got)
	if p.change != cluster.ListKeys || len(got.Members) != 3 || !slices.Equal(got.Members[0].Keys, []string{"ab12", "cd34"}) {
		t.Errorf("%s: %+v", p.change, got)
	}
	for _, change := range []string{"add", "use", "remove"} {
		w.must(200, "POST", "/v1/cluster/keys", `{"change":"`+change+`","key":"`+aKey+`"}`)
		if string(p.change) != change || string(p.key) != "0123456789abcdef" {
			t.Errorf("%s with %q, want %s", p.change, p.key, change)
		}
	}
	for _, bad := range []string{
		`{}`, `{"change":"add"}`, `{"change":"list","key":"` + aKey + `"}`, `{"change":"add","key":"AAAA"}`,
		`{"change":"add","key":"` + strings.Repeat("!", 24) + `"}`, `{"change":"add","key":"` + aKey + `","force":true}`,
	} {
		p.change = ""
		if a := w.do("POST", "/v1/cluster/keys", bad); a.status != 400 || p.change != "" {
			t.Errorf("%s: %d, and %q was done; want 400", bad, a.status, p.change)
		}
	}
	if a := w.do("POST", "/v1/cluster/keys", `{"change":"add","key":"c2VjcmV0"}`); strings.Contains(a.body, "c2VjcmV0") {
		t.Error("the answer repeats the key")
	}
	p.away = true
	w.must(202, "POST", "/v1/cluster/keys", `{"change":"add","key":"`+aKey+`"}`).json(t, &got)
	if got.Members[2].Error == "" {
		t.Errorf("%+v: want gw-3's error", got)
	}
	w.must(200, "GET", "/v1/cluster/keys", "")
	p.refuses = errors.New("gw-3 does not have the key")
	if a := w.do("POST", "/v1/cluster/keys", `{"change":"use","key":"`+aKey+`"}`); a.status != http.StatusConflict || a.code() != "key_change_refused" || !strings.Contains(a.body, "gw-3") {
		t.Errorf("%d %s, want 409 that says why", a.status, a.body)
	}
}
