package ksc_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
)

func certificate(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// count counts the calls of a method.
func count(k *ksctest.KSC, method string) (n int) {
	for _, m := range k.Calls() {
		if m == method {
			n++
		}
	}
	return n
}

// TestSessionsAreKept counts them: one for all that is done in turn, another after KSC has
// ended it, and none when a connection is lost.
func TestSessionsAreKept(t *testing.T) {
	k := start(t, ksctest.Config{})
	s := open(t, config(k))
	ask := func(sessions int) {
		t.Helper()
		for range 3 {
			if got := s.Capacity(t.Context()); got[0].Err != nil {
				t.Fatal(got[0].Err)
			}
		}
		if n := count(k, "Session.StartSession"); n != sessions {
			t.Errorf("%d sessions, want %d", n, sessions)
		}
	}
	ask(1)
	k.EndSessions()
	ask(2)
	k.CutConnections()
	ask(2)
	if n := k.Holds().Sessions; n != 1 {
		t.Errorf("%d sessions are left, want 1", n)
	}
	s.Close()
	if n := k.Holds().Sessions; n != 0 {
		t.Errorf("after Close, %d sessions are left", n)
	}
}

// TestTenantCanLogIn asks KSC as the tenant's administrator would.
func TestTenantCanLogIn(t *testing.T) {
	k := start(t, ksctest.Config{})
	site, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), new(notes).note)
	if err != nil {
		t.Fatal(err)
	}
	if !k.CanLogIn(site.User, password, site.Server) {
		t.Error("not on its virtual server")
	}
	if k.CanLogIn(site.User, password, "") {
		t.Error("it can on the main server as well")
	}
}

// TestFoldersVanishMeanwhile removes the folder of all tenants between two looks, as
// another gateway does when it removes the last tenant.
func TestFoldersVanishMeanwhile(t *testing.T) {
	for method, call := range map[string]int{"HostGroup.GetSubgroups": 1, "HostGroup.AddGroup": 2} {
		k := start(t, ksctest.Config{})
		k.AddFolder(ksctest.Managed, ksc.RootFolder)
		calls := 0
		k.OnCall(func(_ int, m, when string) {
			if m == method && when == "before" {
				if calls++; calls == call {
					k.RemoveFolder(ksctest.Managed, ksc.RootFolder)
				}
			}
		})
		site, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), new(notes).note)
		if err != nil || calls < call {
			t.Errorf("%s: Make: %+v, %v", method, site, err)
		}
	}
}

// TestAccountOutlivesItsServer: it can not be deleted where it was made, and is when that
// is gone.
func TestAccountOutlivesItsServer(t *testing.T) {
	k, before := populated(t, ksctest.Config{UsersStay: true})
	var n notes
	if _, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), n.note); err != nil {
		t.Fatal(err)
	}
	deleted := count(k, "SecurityPolicy.DeleteUser")
	sessions := count(k, "Session.StartSession")
	s := open(t, config(k))
	for i := range 4 { // those on the virtual server, after the one on the main server
		k.Inject(ksctest.Fault{Method: "Session.StartSession", Call: sessions + 2 + i, Kind: ksctest.Refuse, Module: "KLWAT"})
	}
	if err := s.Remove(t.Context(), n.last(), n.note); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, things(k)); diff != "" || count(k, "SecurityPolicy.DeleteUser") != deleted+1 {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestHugeAnswers are not read to their end.
func TestHugeAnswers(t *testing.T) {
	k := start(t, ksctest.Config{})
	k.Inject(ksctest.Fault{Method: "VServers.GetVServers", Kind: ksctest.Huge})
	got := open(t, config(k)).Capacity(t.Context())
	if !errors.Is(got[0].Err, ksc.ErrUnreachable) || !strings.Contains(got[0].Err.Error(), "longer than 4 MiB") {
		t.Errorf("Capacity = %+v", got)
	}
}

// TestSlowAction waits for one, asking as seldom as KSC wants; ksctest tells if not.
func TestSlowAction(t *testing.T) {
	k := start(t, ksctest.Config{ActionTime: 200 * time.Millisecond, CheckDelay: 30 * time.Millisecond})
	s := open(t, config(k))
	site, err := s.Make(t.Context(), wanted(), []byte(password), new(notes).note)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), site, new(notes).note); err != nil {
		t.Fatal(err)
	}
	if n := count(k, "AsyncActionStateChecker.CheckActionState"); n < 4 || n > 3*8 {
		t.Errorf("asked %d times for three actions of 200 ms, every 30 ms", n)
	}
	if n := count(k, "VServers.DelVServer"); n != 1 {
		t.Errorf("begun %d times", n)
	}
}

// TestConnectionLostInSlowAction: the action goes on, nobody can ask for it, and another can
// not be begun. That it is over is seen by what it removed.
func TestConnectionLostInSlowAction(t *testing.T) {
	for _, kind := range []ksctest.Kind{ksctest.DropAction, ksctest.CloseAfter, ksctest.DropAfter} {
		k, before := populated(t, ksctest.Config{ActionTime: 300 * time.Millisecond})
		s := open(t, config(k))
		var n notes
		if _, err := s.Make(t.Context(), wanted(), []byte(password), n.note); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"VServers.DelVServer", "HostGroup.RemoveGroup"} {
			k.Inject(ksctest.Fault{Method: method, Call: 1, Kind: kind})
		}
		if err := s.Remove(t.Context(), n.last(), n.note); err != nil {
			t.Errorf("%v: Remove: %v", kind, err)
		}
		clean(t, k, before, &n)
	}
}

// TestActionThatNeverEnds gives up at last, and says so; or at once, when it is told to.
func TestActionThatNeverEnds(t *testing.T) {
	k := start(t, ksctest.Config{ActionTime: time.Hour})
	cfg := config(k)
	cfg.ActionTimeout = 100 * time.Millisecond
	s := open(t, cfg)
	site, err := s.Make(t.Context(), wanted(), []byte(password), new(notes).note)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	err = s.Remove(t.Context(), site, new(notes).note)
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("Remove took %v", took)
	}
	if !errors.Is(err, ksc.ErrUnreachable) || !strings.Contains(err.Error(), "the virtual server is not gone after 100ms") {
		t.Errorf("Remove: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("the task was cancelled")
	k.OnCall(func(_ int, method, _ string) {
		if method == "AsyncActionStateChecker.CheckActionState" {
			cancel(enough)
		}
	})
	if err := open(t, config(k)).Remove(ctx, site, new(notes).note); err == nil {
		t.Error("Remove returned nil")
	}
}

// TestHandledLate is the one thing that can make a second virtual server: KSC carries out
// what we had given up. Then Remove finds both.
func TestHandledLate(t *testing.T) {
	k, before := populated(t, ksctest.Config{})
	late := make(chan struct{})
	added := 0
	k.OnCall(func(_ int, method, when string) {
		if method == "VServers.AddVServerInfo" && when == "after" {
			if added++; added == 2 {
				close(late)
			}
		}
	})
	k.Inject(ksctest.Fault{Method: "VServers.AddVServerInfo", Call: 1, Kind: ksctest.LateHandling, Delay: 2 * time.Second})
	cfg := config(k)
	cfg.Timeout = time.Second
	var n notes
	site, err := open(t, cfg).Make(t.Context(), wanted(), []byte(password), n.note)
	if err != nil {
		t.Fatal(err)
	}
	<-late
	if got := len(k.Holds().VServers) - len(before.VServers); got != 2 {
		t.Fatalf("%d virtual servers, want 2 for this test", got)
	}
	if err := open(t, config(k)).Remove(t.Context(), site, n.note); err != nil {
		t.Fatal(err)
	}
	k.OnCall(nil)
	clean(t, k, before, &n)
}

// TestWhatMakeRefuses asks KSC nothing.
func TestWhatMakeRefuses(t *testing.T) {
	k := start(t, ksctest.Config{})
	s := open(t, config(k))
	with := func(change func(*ksc.Site)) ksc.Site {
		site := wanted()
		change(&site)
		return site
	}
	tests := map[string]struct {
		site     ksc.Site
		password string
	}{
		"no mark":             {with(func(s *ksc.Site) { s.Mark = "" }), password},
		"a mark with a )":     {with(func(s *ksc.Site) { s.Mark = "a)b" }), password},
		"no name":             {with(func(s *ksc.Site) { s.Name = " " }), password},
		"a long name":         {with(func(s *ksc.Site) { s.Name = strings.Repeat("ä", ksc.MaxName+1) }), password},
		"a name of two lines": {with(func(s *ksc.Site) { s.Name = "a\nb" }), password},
		"the mark of another": {with(func(s *ksc.Site) { s.Name = "svmgate(other)" }), password},
		"no account":          {with(func(s *ksc.Site) { s.User = "" }), password},
		"no password":         {wanted(), ""},
		"a password of bytes": {wanted(), "\xff"},
		"begun":               {with(func(s *ksc.Site) { s.Begun = true }), password},
		"an unknown KSC":      {with(func(s *ksc.Site) { s.KSC = "https://elsewhere" }), password},
	}
	for name, tt := range tests {
		if _, err := s.Make(t.Context(), tt.site, []byte(tt.password), new(notes).note); err == nil {
			t.Errorf("%s: Make returned nil", name)
		}
	}
	if err := s.Remove(t.Context(), ksc.Site{Mark: mark}, new(notes).note); err != nil {
		t.Errorf("Remove of what was never begun: %v", err)
	}
	if err := s.Remove(t.Context(), ksc.Site{KSC: "https://elsewhere", Begun: true}, new(notes).note); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("Remove from an unknown KSC: %v", err)
	}
	if calls := k.Calls(); len(calls) > 0 {
		t.Errorf("KSC was asked %q", slices.Compact(calls))
	}
}
