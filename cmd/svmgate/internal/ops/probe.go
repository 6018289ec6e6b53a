package ops

import "github.com/svmgate/svmgate/cmd/svmgate/internal/probe"

// ProbeFamilies tells which SVMs can be reached.
func ProbeFamilies(p *probe.Prober) []Family {
	return []Family{
		{
			Name: "probes_total", Help: "Connections to SVMs that were tried, by how that went.", Labels: []string{"result"}, Counter: true,
			Read: func(emit Emit) {
				s := p.Stats()
				emit(float64(s.Reached), "reached")
				emit(float64(s.Failed), "failed")
			},
		}, {
			Name: "probe_suspects", Help: "SVMs that this gateway could not reach twice in a row.",
			Read: func(emit Emit) { emit(float64(p.Stats().Suspects)) },
		},
	}
}
