package adminapi

import (
	"maps"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// defaultCapacity is the capacity of an SVM that says nothing, in agents.
const defaultCapacity = 1000

// observedFields are those of an SVM that it reports itself. Writing one counts
// as a report.
var observedFields = []string{"version", "platform", "path", "largeInfrastructure", "license", "encryption",
	"allowUnprotected", "kinds", "connectedAgents"}

func observedBinding(s *store.SVM) binding {
	return binding{
		"version":             str(&s.Version, ""),
		"platform":            text(&s.Platform, store.Hypervisor),
		"path":                pathSetter(&s.Path),
		"largeInfrastructure": boolean(&s.LargeInfra, false),
		"license": nested(&s.License, store.License{}, binding{
			"state":   text(&s.License.State, store.LicenseNone),
			"key":     text(&s.License.Key, store.KeyCore),
			"edition": text(&s.License.Edition, store.EditionStandard),
			"expires": text(&s.License.Expires, store.Time{}),
		}),
		"encryption":       boolean(&s.Encryption, false),
		"allowUnprotected": boolean(&s.AllowUnprotected, false),
		"kinds":            each(&s.Kinds, func(k *store.AgentKind) setter { return text(k, store.AgentUnknown) }),
		"connectedAgents":  integer(&s.ConnectedAgents, 0),
	}
}

func pathSetter(p *store.Path) setter {
	return nested(p, store.Path{}, binding{
		"host":    str(&p.Host, ""),
		"cluster": str(&p.Cluster, ""),
		"zone":    str(&p.Zone, ""),
	})
}

func svmBinding(s *store.SVM) binding {
	b := observedBinding(s)
	maps.Copy(b, binding{
		"id":         unchangeable(s.ID),
		"name":       str(&s.Name, ""),
		"address":    str(&s.Address, ""),
		"tags":       texts(&s.Tags),
		"tenants":    each(&s.Tenants, func(id *store.TenantID) setter { return text(id, store.TenantID{}) }),
		"capacity":   integer(&s.Capacity, defaultCapacity),
		"hardCap":    integer(&s.HardCap, 0),
		"pinned":     boolean(&s.Pinned, false),
		"state":      text(&s.State, store.Ready),
		"lastReport": ownText[store.Time](),
		"drain": func(m mode, at string, v value) error { // as it was read
			return binding{"since": ownText[store.Time](), "over": ownNumber}.set(m, at, v)
		},
	})
	return b
}

// reportBinding knows the configured fields only to say why they are refused.
func reportBinding(s *store.SVM) binding {
	b := observedBinding(s)
	for name := range svmBinding(s) {
		if _, observed := b[name]; !observed {
			b[name] = reserved("it is configured by an administrator, not reported (PATCH the SVM)")
		}
	}
	return b
}

func (c *call) svmID() (store.SVMID, error) {
	id, err := store.ParseSVMID(c.params[0])
	if err == nil && id.IsZero() {
		err = store.ErrMalformedID
	}
	if err != nil {
		return id, badPath("id", c.params[0], err)
	}
	return id, nil
}

func noSVM(id store.SVMID) error {
	return refuse(404, "svm_not_found", "there is no SVM "+id.String())
}

func (c *call) answerSVM(status int, id store.SVMID) error {
	s, ok := c.api.table.SVM(id)
	if !ok {
		return noSVM(id)
	}
	return c.answerObject(status, s.Revision, s)
}

func (a *API) listSVMs(c *call) error {
	limit, after, err := c.idPage()
	if err != nil {
		return err
	}
	return c.answer(200, pageOf(a.table.SVMs(), limit, after[:], func(s store.SVM) []byte { return s.ID[:] }))
}

func (a *API) readSVM(c *call) error {
	id, err := c.svmID()
	if err != nil {
		return err
	}
	return c.answerSVM(200, id)
}

// putSVM replaces an SVM or creates it. A state that the body does not mention
// stays: an inventory script must not end a drain.
func (a *API) putSVM(c *call) error {
	id, err := c.svmID()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	status := 200
	err = a.table.Update(func(tx *store.Tx) error {
		old, exists := tx.SVM(id)
		if err := c.ifMatch(exists, old.Revision); err != nil {
			return err
		}
		if err := c.ifNoneMatch(exists, old.Revision); err != nil {
			return err
		}
		s := store.SVM{ID: id, State: old.State}
		s.Capacity = defaultCapacity
		if err := svmBinding(&s).bind(whole, body); err != nil {
			return err
		}
		if status = 200; !exists {
			status = 201
		}
		return audit.SVM(tx, c.who(), "svm_put", "wrote", id, func() error {
			_, err := tx.PutSVM(s)
			return err
		})
	})
	if err != nil {
		return err
	}
	if status == 201 {
		c.ctx.Response.Header.Set("Location", "/v1/svms/"+id.String())
	}
	return c.answerSVM(status, id)
}

// changeSVM changes one SVM in place, by change; event and did are for the audit. If
// observed, what it did counts as a report.
func (a *API) changeSVM(c *call, event, did string, observed bool, change func(*store.SVM) error) error {
	id, err := c.svmID()
	if err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		s, ok := tx.SVM(id)
		if !ok {
			return noSVM(id)
		}
		if err := c.ifMatch(true, s.Revision); err != nil {
			return err
		}
		if err := change(&s); err != nil {
			return err
		}
		return audit.SVM(tx, c.who(), event, did, id, func() error {
			if observed {
				_, err := tx.PutSVM(s)
				return err
			}
			_, err := tx.ConfigureSVM(id, s.SVMConfig, s.State)
			return err
		})
	})
	if err != nil {
		return err
	}
	return c.answerSVM(200, id)
}

func (a *API) patchSVM(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	return a.changeSVM(c, "svm_update", "changed", mentions(body, observedFields...), func(s *store.SVM) error {
		return svmBinding(s).bind(patch, body)
	})
}

func (a *API) undrainSVM(c *call) error {
	if err := c.noBody(); err != nil {
		return err
	}
	return a.changeSVM(c, "svm_undrain", "took back the drain of", false, func(s *store.SVM) error {
		if s.State == store.Draining {
			s.State = store.Ready
		}
		return nil
	})
}

func (a *API) reportSVM(c *call) error {
	id, err := c.svmID()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		s, ok := tx.SVM(id)
		if !ok {
			return noSVM(id)
		}
		if err := reportBinding(&s).bind(whole, body); err != nil {
			return err
		}
		_, err := tx.ReportSVM(id, s.SVMFacts, s.ConnectedAgents)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerSVM(200, id)
}

func (a *API) deleteSVM(c *call) error {
	id, err := c.svmID()
	if err != nil {
		return err
	}
	if err := c.noBody(); err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		s, ok := tx.SVM(id)
		if !ok {
			return noSVM(id)
		}
		if err := c.ifMatch(true, s.Revision); err != nil {
			return err
		}
		return audit.SVM(tx, c.who(), "svm_forget", "forgot", id, func() error {
			_, err := tx.DeleteSVM(id)
			return err
		})
	})
	if err != nil {
		return err
	}
	c.ctx.SetStatusCode(204)
	return nil
}
