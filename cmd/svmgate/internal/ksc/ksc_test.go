package ksc_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
)

const (
	password = `ten"ant-secret<&>é`
	mark     = "0f8fad5b-d9cb-469f-a165-70867728950e"
)

// start starts a KSC that ends with the test, and sees that nobody broke its rules.
func start(t *testing.T, cfg ksctest.Config) *ksctest.KSC {
	t.Helper()
	k, err := ksctest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Close()
		if broken := k.Broken(); len(broken) > 0 {
			t.Errorf("rules of KSC were broken:\n%s", strings.Join(broken, "\n"))
		}
	})
	return k
}

// config is what reaches the KSCs, quickly.
func config(all ...*ksctest.KSC) ksc.Config {
	cfg := ksc.Config{
		Account: ksc.Account{User: "gateway", Password: "gateway-secret"}, Timeout: 5 * time.Second, ActionTimeout: 5 * time.Second,
		Pause: time.Millisecond, Connections: 8,
	}
	for _, k := range all {
		cfg.URLs = append(cfg.URLs, k.URL())
		cfg.CA = append(cfg.CA, k.CA()...)
	}
	return cfg
}

// open opens Servers that are closed with the test; what they logged has no secret.
func open(t *testing.T, cfg ksc.Config) *ksc.Servers {
	t.Helper()
	var log logged
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := ksc.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		noSecret(t, "the log", log.String())
	})
	return s
}

// logged is a log that several goroutines write.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

// notes keeps what was noted.
type notes struct {
	stages []string
	sites  []ksc.Site
}

func (n *notes) note(stage string, _ int, site ksc.Site) error {
	n.stages = append(n.stages, stage)
	n.sites = append(n.sites, site)
	return nil
}

// last is the site noted last.
func (n *notes) last() (site ksc.Site) {
	if len(n.sites) > 0 {
		site = n.sites[len(n.sites)-1]
	}
	return site
}

func wanted() ksc.Site { return ksc.Site{Mark: mark, Name: `Acme "GmbH" & Söhne`, User: "acme-admin"} }

// things are what a KSC holds, without what passes by itself.
func things(k *ksctest.KSC) ksctest.Holding {
	h := k.Holds()
	h.Sessions, h.Actions = 0, 0
	return h
}

func TestMakeAndRemove(t *testing.T) {
	k := start(t, ksctest.Config{ActionTime: 10 * time.Millisecond})
	k.AddUser("somebody", "x", 0)
	k.AddVServer("Other", k.AddFolder(ksctest.Managed, "Others"))
	before := things(k)
	s := open(t, config(k))
	var n notes
	site, err := s.Make(t.Context(), wanted(), []byte(password), n.note)
	if err != nil {
		t.Fatal(err)
	}
	h := k.Holds()
	v, u := h.VServers[len(h.VServers)-1], h.Users[len(h.Users)-1]
	if v.Name != site.Name || v.UID != site.Server || v.Folder != int(site.Folder) || !strings.Contains(v.Description, mark) {
		t.Errorf("virtual server %+v of %+v", v, site)
	}
	if u.Name != site.User || u.Password != password || u.Server != v.ID {
		t.Errorf("account %+v of %+v", u, site)
	}
	if mask, all := k.Rights(v.ID, u.ID); mask != all {
		t.Errorf("rights %#x, want %#x", mask, all)
	}
	if f := h.Folders[len(h.Folders)-1]; f.Name != site.Name || f.ID != int(site.Folder) {
		t.Errorf("folder %+v of %+v", f, site)
	}
	want := []string{
		ksc.StageFolder, ksc.StageNameFolder, ksc.StageServer, ksc.StageNameServer, ksc.StageAccount, ksc.StageRights,
	}
	if diff := cmp.Diff(want, n.stages); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if n.last() != site {
		t.Errorf("noted %+v, returned %+v", n.last(), site)
	}
	described, found, err := s.Describe(t.Context(), site)
	if err != nil || !found || described.Name != site.Name || described.UID != site.Server || !described.Enabled ||
		!described.Created.Equal(v.Created) || described.KSC != k.URL() {
		t.Errorf("Describe = %+v, %v, %v", described, found, err)
	}
	for range 2 { // the second finds nothing to do
		if err := s.Remove(t.Context(), site, n.note); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, things(k)); diff != "" {
			t.Fatalf("after Remove (-before +after):\n%s", diff)
		}
	}
	if _, found, err := s.Describe(t.Context(), site); found || err != nil {
		t.Errorf("after Remove: Describe = %v, %v", found, err)
	}
	s.Close()
	if h := k.Holds(); h.Sessions != 0 || h.Actions != 0 {
		t.Errorf("after Close: %d sessions, %d actions", h.Sessions, h.Actions)
	}
}

func noSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{password, "ant-secret", "gateway-secret", "Z2F0ZXdheS1zZWNyZXQ", "dGVuImFudC"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s has the secret %q: %s", where, secret, text)
		}
	}
}
