package adminapi

import (
	"cmp"
	"encoding"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/firewall"
)

// maxTargets bounds the addresses to translate to: one of each family.
const maxTargets = 2

// readFirewall writes the rules that block a tenant or, if there is an address for it,
// those that translate its addresses.
func (a *API) readFirewall(c *call) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	q, err := c.firewallQuestion()
	if err != nil {
		return err
	}
	tenant, ok := a.table.Tenant(id)
	if !ok {
		return noTenant(id)
	}
	svms, all := a.table.SVMs(), a.table.Tenants()
	if q.to == nil {
		return c.answerRules(q.format, firewall.NewBlock(&tenant, svms, all, q.iface))
	}
	translation, err := firewall.NewTranslation(&tenant, svms, all, q.to, q.iface, q.zone)
	if wrong := (*firewall.TranslationError)(nil); errors.As(err, &wrong) {
		return refuse(400, "invalid_parameter", "query parameters snat, interface and zone: "+wrong.Reason)
	} else if err != nil {
		return err
	}
	return c.answerRules(q.format, translation)
}

// rules can be written in every format.
type rules interface {
	Nftables() string
	Iptables() string
}

func (c *call) answerRules(format firewall.Format, r rules) error {
	var text string
	switch format {
	case firewall.JSON:
		return c.answer(200, r)
	case firewall.Iptables:
		text = r.Iptables()
	case firewall.Nftables:
		text = r.Nftables()
	}
	c.ctx.SetContentType("text/plain; charset=utf-8")
	c.ctx.SetBodyString(text)
	return nil
}

// firewallQuestion is what the query says about rules.
type firewallQuestion struct {
	format firewall.Format
	iface  firewall.Interface
	zone   firewall.Zone
	to     []netip.Prefix // nil: no translation was asked for
}

func (c *call) firewallQuestion() (q firewallQuestion, err error) {
	q.format = firewall.Nftables
	if err := cmp.Or(c.word("format", &q.format), c.word("interface", &q.iface)); err != nil {
		return q, err
	}
	args := c.ctx.QueryArgs()
	if args.Has("zone") {
		text := string(args.Peek("zone"))
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return q, badParameter("zone", text, "a whole number from 1 to 65535")
		}
		if q.zone = firewall.Zone(n); !args.Has("snat") {
			return q, refuse(400, "invalid_parameter", "query parameter zone needs snat")
		}
	}
	if args.Has("snat") {
		q.to, err = readTargets(string(args.Peek("snat")))
	}
	return q, err
}

// word reads a parameter that is one of some words, if it is given.
func (c *call) word(name string, dst encoding.TextUnmarshaler) error {
	if !c.ctx.QueryArgs().Has(name) {
		return nil
	}
	var set bool
	return readWord(name, string(c.ctx.QueryArgs().Peek(name)), dst, &set)
}

func readTargets(text string) (to []netip.Prefix, err error) {
	for word := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(word)
		if err != nil || len(to) == maxTargets {
			return nil, badParameter("snat", text,
				"an address with the length of its network's prefix, such as 10.9.0.1/24, or two, one of each family, with a comma between")
		}
		to = append(to, prefix)
	}
	return to, nil
}
