package tenancy

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/store"
)

// server is step 1: the tenant's virtual Administration Server and its account. It
// returns the server's name, too, if Kaspersky Security Center tells it.
func (g *Guide) server(ctx context.Context, t *store.Tenant) (s Step, name string) {
	s = Step{Title: "Virtual Administration Server", State: StepDone}
	a := &t.Administration
	switch {
	case t.Type == store.Simple:
		s.State, s.Found = StepNotNeeded, "the tenant is simple: it has no virtual Administration Server of its own"
	case a.Server == "" || a.Address == "" || a.User == "":
		s.State, s.Found = StepMissing, "not recorded: "+listed(lacking(a))
		s.Remedy = fmt.Sprintf(`make one in Kaspersky Security Center and record it: PATCH %s {"administration":`+
			`{"server":"UID","address":"HOST","user":"ACCOUNT"}}`, apiPath(t))
		if g.KSC != nil {
			s.Found += "; " + g.room(ctx)
			s.Remedy = "delete the tenant and create it by POST /api/2.0/virtualization/tenants, which makes one; or " + s.Remedy
		}
	default:
		s.Found = fmt.Sprintf("%s at %s, with the account %s", a.Server, a.Address, a.User)
		name = g.confirm(ctx, t, &s)
	}
	return s, name
}

// lacking names what is not recorded.
func lacking(a *store.Administration) (words []string) {
	for _, field := range []struct{ value, word string }{{a.Server, "the server"}, {a.Address, "its address"}, {a.User, "its account"}} {
		if field.value == "" {
			words = append(words, field.word)
		}
	}
	return words
}

// confirm asks the Kaspersky Security Center for what is recorded, and returns the
// server's name.
func (g *Guide) confirm(ctx context.Context, t *store.Tenant, s *Step) string {
	if g.KSC == nil {
		s.Found += ", as recorded; no Kaspersky Security Center is asked"
		return ""
	}
	center := centerAt(g.URLs, t.Administration.Address)
	if center == "" {
		s.State = StepUnknown
		s.Found += ", as recorded; that is none of the Kaspersky Security Centers of --ksc"
		s.Remedy = "add its URL to --ksc, or correct what is recorded: PATCH " + apiPath(t) + ` {"administration":{"address":"HOST"}}`
		return ""
	}
	v, there, err := g.describe(ctx, t, center)
	switch {
	case err != nil:
		s.State = StepUnknown
		s.Found += fmt.Sprintf(", as recorded; %s can not be asked: %s", center, err)
		s.Remedy = "see that it can be reached from here, and that the account of --ksc-credentials is right"
	case !there:
		s.State = StepMissing
		s.Found += ", as recorded; but " + center + " has no such virtual server"
		s.Remedy = "delete the tenant and create it by POST /api/2.0/virtualization/tenants, which makes one"
	default:
		s.Found += fmt.Sprintf("; %s has it, by the name %s", center, v.Name)
	}
	return v.Name
}

// describe asks a Kaspersky Security Center for the virtual server of a tenant.
func (g *Guide) describe(ctx context.Context, t *store.Tenant, center string) (ksc.VServer, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return g.KSC.Describe(ctx, ksc.Site{
		KSC: center, Mark: t.ID.String(), Name: t.Name, User: t.Administration.User, Server: t.Administration.Server,
	})
}

// centerAt returns the one of urls that an address is of, with or without its port, or
// nothing.
func centerAt(urls []string, address string) string {
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && (strings.EqualFold(u.Host, address) || strings.EqualFold(u.Hostname(), address)) {
			return text
		}
	}
	return ""
}

// room says how many virtual servers can still be made.
func (g *Guide) room(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var words []string
	for _, c := range g.KSC.Capacity(ctx) {
		switch left := max(0, c.Limit-c.Used); {
		case c.Err != nil:
			words = append(words, c.URL+" can not be asked")
		default:
			words = append(words, fmt.Sprintf("%s has room for %s of %s", c.URL, figure(left), figure(c.Limit)))
		}
	}
	return strings.Join(words, ", ")
}
