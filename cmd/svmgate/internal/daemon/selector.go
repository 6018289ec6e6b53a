package daemon

import (
	"cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/probe"
	"github.com/svmgate/svmgate/discovery"
)

// newSelector makes the selector. The other gateways come later, and go earlier: until
// they are there, and if there are to be none, it is alone.
func (a *assembly) newSelector() error {
	c := &a.settings.Config
	cfg := discovery.Config{
		Table: a.table, Matrix: c.Matrix, Unregistered: c.Unregistered, DeadAddress: c.DeadAddress,
		OpenStackLocality: c.OpenStackLocality, Logger: a.opt.Log, Node: c.NodeName,
		ReturnAfter: cmp.Or(c.ReturnAfter, -1), // a setting of 0 means at once
		Admission:   discovery.Admission{Rate: c.AdmissionRate, Burst: c.AdmissionBurst},
	}
	if c.Clustered() {
		cfg.Gateways = func() int {
			if r := a.shared.Load(); r != nil {
				return r.Gateways()
			}
			return 1
		}
		cfg.Tell = func(epoch uint64, list []discovery.Sighting) {
			if r := a.shared.Load(); r != nil {
				r.Tell(epoch, list)
			}
		}
	}
	var err error
	a.selector, err = discovery.New(cfg)
	return err
}

// probe tries whether SVMs can be reached, if it is to be.
func (a *assembly) probe() {
	c := &a.settings.Config
	if c.SVMProbe == 0 {
		return
	}
	cfg := probe.Config{Table: a.table, Port: c.SVMProbe, Self: c.NodeName, Suspect: a.selector.Suspect, Log: a.opt.Log}
	if a.replica != nil {
		cfg.Gateways = a.replica.Live
	}
	p := probe.New(cfg)
	a.show(ops.ProbeFamilies(p))
	a.work.Go(func() { p.Run(a.life) })
}
