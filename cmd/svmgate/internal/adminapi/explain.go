package adminapi

import (
	"encoding"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// maxTag bounds a tag in a question, in bytes: no SVM lists a longer one.
const maxTag = 128

// explain answers the question of an agent with all that was considered. It
// understands the question as the agent plane does; TestExplainAgreesWithTheAgentPlane
// holds the two together.
func (a *API) explain(c *call) error {
	q, err := c.question()
	if err != nil {
		return err
	}
	e := a.selector.Explain(&q)
	if e.Result == discovery.NotRegistered.String() {
		return noVM(q.BIOS)
	}
	return c.answer(200, e)
}

// question reads the BIOS ID in the path and the parameters of the query.
func (c *call) question() (q discovery.Query, err error) {
	id, err := store.ParseBIOSID(c.params[0])
	if err != nil {
		return q, badPath("biosId", c.params[0], err)
	}
	q.BIOS = id
	for key, value := range c.ctx.QueryArgs().All() {
		if err := readParameter(&q, string(key), string(value)); err != nil {
			return q, err
		}
	}
	if c.ctx.QueryArgs().Has("biosIdOrder") {
		q.BIOS = q.BIOS.Swapped()
	}
	return q, nil
}

// readParameter reads one parameter. Agents report version, os and kind of
// themselves, in words that a later release may know: what can not be read of
// these counts as not given.
func readParameter(q *discovery.Query, name, value string) (err error) {
	switch name {
	case "version":
		q.Version, _ = store.ParseProductVersion(value)
	case "os":
		if q.OS.UnmarshalText([]byte(value)) != nil {
			q.OS = store.OSUnknown
		}
	case "kind":
		if q.Kind.UnmarshalText([]byte(value)) != nil {
			q.Kind = store.AgentUnknown
		}
	case "current":
		if q.Current, err = store.ParseSVMID(value); err != nil && value != "" {
			return badParameter(name, value, "the id of an SVM (a UUID)")
		}
	case "failed":
		return readFailed(q, value)
	case "limit":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > discovery.MaxLimit || strconv.Itoa(n) != value {
			return badParameter(name, value, "a number from 1 to 16")
		}
		q.Limit = n
	case "tag":
		if len(value) > maxTag || invalidUTF8([]byte(value)) >= 0 {
			return badParameter(name, value, "at most 128 bytes of UTF-8")
		}
		q.Tag = discovery.Some([]byte(value))
	case "protection":
		if value != "on" && value != "off" {
			return badParameter(name, value, "on or off")
		}
		q.Protection = discovery.Some(value == "on")
	case "algorithm":
		return readWord(name, value, &q.Algorithm.V, &q.Algorithm.Set)
	case "path":
		return readWord(name, value, &q.Path.V, &q.Path.Set)
	case "biosIdOrder":
		if value != "swapped" {
			return badParameter(name, value, "swapped, or leave it out")
		}
	}
	return nil
}

func readWord(name, value string, dst encoding.TextUnmarshaler, set *bool) error {
	if err := dst.UnmarshalText([]byte(value)); err != nil {
		return refuse(400, "invalid_parameter", "query parameter "+name+": "+err.Error())
	}
	*set = true
	return nil
}

func readFailed(q *discovery.Query, value string) error {
	if value == "" {
		return nil
	}
	for text := range strings.SplitSeq(value, ",") {
		id, err := store.ParseSVMID(text)
		if err != nil || len(q.Failed) == discovery.MaxLimit {
			return badParameter("failed", value, "up to 16 ids of SVMs (UUIDs), separated by commas")
		}
		q.Failed = append(q.Failed, id)
	}
	return nil
}

// askAgents passes a question on to the agent plane's own code. The account has
// been checked; the rest is that code's business. Of who loses the account while the question
// waits it is as if he had asked then.
func (a *API) askAgents(c *call) error {
	c.ctx.Response.Header.Del(fasthttp.HeaderCacheControl) // it sets its own
	if !a.agents(c.ctx, func() bool { return a.isStill(&c.account) }) {
		c.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
		return c.unauthorized()
	}
	return nil
}
