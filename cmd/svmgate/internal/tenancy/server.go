package tenancy

import (
	"context"
	"fmt"
	"net/url"
	"slices"
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
	site := g.site(t)
	if site.KSC == "" {
		s.State = StepUnknown
		s.Found += ", as recorded; that is none of the Kaspersky Security Centers of --ksc"
		s.Remedy = "add its URL to --ksc, or correct what is recorded: PATCH " + apiPath(t) + ` {"administration":{"address":"HOST"}}`
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, there, err := g.KSC.Describe(ctx, site)
	switch {
	case err != nil:
		s.State = StepUnknown
		s.Found += fmt.Sprintf(", as recorded; %s can not be asked: %s", site.KSC, err)
		s.Remedy = "see that it can be reached from here, and that the account of --ksc-credentials is right"
	case !there:
		s.State = StepMissing
		s.Found += ", as recorded; but " + site.KSC + " has no such virtual server"
		s.Remedy = "delete the tenant and create it by POST /api/2.0/virtualization/tenants, which makes one"
	case !v.Enabled:
		s.State = StepMissing
		s.Found += fmt.Sprintf("; %s has it, by the name %s, and it is disabled there", site.KSC, v.Name)
		s.Remedy = "enable the virtual server in Kaspersky Security Center"
	default:
		s.Found += fmt.Sprintf("; %s has it, by the name %s", site.KSC, v.Name)
	}
	return v.Name
}

// site returns what the tenant has in Kaspersky Security Center: what was written down
// when it was made here, else as far as what is recorded tells. KSC is empty if it is on
// none of those that are known.
func (g *Guide) site(t *store.Tenant) ksc.Site {
	a := &t.Administration
	site := siteOf([]byte(a.Artifacts))
	if site.Mark == t.ID.String() && site.Server == a.Server && slices.Contains(g.URLs, site.KSC) {
		return site
	}
	return ksc.Site{KSC: centerAt(g.URLs, a.Address), Mark: t.ID.String(), Name: t.Name, User: a.User, Server: a.Server}
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
