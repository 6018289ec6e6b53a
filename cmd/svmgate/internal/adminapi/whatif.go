package adminapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

const whatIfPath = "/v1/whatif"

// whatIfTimeout bounds a forecast. Ten million VMs take about a third of it.
const whatIfTimeout = time.Minute

// everybody stands for all tenants where agents come.
const everybody = "*"

// whatIf answers what a change would lead to, and makes none. There is one forecast at
// a time: each keeps a processor busy.
func (a *API) whatIf(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	var change discovery.Change
	if err := a.changeBinding(&change).bind(whole, body); err != nil {
		return err
	}
	if !a.forecasts.TryLock() {
		return isRunning("forecast")
	}
	defer a.forecasts.Unlock()
	ctx, cancel := context.WithTimeout(c.ctx, whatIfTimeout)
	defer cancel()
	forecast, err := a.selector.WhatIf(ctx, change)
	wrong := (*discovery.ChangeError)(nil)
	switch {
	case errors.As(err, &wrong):
		return refuse(400, "invalid_field", changeFields[wrong.Field]+": "+wrong.Err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(503, "took_too_long", "the forecast was given up after "+whatIfTimeout.String())
	case errors.Is(err, context.Canceled):
		return store.ErrClosed
	case err != nil:
		return err
	}
	return c.answer(200, forecast)
}

// changeFields are the fields of a body by those of the change that they become.
var changeFields = map[string]string{
	"Lose": "lose", "Add": "add", "More": "add", "Like": "like", "Activate": "activate", "Deactivate": "deactivate",
	"Newcomers": "agents", "NewcomersOf": "agents",
}

// changeBinding reads SVMs and tenants by id or by name.
func (a *API) changeBinding(change *discovery.Change) binding {
	n := a.nicknames()
	tenants := func(dst *[]store.TenantID) setter {
		return each(dst, func(id *store.TenantID) setter { return n.tenant(id) })
	}
	return binding{
		"lose":       each(&change.Lose, func(id *store.SVMID) setter { return n.svm(id) }),
		"add":        added(change),
		"like":       n.svm(&change.Like),
		"activate":   tenants(&change.Activate),
		"deactivate": tenants(&change.Deactivate),
		"agents":     n.agents(change),
	}
}

// added reads how many SVMs come, or which.
func added(change *discovery.Change) setter {
	return func(m mode, at string, v value) error {
		switch v.form {
		case isNumber:
			return integer(&change.More, 0)(m, at, v)
		case isArray:
			return each(&change.Add, newSVM)(m, at, v)
		default:
			return wrongType(at, "a number, or an array of SVMs", v)
		}
	}
}

// newSVM reads an SVM that comes as one that is put, but that nobody has to make up an
// address for it.
func newSVM(s *store.SVM) setter {
	return func(m mode, at string, v value) error {
		s.Capacity = defaultCapacity
		fields := svmBinding(s)
		fields["id"] = text(&s.ID, store.SVMID{})
		if err := fields.set(m, at, v); err != nil {
			return err
		}
		s.Address = cmp.Or(s.Address, "new.invalid")
		return nil
	}
}

// nicknames find what has a name: several may have the same.
type nicknames struct {
	svms    map[string][]store.SVMID
	tenants map[string][]store.TenantID
}

func (a *API) nicknames() nicknames {
	n := nicknames{map[string][]store.SVMID{}, map[string][]store.TenantID{}}
	view := a.table.View()
	for i := range view.NumSVMs() {
		if e := view.SVM(i); e != nil {
			n.svms[e.Name] = append(n.svms[e.Name], e.ID)
		}
	}
	for i := range view.NumTenants() {
		if t := view.Tenant(i); t != nil {
			n.tenants[t.Name] = append(n.tenants[t.Name], t.ID)
		}
	}
	return n
}

func (n *nicknames) svm(dst *store.SVMID) setter {
	return named(dst, n.svms, "SVM")
}

func (n *nicknames) tenant(dst *store.TenantID) setter {
	return named(dst, n.tenants, "tenant")
}

// named reads an id, or the name of what one thing alone has that name.
func named[T interface {
	comparable
	fmt.Stringer
}, P interface {
	*T
	UnmarshalText([]byte) error
}](dst P, names map[string][]T, what string) setter {
	return func(_ mode, at string, v value) error {
		if v.form != isString {
			return wrongType(at, "the id or the name of an "+what, v)
		}
		var none T
		if dst.UnmarshalText([]byte(v.text)) == nil && *dst != none {
			return nil
		}
		switch ids := names[v.text]; {
		case v.text == "" || len(ids) == 0:
			return refuse(400, "invalid_field", at+": there is no "+what+" with the id or the name "+strconv.Quote(v.text))
		case len(ids) > 1:
			return refuse(400, "invalid_field", fmt.Sprintf("%s: %d have the name %q; give an id: %v", at, len(ids), v.text, ids))
		default:
			*dst = ids[0]
			return nil
		}
	}
}

// agents reads how many agents come: a number, or one for each of some tenants.
func (n *nicknames) agents(change *discovery.Change) setter {
	return func(m mode, at string, v value) error {
		switch v.form {
		case isNumber:
			return integer(&change.Newcomers, 0)(m, at, v)
		case isObject:
		default:
			return wrongType(at, "a number, or an object with a number for each tenant", v)
		}
		change.NewcomersOf = map[store.TenantID]int{}
		for _, f := range v.members {
			var count int
			if err := integer(&count, 0)(m, join(at, f.name), f.value); err != nil {
				return err
			}
			if f.name == everybody {
				change.Newcomers = count
				continue
			}
			var id store.TenantID
			if err := n.tenant(&id)(m, at, value{form: isString, text: f.name}); err != nil {
				return err
			}
			if _, twice := change.NewcomersOf[id]; twice {
				return refuse(400, "invalid_field", at+": tenant "+strconv.Quote(f.name)+" is given twice, by id and by name")
			}
			change.NewcomersOf[id] = count
		}
		return nil
	}
}
