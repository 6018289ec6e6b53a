package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A World is what a run begins with.
type World struct {
	Tenants []Tenants

	// SVMs is how many belong to no tenant; Capacity are theirs, in turn, and those of
	// the tenants' own. Empty: all alike.
	SVMs     int
	Capacity []int

	// HardCap is of every SVM, for each unit of capacity; 0 means none.
	HardCap int

	// Hosts has, for each host, how many of eight agents of the first tenants run there:
	// agents are dealt to hosts in these proportions. SVM i is on host i. Empty: agents
	// and SVMs are nowhere, and nothing is local.
	Hosts []int

	Gateways  int
	Report    time.Duration // the interval of SVMs
	Silent    float64       // the part of agents that do not say what they are connected to
	AskFirst  bool          // agents that lost their SVM ask, and leave the rest of their last answer untried
	Admission discovery.Admission

	brief bool // an hour is six minutes
}

// Tenants are so many tenants of one kind. Each has so many agents, and so many SVMs
// that take no other's; if none, its agents use those that belong to no tenant.
type Tenants struct{ Count, Agents, SVMs int }

// agents is the number of agents in all.
func (w *World) agents() (n int) {
	for _, t := range w.Tenants {
		n += t.Count * t.Agents
	}
	return n
}

// tenth is a world of a tenth of the tenants and SVMs, for a quick look.
func (w World) tenth() World {
	w.brief = true
	w.SVMs /= 10
	w.Tenants = slices.Clone(w.Tenants)
	for i := range w.Tenants {
		w.Tenants[i].Count /= 10
	}
	w.Hosts = w.Hosts[:len(w.Hosts)/10]
	return w
}

func (w *World) hour() time.Duration {
	if w.brief {
		return 6 * time.Minute
	}
	return time.Hour
}

func (w *World) capacity(svm int) int {
	if len(w.Capacity) == 0 {
		return 1
	}
	return w.Capacity[svm%len(w.Capacity)]
}

// Kinds of ids.
const (
	tenantIDs = iota + 1
	svmIDs
	biosIDs
	vmIDs
)

// id is an id that looks random, with its number at the end.
func id(kind int, seed uint64, number int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], mix(mix(seed+uint64(kind)<<32)+uint64(number)))
	binary.BigEndian.PutUint32(id[8:], uint32(kind))
	binary.BigEndian.PutUint32(id[12:], uint32(number))
	return id
}

// number is what [id] was given.
func number(id [16]byte) int { return int(binary.BigEndian.Uint32(id[12:])) }

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hostPath(host int) store.Path {
	return store.Path{Host: fmt.Sprintf("host-%d", host), Cluster: fmt.Sprintf("cluster-%d", host/16), Zone: "zone"}
}

// deal returns which host each agent runs on: nil if there are none.
func (w *World) deal() []int {
	if len(w.Hosts) == 0 {
		return nil
	}
	var deck []int
	for host, n := range w.Hosts {
		for range n {
			deck = append(deck, host)
		}
	}
	hosts := make([]int, w.agents())
	for i := range hosts {
		hosts[i] = deck[i%len(deck)]
	}
	return hosts
}

// load writes tenants and VMs into a table; SVMs differ from seed to seed, and come
// later.
func (w *World) load(t *store.Table, rule store.Load) error {
	tenant, agent, hosts := 0, 0, w.deal()
	for _, kind := range w.Tenants {
		for range kind.Count {
			err := t.Update(func(tx *store.Tx) error {
				owner := store.Tenant{ID: id(tenantIDs, 0, tenant), Name: fmt.Sprintf("tenant-%d", tenant), Discovery: store.DefaultDiscovery()}
				owner.Discovery.Load = rule
				if _, err := tx.PutTenant(owner); err != nil {
					return err
				}
				_, err := tx.SetActive(owner.ID, true)
				for i := agent; i < agent+kind.Agents && err == nil; i++ {
					vm := store.VM{BIOS: id(biosIDs, 0, i), ID: id(vmIDs, 0, i), Tenant: owner.ID, Name: "vm", OS: store.OSServer}
					if hosts != nil {
						vm.Path = hostPath(hosts[i])
					}
					_, err = tx.PutVM(vm)
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("sim: load tenant %d: %w", tenant, err)
			}
			tenant, agent = tenant+1, agent+kind.Agents
		}
	}
	return nil
}
