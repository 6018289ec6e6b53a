package discovery_test

import (
	"testing"
	"testing/synctest"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// register registers VMs without tenant at a gang's first gateway, and spreads them.
func (g *gang) register(vms []store.BIOSID) {
	g.t.Helper()
	for _, bios := range vms {
		g.update(g.all[0], func(tx *store.Tx) (bool, error) { return tx.PutVM(store.VM{BIOS: bios, OS: store.OSServer}) })
	}
	g.spread()
	g.beat()
}

// first puts a question to Select and returns the first SVM of the answer.
func (w *gateway) first(t *testing.T, q discovery.Query) store.SVMID {
	t.Helper()
	var a discovery.Answer
	w.sel.Select(&q, &a)
	if a.Result != discovery.Assigned {
		t.Fatalf("%v gets %v", q.BIOS, a.Result)
	}
	return a.SVMs()[0].SVM.ID
}

// The report of an SVM may have the agents that came to it by themselves, and another
// gateway may have counted them. They say so after it, and count nowhere: else others would
// be sent away from an SVM that is not full.
func TestAgentsThatCameByThemselvesSendNobodyAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		lost := g.put(1, nil)
		vms := randomBIOSIDs(100)
		g.register(vms)
		for _, bios := range vms {
			w.first(t, discovery.Query{BIOS: bios})
		}
		g.wantAgents("all are sent to the only SVM", lost, 100)
		full := g.put(2, func(s *store.SVM) { s.ConnectedAgents, s.HardCap = 140, 150 })
		g.put(3, nil)
		g.beat()
		for _, bios := range vms {
			if at := w.first(t, discovery.Query{BIOS: bios, Current: full, Failed: []store.SVMID{lost}}); at != full {
				t.Fatalf("an agent of an SVM with 140 of 150 agents is sent to %v", at)
			}
		}
		g.wantAgents("all have said where they are", full, 140)
		g.wantAgents("all have said where they are", lost, 100)
	})
}

// An agent that nothing is known of takes its place with it from the SVM that it says it
// has, but not from one that can not be its own: so it makes no room for others there.
func TestNobodyLeavesAnSVMThatIsNotForHim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		own := g.put(1, func(s *store.SVM) { s.ConnectedAgents = 100 })
		others := g.put(2, func(s *store.SVM) { s.ConnectedAgents, s.Tenants = 100, []store.TenantID{{9}} })
		g.put(3, nil)
		vms := randomBIOSIDs(60)
		g.register(vms)
		for i, bios := range vms {
			said := own
			if i < 50 {
				said = others
			}
			w.first(t, discovery.Query{BIOS: bios, Current: said, Failed: []store.SVMID{own}})
		}
		g.wantAgents("50 agents said that they have what is not for them", others, 100)
		g.wantAgents("10 agents left", own, 90)
	})
}
