package adminapi

import (
	"strconv"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// pace is how fast agents are to leave an SVM: over a time, or at a rate.
type pace struct {
	over  string
	rate  int // agents a minute
	asked struct{ over, rate bool }
}

// drainPace reads the body of a drain, which may be absent.
func (c *call) drainPace() (p pace, err error) {
	raw, err := c.rawBody()
	if err != nil || len(raw) == 0 {
		return p, err
	}
	body, err := c.parse(raw)
	if err != nil {
		return p, err
	}
	p.asked.over, p.asked.rate = mentions(body, "over"), mentions(body, "rate")
	if p.asked.over && p.asked.rate {
		return p, refuse(400, "invalid_field", "over and rate exclude each other")
	}
	return p, binding{"over": str(&p.over, ""), "rate": integer(&p.rate, 0)}.bind(whole, body)
}

// of is how long the agents of an SVM take to leave it. What nobody says is as it is,
// or the default.
func (p *pace) of(s *store.SVM, agents int) (time.Duration, error) {
	switch {
	case p.asked.over:
		d, err := time.ParseDuration(p.over)
		if err != nil || d < 0 || d > store.MaxDrain {
			return 0, refuse(400, "invalid_field", "over "+strconv.Quote(p.over)+": want a duration such as 10m, from 0s (at once) to "+store.MaxDrain.String())
		}
		return d, nil
	case p.asked.rate:
		if p.rate < 1 {
			return 0, refuse(400, "invalid_field", "rate "+strconv.Itoa(p.rate)+": want agents a minute, at least 1")
		}
		if agents <= 0 {
			return store.DefaultDrain, nil
		}
		d := (time.Duration(agents)*time.Minute + time.Duration(p.rate) - 1) / time.Duration(p.rate)
		if d > store.MaxDrain {
			return 0, refuse(400, "invalid_field", "rate "+strconv.Itoa(p.rate)+": its "+strconv.Itoa(agents)+" agents would take longer than "+store.MaxDrain.String())
		}
		return d, nil
	case s.State == store.Draining:
		return time.Duration(s.Drain.Over) * time.Second, nil
	}
	return store.DefaultDrain, nil
}

func (a *API) drainSVM(c *call) error {
	id, err := c.svmID()
	if err != nil {
		return err
	}
	p, err := c.drainPace()
	if err != nil {
		return err
	}
	agents := a.agentsOf(id)
	err = a.table.Update(func(tx *store.Tx) error {
		s, ok := tx.SVM(id)
		if !ok {
			return noSVM(id)
		}
		if err := c.ifMatch(true, s.Revision); err != nil {
			return err
		}
		over, err := p.of(&s, agents)
		if err != nil {
			return err
		}
		return audit.SVM(tx, c.who(), "svm_drain", "drained", id, func() error {
			_, err := tx.DrainSVM(id, over)
			return err
		})
	})
	if err != nil {
		return err
	}
	return c.answerSVM(200, id)
}

// agentsOf is the estimate of an SVM's agents: those of its last report, and those
// that this gateway has sent there since.
func (a *API) agentsOf(id store.SVMID) int {
	view := a.table.View()
	for i := range view.NumSVMs() {
		if e := view.SVM(i); e != nil && e.ID == id {
			return a.table.Agents(i)
		}
	}
	return 0
}
