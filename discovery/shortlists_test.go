package discovery_test

import (
	"fmt"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A large infrastructure has thousands of hosts and many kinds of agents. Candidate sets for
// each of both would be more than a selector keeps: only places with more than a few SVMs
// have some.
func TestPlacesWithFewSVMsHaveNoSets(t *testing.T) {
	const hosts, crowded, kinds = 200, 10, 4
	for _, scoped := range []bool{false, true} {
		tenant := store.Tenant{ID: store.TenantID{1}, Name: "t", Type: store.Simple, Discovery: store.DefaultDiscovery()}
		want := crowded*kinds + kinds // for the infrastructure as a whole
		if scoped {
			tenant.Discovery.Algorithm, want = store.Extended, crowded*kinds
		}
		sel, agents := hostsWithSVMs(t, tenant, hosts, func(host int) int {
			if host < crowded {
				return 5
			}
			return 1 + host%4
		})
		for round := range 2 {
			for i, agent := range agents {
				for kind := range kinds {
					q := discovery.Query{
						BIOS: agent, OS: store.OSServer + store.GuestOS(kind%2), Kind: store.AgentLinux + store.AgentKind(kind/2),
					}
					var a discovery.Answer
					if sel.Select(&q, &a); a.SVMs()[0].SVM.Path.Host != fmt.Sprint("host-", i) {
						t.Fatalf("the agent on host %d gets %+v", i, a.SVMs()[0].SVM)
					}
				}
			}
			sel.Wait()
			if got := sel.Stats().Sets; got != want {
				t.Errorf("scoped %v, round %d: %d candidate sets, want %d", scoped, round, got, want)
			}
		}
	}
}

// Nor have tenants a set that have some SVMs of their own, by a tag.
func TestTagsWithFewSVMsHaveNoSets(t *testing.T) {
	const tenants = 300
	table := newStage(t, serving).table
	err := table.Update(func(tx *store.Tx) error {
		for i := range tenants {
			id := [16]byte{1, byte(i >> 8), byte(i)}
			tenant := store.Tenant{ID: id, Name: fmt.Sprint("t-", i), Type: store.Simple, Discovery: store.DefaultDiscovery()}
			tenant.Discovery.Tag = tenant.Name
			if _, err := tx.PutTenant(tenant); err != nil {
				return err
			}
			s := plainSVM(i, 0)
			s.config.Tags = []string{tenant.Name, "common", tenant.Name}
			if _, err := tx.PutSVM(store.SVM{ID: s.id, SVMConfig: s.config, SVMFacts: s.facts}); err != nil {
				return err
			}
			if _, err := tx.PutVM(store.VM{BIOS: id, Tenant: id}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sel := newSelector(t, table, serving)
	for i := range tenants {
		var a discovery.Answer
		sel.Select(&discovery.Query{BIOS: [16]byte{1, byte(i >> 8), byte(i)}}, &a)
		if got := a.SVMs(); len(got) != 1 || got[0].SVM.Tags[0] != fmt.Sprint("t-", i) {
			t.Fatalf("an agent of tenant %d gets %+v", i, got)
		}
	}
	sel.Wait()
	if got := sel.Stats().Sets; got != 0 {
		t.Errorf("%d candidate sets, want none", got)
	}
}

// hostsWithSVMs returns a selector, and an agent of the tenant for each host.
func hostsWithSVMs(t *testing.T, tenant store.Tenant, hosts int, svms func(host int) int) (*discovery.Selector, []store.BIOSID) {
	t.Helper()
	table := newStage(t, serving).table
	agents := make([]store.BIOSID, hosts)
	err := table.Update(func(tx *store.Tx) error {
		if _, err := tx.PutTenant(tenant); err != nil {
			return err
		}
		for h := range hosts {
			path := store.Path{Host: fmt.Sprint("host-", h)}
			for i := range svms(h) {
				s := plainSVM(8*h+i, 0)
				s.facts.Path = path
				if _, err := tx.PutSVM(store.SVM{ID: s.id, SVMConfig: s.config, SVMFacts: s.facts}); err != nil {
					return err
				}
			}
			agents[h] = store.BIOSID{1, byte(h)}
			if _, err := tx.PutVM(store.VM{BIOS: agents[h], Tenant: tenant.ID, Path: path}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return newSelector(t, table, serving), agents
}

// An SVM that is elsewhere from now on, at any level, is found there.
func TestSVMsAreFoundWhereTheyAre(t *testing.T) {
	for level := range store.PathIgnore {
		table := newStage(t, serving).table
		tenant := store.Tenant{ID: store.TenantID{1}, Name: "t", Type: store.Simple, Discovery: store.DefaultDiscovery()}
		tenant.Discovery.Algorithm, tenant.Discovery.Path = store.Extended, level
		places := [...]string{"here", "there"}
		at := func(place string) store.Path {
			return [...]store.Path{{Host: place}, {Cluster: place}, {Zone: place}}[level]
		}
		s := plainSVM(1, 0)
		put := func(place string) {
			t.Helper()
			s.facts.Path = at(place)
			if err := table.Update(func(tx *store.Tx) error {
				_, err := tx.PutSVM(store.SVM{ID: s.id, SVMConfig: s.config, SVMFacts: s.facts})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.Update(func(tx *store.Tx) error {
			if _, err := tx.PutTenant(tenant); err != nil {
				return err
			}
			for i, place := range places {
				if _, err := tx.PutVM(store.VM{BIOS: store.BIOSID{byte(i + 1)}, Tenant: tenant.ID, Path: at(place)}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		sel := newSelector(t, table, serving)
		for range 2 {
			for where, place := range places {
				put(place)
				for i := range places {
					var a discovery.Answer
					sel.Decide(&discovery.Query{BIOS: store.BIOSID{byte(i + 1)}}, &a)
					if found := len(a.SVMs()) == 1; found != (i == where) {
						t.Errorf("%v: the SVM is %s, and an agent %s gets %v", level, place, places[i], a.Result)
					}
				}
			}
		}
	}
}
