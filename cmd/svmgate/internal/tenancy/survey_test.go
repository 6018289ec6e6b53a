package tenancy

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

func TestStepOfSVMs(t *testing.T) {
	const none, gold = "", "gold"
	for _, tt := range []struct {
		name   string
		tenant func(*store.Tenant)
		fill   func(*place, store.TenantID)
		state  StepState
		found  string
		remedy string
	}{
		{
			name: "nothing is there", state: StepMissing, found: "there is no SVM", remedy: addSVMs,
		}, {
			name:  "VMs and no SVM",
			fill:  func(p *place, id store.TenantID) { p.vms(id, 2, nil) },
			state: StepMissing, found: "there is no SVM; 2 of 2 VMs have none: of 0 SVMs, for one of them, none is there", remedy: addSVMs,
		}, {
			name:  "an SVM and no VM",
			fill:  func(p *place, _ store.TenantID) { p.svm(1, nil) },
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host",
		}, {
			name:   "no SVM for newcomers",
			tenant: func(t *store.Tenant) { t.Discovery.Tag = gold },
			fill: func(p *place, _ store.TenantID) {
				p.svm(1, nil)
				p.svm(2, nil)
				p.svm(3, func(s *store.SVM) { s.Tags, s.State = []string{gold}, store.Down })
			},
			state:  StepMissing,
			found:  "no SVM is up for this tenant's agents; 1 more that they could use is down or draining: of 3 SVMs, F3 tag removes 2 and F6 state removes 1",
			remedy: "change the SVMs (svmgate svm list shows them) or the tenant's settings (step 3)",
		}, {
			name:   "newcomers whose host nobody knows",
			tenant: func(t *store.Tenant) { t.Discovery.Algorithm = store.Extended },
			fill:   func(p *place, _ store.TenantID) { p.svm(1, nil); p.svm(2, nil) },
			state:  StepUnknown, found: "which of 2 SVMs its agents may use depends on where its VMs run, and none is registered",
			remedy: "register its VMs, with their hosts (step 5)",
		}, {
			name: "all is well",
			fill: func(p *place, id store.TenantID) {
				p.svm(1, nil)
				p.svm(2, nil)
				p.svm(3, func(s *store.SVM) { s.Path.Host, s.License.State = "host-2", store.LicenseExpired })
				p.svm(4, func(s *store.SVM) { s.Tenants = []store.TenantID{{1}} })
				p.vms(id, 3, nil)
			},
			state: StepDone, found: "3 SVMs of version 6.0 are up for this tenant's agents on 2 hosts, 1 without a valid licence",
		}, {
			name: "hosts without an SVM",
			fill: func(p *place, id store.TenantID) {
				p.svm(1, nil)
				p.vms(id, 986, nil)
				p.vms(id, 11, func(vm *store.VM) { vm.Path.Host = "host-7" })
				p.vms(id, 3, func(vm *store.VM) { vm.Path.Host = "" })
			},
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host; " +
				"14 of 1,000 VMs have no SVM on their host, 3 of them because their host is not known",
		}, {
			name: "no host is known",
			fill: func(p *place, id store.TenantID) {
				p.svm(1, nil)
				p.vms(id, 3, func(vm *store.VM) { vm.Path.Host = "" })
			},
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host; " +
				"3 of 3 VMs have no SVM on their host, because their host is not known",
		}, {
			name:   "a scope in which there is none",
			tenant: func(t *store.Tenant) { t.Discovery.Algorithm = store.Extended },
			fill: func(p *place, id store.TenantID) {
				p.svm(1, nil)
				p.svm(2, nil)
				p.svm(3, func(s *store.SVM) { s.Path.Host, s.State = "host-7", store.Draining })
				p.vms(id, 2, nil)
				p.vms(id, 1, func(vm *store.VM) { vm.Path.Host, vm.BIOS = "host-7", store.BIOSID{7} })
			},
			state: StepMissing,
			found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host; 1 more that they could use is down or draining; " +
				"1 of 3 VMs has none: of 3 SVMs, for one of them, F5 scope removes 2 and F6 state removes 1",
			remedy: "see what keeps SVMs from it: svmgate explain 07000000-0000-0000-0000-000000000000",
		}, {
			name: "hosts make no difference",
			tenant: func(t *store.Tenant) {
				t.Discovery.Algorithm, t.Discovery.Path = store.Extended, store.PathIgnore
			},
			fill: func(p *place, id store.TenantID) {
				p.svm(2, nil)
				p.vms(id, 2, nil)
			},
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host",
		}, {
			name: "a mixed pool",
			fill: func(p *place, id store.TenantID) {
				p.svm(1, nil)
				p.svm(2, func(s *store.SVM) { s.Version, s.Path.Host = "5.2", "host-1" })
				p.vms(id, 5, func(vm *store.VM) { vm.Kind = store.AgentWindows })
			},
			state: StepDone, found: "2 SVMs of versions 5.2 and 6.0 are up for this tenant's agents on 1 host",
		}, {
			name: "Windows guests and no old SVM",
			fill: func(p *place, id store.TenantID) {
				p.svm(1, nil)
				p.vms(id, 5, func(vm *store.VM) { vm.Kind = store.AgentWindows })
				p.vms(id, 2, func(vm *store.VM) { vm.Kind, vm.Version = store.AgentWindows, "12.0" })
			},
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host; " +
				"5 Windows guests are there, and no SVM of version 5.2, which agents of version 5.2 need",
		}, {
			name:   "Windows guests whose agents the tenant tells",
			tenant: func(t *store.Tenant) { t.Discovery.AgentVersion = "12.0" },
			fill: func(p *place, id store.TenantID) {
				p.svm(1, nil)
				p.vms(id, 5, func(vm *store.VM) { vm.Kind = store.AgentWindows })
			},
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host",
		}, {
			name: "an SVM at its cap is there all the same",
			fill: func(p *place, id store.TenantID) {
				p.svm(1, func(s *store.SVM) { s.HardCap, s.ConnectedAgents = 10, 10 })
				p.vms(id, 1, nil)
			},
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents on 1 host",
		}, {
			name: "SVMs whose host nobody knows",
			fill: func(p *place, id store.TenantID) {
				p.svm(1, func(s *store.SVM) { s.Path.Host = none })
				p.vms(id, 1, nil)
			},
			state: StepDone, found: "1 SVM of version 6.0 is up for this tenant's agents; 1 of 1 VM has no SVM on its host",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, active := range []bool{false, true} { // activation makes no difference
				p := newPlace(t)
				tenant := p.tenant(tt.tenant)
				if active {
					p.activate(tenant.ID)
				}
				if tt.fill != nil {
					tt.fill(p, tenant.ID)
				}
				s := p.step(tenant.ID, 2)
				s.says(t, tt.state, tt.found)
				if s.Remedy != tt.remedy {
					t.Errorf("remedy: %s, want %s", s.Remedy, tt.remedy)
				}
			}
		})
	}
}

// The step counts as unserved exactly those VMs whose agents get nothing.
func TestStepOfSVMsAgreesWithWhatAgentsGet(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	served, unserved := 0, 0
	for n := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, n))
		p := newPlace(t)
		word := func(words ...string) string { return words[r.IntN(len(words))] }
		tenant := p.tenant(func(t *store.Tenant) {
			t.Discovery.Algorithm, t.Discovery.Path = store.Algorithm(r.IntN(2)), store.PathLevel(r.IntN(4))
			t.Discovery.Tag = word("", "", "gold")
		})
		p.activate(tenant.ID)
		for i := range r.IntN(6) {
			p.svm(i+1, func(s *store.SVM) {
				s.Path = store.Path{Host: word("", "host-1", "host-2"), Cluster: word("c1", "c2"), Zone: "z"}
				s.Version, s.State = word("5.2", "6.0", ""), store.SVMState(r.IntN(4))
				if r.IntN(3) == 0 {
					s.Tags = []string{"gold"}
				}
				s.HardCap = r.IntN(2)
				s.ConnectedAgents = r.IntN(3)
			})
		}
		ids := p.vms(tenant.ID, r.IntN(40), func(vm *store.VM) {
			vm.Path = store.Path{Host: word("", "host-1", "host-2", "host-3"), Cluster: word("c1", "c2", "c3"), Zone: word("z", "y")}
			vm.Version, vm.Kind, vm.OS = word("", "5.2", "12.0"), store.AgentKind(r.IntN(3)), store.GuestOS(r.IntN(3))
		})
		want := 0
		for _, id := range ids {
			var a discovery.Answer
			if p.guide.Selector.Decide(&discovery.Query{BIOS: id}, &a); a.Result == discovery.NoSVM {
				want++
			}
		}
		s, err := p.guide.survey(t.Context(), &tenant)
		if err != nil || s.vms != len(ids) || len(ids) > 0 && s.unserved != want {
			t.Errorf("seed %d, world %d: %d of %d VMs have no SVM, want %d of %d (%v)", seed, n, s.unserved, s.vms, want, len(ids), err)
		}
		served, unserved = served+len(ids)-want, unserved+want
	}
	if served < 50 || unserved < 50 {
		t.Errorf("met %d that are served, and %d that are not", served, unserved)
	}
}

// Looks are bounded: the kinds of most VMs come first.
func TestSurveyIsBounded(t *testing.T) {
	p := newPlace(t)
	tenant := p.tenant(nil)
	p.guide.looks = 20
	for n := range 10 {
		p.svm(n+1, nil)
	}
	for n := range 5 {
		p.vms(tenant.ID, 10*(5-n), func(vm *store.VM) { vm.Path.Host = fmt.Sprint("rare-", n) })
	}
	p.step(tenant.ID, 2).says(t, StepDone, "10 SVMs of version 6.0 are up for this tenant's agents on 10 hosts; "+
		"120 of 150 VMs have no SVM on their host; 30 VMs of rare kinds were not looked at")
}

// What others have is not counted.
func TestSurveyCountsTheTenantsOwn(t *testing.T) {
	p := newPlace(t)
	tenant, other := p.tenant(nil), p.tenant(func(t *store.Tenant) { t.Name = "other" })
	p.vms(other.ID, 5, nil)
	p.vms(store.TenantID{}, 5, nil)
	p.vms(tenant.ID, 3, nil)
	p.step(tenant.ID, 5).says(t, StepDone, "3 VMs are registered")
	p.update(func(tx *store.Tx) error { _, err := tx.DeleteTenant(other.ID); return err })
	p.step(tenant.ID, 5).says(t, StepDone, "3 VMs are registered")
}

// A tenant of 100,000 VMs among a million, on 5,000 hosts with 400 SVMs.
func BenchmarkDeployment(b *testing.B) {
	p := newPlace(b)
	tenant, other := p.tenant(nil), p.tenant(func(t *store.Tenant) { t.Name = "other" })
	for n := range 400 {
		p.svm(n, func(s *store.SVM) { s.ID, s.Path.Host = store.SVMID{1, byte(n >> 8), byte(n)}, fmt.Sprint("host-", n) })
	}
	n := 0
	place := func(vm *store.VM) {
		n++
		vm.Path.Host, vm.Kind = fmt.Sprint("host-", n%5000), store.AgentKind(n%3)
	}
	rounds := 100
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		p.vms(tenant.ID, 1000, place)
		p.vms(other.ID, 9000, place)
	}
	for b.Loop() {
		if _, err := p.guide.Deployment(b.Context(), tenant.ID); err != nil {
			b.Fatal(err)
		}
	}
}
