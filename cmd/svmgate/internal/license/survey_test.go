package license

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A world is a table, and a surveyor of it.
type world struct {
	*Surveyor
	tb   testing.TB
	rand *rand.Rand
}

func newWorld(tb testing.TB, r *rand.Rand) *world {
	tb.Helper()
	table, err := store.Open(store.Config{})
	check(tb, err)
	selector, err := discovery.New(discovery.Config{Table: table})
	check(tb, err)
	tb.Cleanup(func() {
		selector.Close()
		_ = table.Close()
	})
	return &world{&Surveyor{Table: table, Selector: selector}, tb, r}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (w *world) update(fn func(*store.Tx) error) {
	w.tb.Helper()
	check(w.tb, w.Table.Update(fn))
}

func (w *world) survey() *Survey {
	w.tb.Helper()
	s, err := w.Survey(context.Background(), 0)
	check(w.tb, err)
	return s
}

func (w *world) word(words ...string) string { return words[w.rand.IntN(len(words))] }

// fill makes up tenants, SVMs and VMs, with few words, so that they meet.
func (w *world) fill() {
	path := func() store.Path {
		return store.Path{Host: w.word("", "h1", "h2"), Cluster: w.word("c1", "c2"), Zone: w.word("z1", "z2")}
	}
	w.update(func(tx *store.Tx) error {
		tenants := []store.TenantID{{}}
		for n := range w.rand.IntN(4) {
			t := store.Tenant{ID: store.TenantID{15: byte(9 - n)}, Name: fmt.Sprint("t", n), Type: store.TenantType(w.rand.IntN(2)), Status: store.TenantStatus(w.rand.IntN(2))}
			t.Discovery = store.Discovery{
				Algorithm: store.Algorithm(w.rand.IntN(2)), Path: store.PathLevel(w.rand.IntN(4)), Tag: w.word("", "", "gold"),
				Protection: w.rand.IntN(4) == 0, AgentVersion: w.word("", "12.0"), Locked: w.rand.IntN(2) == 0,
			}
			if _, err := tx.PutTenant(t); err != nil {
				return err
			}
			tenants = append(tenants, t.ID)
		}
		for n := range w.rand.IntN(7) {
			s := store.SVM{ID: store.SVMID{15: byte(n + 1)}, State: store.SVMState(w.rand.IntN(4))}
			s.Address, s.Version, s.Path, s.Encryption, s.AllowUnprotected = "10.9.0.1", w.word("5.2", "6.0", "6.0", ""), path(), w.rand.IntN(2) == 0, w.rand.IntN(2) == 0
			s.License = store.License{State: store.LicenseState(w.rand.IntN(4)), Key: store.KeyType(w.rand.IntN(3))}
			if w.rand.IntN(3) == 0 {
				s.License.Expires = store.Time{Time: time.Now().Add(time.Duration(w.rand.IntN(3)-1) * time.Hour)}
			}
			if w.rand.IntN(4) == 0 {
				s.Tags = []string{"gold"}
			}
			if w.rand.IntN(4) == 0 && len(tenants) > 1 {
				s.Tenants = tenants[1:2]
			}
			if w.rand.IntN(4) == 0 {
				s.Kinds = []store.AgentKind{store.AgentLinux}
			}
			if _, err := tx.PutSVM(s); err != nil {
				return err
			}
		}
		for n := range w.rand.IntN(60) {
			if _, err := tx.PutVM(store.VM{
				BIOS: store.BIOSID{14: 1, 15: byte(n)}, Tenant: tenants[w.rand.IntN(len(tenants))], OS: store.GuestOS(w.rand.IntN(3)),
				Kind: store.AgentKind(w.rand.IntN(3)), Version: w.word("", "5.2", "12.0"), Path: path(),
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// A survey counts what the selector explains of each VM, asked one by one.
func TestSurveyAgreesWithExplanations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	var met Cover
	for n := range uint64(150) {
		w := newWorld(t, rand.New(rand.NewPCG(seed, n)))
		w.fill()
		got, want := w.survey(), w.slowly()
		want.At = got.At
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d, world %d: -slowly +survey\n%s", seed, n, d)
		}
		met.add(got.All)
	}
	if met.Covered < 50 || met.OtherKey < 50 || met.Unlicensed < 50 || met.None < 50 {
		t.Errorf("the worlds are not varied enough: %+v", met)
	}
}

// slowly is a survey by explanations.
func (w *world) slowly() *Survey {
	s := &Survey{Tenants: []Tenant{}}
	for _, tenant := range append([]store.Tenant{{Type: store.Simple}}, w.Table.Tenants()...) {
		t := Tenant{ID: tenant.ID, Name: tenant.Name, Type: tenant.Type, Status: tenant.Status, Guests: []Guest{}}
		t.Protected = tenant.Type != store.Complete || tenant.Status != store.Inactive
		if t.ID.IsZero() {
			t.Type = store.Complete // which says nothing of nobody
		}
		for _, os := range []store.GuestOS{store.OSUnknown, store.OSServer, store.OSDesktop} {
			g := Guest{OS: os}
			for _, vm := range w.Table.VMs(store.BIOSID{}, &tenant.ID, 1000) {
				if vm.OS == os {
					g.add(w.explained(vm.BIOS))
				}
			}
			if g.VMs > 0 {
				t.Guests = append(t.Guests, g)
				t.add(g.Cover)
			}
		}
		if t.VMs == 0 {
			continue
		}
		s.Tenants = append(s.Tenants, t)
		s.All.add(t.Cover)
		if t.Protected {
			s.Protected.add(t.Cover)
		}
	}
	return s
}

// explained is the cover of one VM.
func (w *world) explained(id store.BIOSID) Cover {
	var admitted, licensed, matching bool
	for _, c := range w.Selector.Explain(&discovery.Query{BIOS: id}).Candidates {
		if c.Admitted() {
			admitted, licensed, matching = true, licensed || c.Licensed, matching || c.Licensed && c.KeyMatch
		}
	}
	switch {
	case matching:
		return Cover{VMs: 1, Covered: 1}
	case licensed:
		return Cover{VMs: 1, OtherKey: 1}
	case admitted:
		return Cover{VMs: 1, Unlicensed: 1}
	}
	return Cover{VMs: 1, None: 1}
}

// A survey is used again for as long as it is asked for, and not for longer.
func TestSurveyIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ask := func(age time.Duration) *Survey {
			s, err := w.Survey(t.Context(), age)
			check(t, err)
			return s
		}
		first := ask(time.Minute)
		time.Sleep(30 * time.Second)
		if ask(30*time.Second) != first {
			t.Error("a young one was made again")
		}
		if ask(30*time.Second-1) == first {
			t.Error("an old one was used")
		}
		time.Sleep(time.Second)
		before := ask(time.Minute)
		if now := ask(0); now == before {
			t.Error("one of the past was used")
		}
	})
}

// Who gives up is told so, whether it waits or works.
func TestSurveyGivesUp(t *testing.T) {
	w := newWorld(t, nil)
	w.survey()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	w.making <- struct{}{}
	if s, err := w.Survey(gone, 0); s != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("while another works: %v, %v", s, err)
	}
	<-w.making
	if s, err := w.Survey(gone, 0); s != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("while it works: %v, %v", s, err)
	}
	if s := w.survey(); s == nil {
		t.Error("nobody can any more")
	}
}

// A million VMs of 10,000 tenants on 5,000 hosts; half of the tenants are bound to the
// hosts of their VMs.
func BenchmarkSurvey(b *testing.B) {
	vms := 1_000_000
	if testing.Short() {
		vms = 20_000
	}
	for _, svms := range []int{400, 4000} {
		w := newWorld(b, nil)
		w.fillLarge(svms, vms)
		b.Run(fmt.Sprintf("vms=%d/tenants=10000/svms=%d", vms, svms), func(b *testing.B) {
			for b.Loop() {
				if s := w.survey(); s.All.VMs != vms {
					b.Fatal(s.All)
				}
			}
		})
	}
}

func (w *world) fillLarge(svms, vms int) {
	w.tb.Helper()
	const tenants = 10_000
	w.update(func(tx *store.Tx) error {
		for n := range svms {
			s := store.SVM{ID: store.SVMID{14: byte(n >> 8), 15: byte(n), 0: 1}}
			s.Address, s.Version, s.Path.Host = "10.9.0.1", "6.0", fmt.Sprint("h", n)
			s.License = store.License{State: store.LicenseState(n % 4), Key: store.KeyType(n % 3)}
			if _, err := tx.PutSVM(s); err != nil {
				return err
			}
		}
		for n := range tenants {
			t := store.Tenant{ID: tenantNumber(n), Name: fmt.Sprint("t", n), Discovery: store.DefaultDiscovery()}
			t.Discovery.Algorithm = store.Algorithm(n % 2)
			if _, err := tx.PutTenant(t); err != nil {
				return err
			}
		}
		return nil
	})
	for from := 0; from < vms; from += 10_000 {
		w.update(func(tx *store.Tx) error {
			for n := from; n < from+10_000; n++ {
				if _, err := tx.PutVM(store.VM{
					BIOS: store.BIOSID{0: 1, 12: byte(n >> 16), 13: byte(n >> 8), 14: byte(n)}, Tenant: tenantNumber(n % tenants),
					OS: store.GuestOS(n % 3), Kind: store.AgentKind(n % 2), Version: "12.0", Path: store.Path{Host: fmt.Sprint("h", n%4999)},
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func tenantNumber(n int) store.TenantID {
	return store.TenantID{0: 1, 14: byte(n >> 8), 15: byte(n)}
}
