package ksc_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
)

// TestNamesOfOthers has others use a name, beforehand or at the last moment.
func TestNamesOfOthers(t *testing.T) {
	name, user := strings.ToUpper(wanted().Name), strings.ToUpper(wanted().User)
	root := func(k *ksctest.KSC) int { return k.AddFolder(ksctest.Managed, ksc.RootFolder) }
	tests := []struct {
		name  string
		when  string // the method before whose first call they take the name; empty: beforehand
		take  func(*ksctest.KSC)
		want  error
		begun bool
	}{
		{name: "a folder", take: func(k *ksctest.KSC) { k.AddFolder(root(k), name) }, want: ksc.ErrNameTaken},
		{name: "a virtual server", take: func(k *ksctest.KSC) { k.AddVServer(name, ksctest.Managed) }, want: ksc.ErrNameTaken},
		{name: "an account of the main server", take: func(k *ksctest.KSC) { k.AddUser(user, "x", 0) }, want: ksc.ErrUserExists},
		{name: "an account of a virtual server", take: func(k *ksctest.KSC) {
			k.AddUser(user, "x", k.AddVServer("Third", ksctest.Managed))
		}, want: ksc.ErrUserExists},
		{name: "a folder, meanwhile", when: "HostGroup.UpdateGroup", take: func(k *ksctest.KSC) { k.AddFolder(root(k), name) },
			want: ksc.ErrNameTaken, begun: true},
		{name: "a virtual server, meanwhile", when: "VServers.UpdateVServerInfo", take: func(k *ksctest.KSC) { k.AddVServer(name, ksctest.Managed) },
			want: ksc.ErrNameTaken, begun: true},
		{name: "an account, meanwhile", when: "SecurityPolicy.AddUser", take: func(k *ksctest.KSC) { k.AddUser(user, "x", 0) },
			want: ksc.ErrUserExists, begun: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, _ := populated(t, ksctest.Config{})
			if tt.when == "" {
				tt.take(k)
			}
			taken := false
			k.OnCall(func(_ int, method, when string) {
				if method == tt.when && when == "before" && !taken {
					taken = true
					tt.take(k)
				}
			})
			var n notes
			before := things(k)
			_, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), n.note)
			if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), k.URL()) {
				t.Fatalf("Make: %v, want %v", err, tt.want)
			}
			if begun := len(n.sites) > 0; begun != tt.begun {
				t.Errorf("noted %v", n.stages)
			}
			if tt.begun {
				before = things(k) // with what others made meanwhile, and without ours
				before.VServers = slices.DeleteFunc(before.VServers, func(v ksctest.VServer) bool { return strings.Contains(v.Description, mark) })
				before.Folders = slices.DeleteFunc(before.Folders, func(f ksctest.Folder) bool {
					return f.ID == int(n.last().Folder) || f.Name == ksc.RootFolder && tt.when != "HostGroup.UpdateGroup"
				})
			}
			clean(t, k, before, &n)
		})
	}
}

// TestFolderOfAllTenantsStaysForOthers keeps "Multitenancy KSV LA" while something is in it.
func TestFolderOfAllTenantsStaysForOthers(t *testing.T) {
	k := start(t, ksctest.Config{})
	root := k.AddFolder(ksctest.Managed, ksc.RootFolder)
	kept := k.AddVServer("kept in the folder itself", root)
	s := open(t, config(k))
	before := things(k)
	var n notes
	site, err := s.Make(t.Context(), wanted(), []byte(password), n.note)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), site, n.note); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, things(k)); diff != "" {
		t.Errorf("virtual server %d is in it (-before +after):\n%s", kept, diff)
	}
}

// TestManyAtOnce makes and removes sites while others do.
func TestManyAtOnce(t *testing.T) {
	k, before := populated(t, ksctest.Config{ActionTime: 2 * time.Millisecond})
	s := open(t, config(k))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for round := range 2 {
				var n notes
				site := ksc.Site{Mark: fmt.Sprintf("m%d", i), Name: fmt.Sprintf("Tenant %d", i), User: fmt.Sprintf("u%d", i)}
				site, err := s.Make(t.Context(), site, []byte(password), n.note)
				if err != nil {
					t.Errorf("Make %d, round %d: %v", i, round, err)
					return
				}
				if v, found, err := s.Describe(t.Context(), site); !found || err != nil || v.Name != site.Name {
					t.Errorf("Describe %d = %+v, %v, %v", i, v, found, err)
				}
				if err := s.Remove(t.Context(), site, n.note); err != nil {
					t.Errorf("Remove %d, round %d: %v", i, round, err)
				}
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(before, things(k)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestFullAcrossSeveral fills two KSCs to their limit, all at once.
func TestFullAcrossSeveral(t *testing.T) {
	a, b := start(t, ksctest.Config{}), start(t, ksctest.Config{})
	a.AddVServer("Other", ksctest.Managed)
	cfg := config(a, b)
	cfg.Limit = 4
	s := open(t, cfg)
	var all sync.WaitGroup
	results := make(chan error, 12)
	sites := make(chan ksc.Site, 12)
	for i := range 12 {
		all.Go(func() {
			site := ksc.Site{Mark: fmt.Sprintf("m%d", i), Name: fmt.Sprintf("Tenant %d", i), User: fmt.Sprintf("u%d", i)}
			site, err := s.Make(t.Context(), site, []byte(password), new(notes).note)
			results <- err
			sites <- site
		})
	}
	all.Wait()
	close(results)
	made := 0
	for err := range results {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, ksc.ErrFull) || !strings.Contains(err.Error(), a.URL()) || !strings.Contains(err.Error(), b.URL()):
			t.Errorf("%v, want ErrFull with both KSCs", err)
		}
	}
	if inA, inB := len(a.Holds().VServers), len(b.Holds().VServers); made != 7 || inA != 4 || inB != 4 {
		t.Errorf("made %d, and there are %d and %d; want 7, 4 and 4", made, inA, inB)
	}
	want := []ksc.Capacity{{URL: a.URL(), Used: 4, Limit: 4}, {URL: b.URL(), Used: 4, Limit: 4}}
	if diff := cmp.Diff(want, s.Capacity(t.Context())); diff != "" {
		t.Errorf("Capacity (-want +got):\n%s", diff)
	}
	for site := <-sites; ; site = <-sites {
		if site.Server == "" {
			continue
		}
		if err := s.Remove(t.Context(), site, new(notes).note); err != nil {
			t.Fatal(err)
		}
		again := wanted()
		again, err := s.Make(t.Context(), again, []byte(password), new(notes).note)
		if err != nil || again.KSC != site.KSC {
			t.Errorf("where one was removed another fits: %v, %v", again, err)
		}
		return
	}
}

// TestPlacesAreCountedOnce has one chosen while the virtual server of another is made, but
// not yet known: it is in KSC's list, and so is its place.
func TestPlacesAreCountedOnce(t *testing.T) {
	k := start(t, ksctest.Config{})
	cfg := config(k)
	cfg.Limit = 2
	s := open(t, cfg)
	var meanwhile error
	var once sync.Once
	k.OnCall(func(_ int, method, when string) {
		if method == "VServers.AddVServerInfo" && when == "after" {
			once.Do(func() {
				k.OnCall(nil)
				_, meanwhile = s.Make(t.Context(), ksc.Site{Mark: "m2", Name: "Second", User: "second"}, []byte(password), new(notes).note)
			})
		}
	})
	_, err := s.Make(t.Context(), wanted(), []byte(password), new(notes).note)
	if err != nil || meanwhile != nil {
		t.Errorf("two fit: %v, %v", err, meanwhile)
	}
}

// TestKSCHasALimitOfItsOwn: another gateway may have taken the last place.
func TestKSCHasALimitOfItsOwn(t *testing.T) {
	k := start(t, ksctest.Config{Limit: 1})
	k.AddVServer("Other", ksctest.Managed)
	before := things(k)
	var n notes
	_, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), n.note)
	if !errors.Is(err, ksc.ErrFull) || !strings.Contains(err.Error(), k.URL()) {
		t.Errorf("Make: %v, want ErrFull", err)
	}
	clean(t, k, before, &n)
}

// TestOneIsSilent uses the KSC that answers, and does not call those full that do not.
func TestOneIsSilent(t *testing.T) {
	a, b := start(t, ksctest.Config{}), start(t, ksctest.Config{})
	cfg := config(a, b)
	cfg.Limit, cfg.Attempts = 1, 2
	a.Close()
	s := open(t, cfg)
	site, err := s.Make(t.Context(), wanted(), []byte(password), new(notes).note)
	if err != nil || site.KSC != b.URL() {
		t.Fatalf("Make: %+v, %v", site, err)
	}
	other := ksc.Site{Mark: "m2", Name: "Second", User: "second"}
	_, err = s.Make(t.Context(), other, []byte(password), new(notes).note)
	if !errors.Is(err, ksc.ErrUnreachable) || errors.Is(err, ksc.ErrFull) || !strings.Contains(err.Error(), b.URL()) || !strings.Contains(err.Error(), a.URL()) {
		t.Errorf("one is full and one is silent: %v", err)
	}
	if got := s.Capacity(t.Context()); got[0].Err == nil || got[1].Used != 1 {
		t.Errorf("Capacity = %+v", got)
	}
	other.KSC = a.URL()
	if _, err = s.Make(t.Context(), other, []byte(password), new(notes).note); !errors.Is(err, ksc.ErrUnreachable) {
		t.Errorf("the silent one is wanted: %v", err)
	}
}

// TestStrangersCertificate: nothing is sent to a KSC whose certificate nobody vouches for.
func TestStrangersCertificate(t *testing.T) {
	k, other := start(t, ksctest.Config{Addr: "127.0.0.2:0"}), start(t, ksctest.Config{})
	for name, ca := range map[string][]byte{
		"none": nil, "that of another": other.CA(), "its authority, which did not sign for this address": k.Authority(),
	} {
		cfg := config(k)
		cfg.CA, cfg.Attempts = ca, 1
		_, err := open(t, cfg).Make(t.Context(), wanted(), []byte(password), new(notes).note)
		if !errors.Is(err, ksc.ErrUnreachable) || !strings.Contains(fmt.Sprint(err), "certificate") || !strings.Contains(fmt.Sprint(err), k.URL()) {
			t.Errorf("trusted is %s: %v", name, err)
		}
	}
	if calls := k.Calls(); len(calls) > 0 {
		t.Errorf("it was asked %q", calls)
	}
	cfg := config(other)
	cfg.CA = other.Authority()
	if got := open(t, cfg).Capacity(t.Context()); got[0].Err != nil {
		t.Errorf("trusted is the authority: %v", got[0].Err)
	}
	// Its own is enough, though it names another host.
	if got := open(t, config(k)).Capacity(t.Context()); got[0].Err != nil {
		t.Errorf("its own is pinned: %v", got[0].Err)
	}
}

func TestWrongCredentials(t *testing.T) {
	k := start(t, ksctest.Config{})
	for name, fault := range map[string]ksctest.Fault{
		"status 401": {Method: "no such method"},
		"KLWAT 1453": {Method: "Session.StartSession", Kind: ksctest.Refuse, Module: "KLWAT", Code: 1453, Words: "logon failed: wrong-secret"},
	} {
		k.Heal()
		k.Inject(fault)
		cfg := config(k)
		cfg.Password = "wrong-secret"
		asked := len(k.Calls())
		_, err := open(t, cfg).Make(t.Context(), wanted(), []byte(password), new(notes).note)
		if !errors.Is(err, ksc.ErrCredentials) || !strings.Contains(err.Error(), k.URL()) || !strings.Contains(err.Error(), `"gateway"`) || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(k.Calls()) - asked; n != 1 {
			t.Errorf("%s: tried %d times; KSC may lock the account", name, n)
		}
	}
}

// TestKSCRepeatsSecrets: its words are told, but for the secrets in them.
func TestKSCRepeatsSecrets(t *testing.T) {
	own := "too simple: gateway-secret, Z2F0ZXdheS1zZWNyZXQ="
	both := own + ", " + password + ", dGVuImFudC1zZWNyZXQ8Jj7DqQ=="
	for method, words := range map[string]string{
		"Session.StartSession": own, "DataProtectionApi.ProtectUtf16StringGlobally": both, "SecurityPolicy.AddUser": both,
	} {
		k, before := populated(t, ksctest.Config{})
		k.Inject(ksctest.Fault{Method: method, Kind: ksctest.Refuse, Words: words})
		var n notes
		_, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), n.note)
		var no *ksc.Error
		if !errors.As(err, &no) || no.Method != method || no.Code != 1193 || no.Module != "KLSTD" || !strings.Contains(no.Message, "too simple") {
			t.Errorf("%s: %v", method, err)
		}
		noSecret(t, "the error", fmt.Sprintf("%v %+v %#v", err, no, no))
		clean(t, k, before, &n)
	}
}

// TestKSCRepeatsAnyPassword: also one that is not told as it is, or not as a whole.
func TestKSCRepeatsAnyPassword(t *testing.T) {
	for _, password := range []string{"tab\tin the middle", strings.Repeat("very long ", 60)} {
		for _, before := range []string{"too simple: ", strings.Repeat("x", 480)} {
			k := start(t, ksctest.Config{})
			k.Inject(ksctest.Fault{Method: "SecurityPolicy.AddUser", Kind: ksctest.Refuse, Words: before + password})
			_, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), new(notes).note)
			if err == nil || strings.Contains(err.Error(), "in the middle") || strings.Contains(err.Error(), "very long") {
				t.Errorf("%v", err)
			}
		}
	}
}

// TestNobodySendsUsElsewhere: a redirection is not followed.
func TestNobodySendsUsElsewhere(t *testing.T) {
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	defer other.Close()
	k := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer k.Close()
	cfg := config()
	cfg.URLs, cfg.CA = []string{k.URL}, certificate(k)
	var no *ksc.Error
	if got := open(t, cfg).Capacity(t.Context()); !errors.As(got[0].Err, &no) || no.Module != "HTTP" || no.Code != http.StatusTemporaryRedirect {
		t.Errorf("Capacity = %+v", got)
	}
}

// TestAFolderThatHasOurIdOnly stays: after a KSC was restored from a backup, an id may be
// another folder's.
func TestAFolderThatHasOurIdOnly(t *testing.T) {
	k := start(t, ksctest.Config{})
	s := open(t, config(k))
	var n notes
	site, err := s.Make(t.Context(), wanted(), []byte(password), n.note)
	if err != nil {
		t.Fatal(err)
	}
	root := k.AddFolder(ksctest.Managed, ksc.RootFolder)
	other := k.AddFolder(root, "Another tenant")
	site.Folder = int64(other)
	if err := s.Remove(t.Context(), site, n.note); err != nil {
		t.Fatal(err)
	}
	for _, f := range k.Holds().Folders {
		if f.ID == other {
			return
		}
	}
	t.Error("another tenant's folder is gone")
}
