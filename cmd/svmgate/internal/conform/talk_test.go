package conform

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A talk is what a client says in a case, and what it hears.
type talk []turn

// A turn is a part of a talk.
type turn interface{ take(*client) }

// A client is who talks.
type client struct {
	*testing.T
	*world
	vars variables
}

// do is a turn that no other describes.
type do func(*client)

func (d do) take(c *client) { d(c) }

func (t talk) take(c *client) {
	for _, turn := range t {
		turn.take(c)
	}
}

// An exchange is a request and what must come back.
type exchange struct {
	line   string // method and path below the base; the path may hold variables
	body   string
	user   string
	head   []string
	status []int
	back   string // pattern of the body
	lists  string // pattern of one of the elements of the body
	omits  string
	raw    string // part of the body as it is written
	empty  bool
	has    []string
	plain  bool // the answer is not XML
	chunks bool
	bytes  []byte // the body, if it holds no variables
}

// call is a request of the account multitenancy.
func call(line string, body ...string) *exchange {
	return &exchange{line: line, body: strings.Join(body, ""), user: "multitenancy"}
}

// as is for other accounts: a role; "nobody" sends no credentials, "stranger" those
// of an account that is not there, "mistaken" a wrong password.
func (e *exchange) as(user string) *exchange { e.user = user; return e }

// with adds a header to the request.
func (e *exchange) with(header string) *exchange { e.head = append(e.head, header); return e }

// inChunks sends the body without saying how long it is.
func (e *exchange) inChunks() *exchange { e.chunks = true; return e }

// is says how the answer must be; the body is compared if there is a pattern.
func (e *exchange) is(status int, pattern ...string) *exchange {
	e.status, e.back = []int{status}, strings.Join(pattern, "")
	return e
}

// isOneOf is for what nobody has decided.
func (e *exchange) isOneOf(status ...int) *exchange { e.status = status; return e }

// listing says that one of the elements in the answer matches a pattern.
func (e *exchange) listing(pattern string) *exchange { e.lists = pattern; return e }

// omitting says that a text is nowhere in the answer.
func (e *exchange) omitting(text string) *exchange { e.omits = text; return e }

// written says that the body contains a text as it is written, before any parsing.
func (e *exchange) written(text string) *exchange { e.raw = text; return e }

// nothing says that the body is empty.
func (e *exchange) nothing() *exchange { e.empty = true; return e }

// having says that a header of the answer has a value, or with "Name: a, b" at least
// these.
func (e *exchange) having(header string) *exchange { e.has = append(e.has, header); return e }

// notXML says that the answer is something else.
func (e *exchange) notXML() *exchange { e.plain = true; return e }

// failure is the form of a synchronous error.
func failure(code string) string {
	return "<error><code>" + code + "</code><message>$:text</message></error>"
}

// anyFailure is the form of an error whose code no document gives.
const anyFailure = "<error><code>$:text</code><message>$:text</message></error>"

func (e *exchange) take(c *client) {
	c.Helper()
	resp, body := c.send(e)
	problem := func(format string, args ...any) {
		c.Helper()
		c.Fatalf("%s %s\n%s\nanswers %d %s\n%s", c.vars.fill(e.line), e.user, e.body, resp.StatusCode, body, fmt.Sprintf(format, args...))
	}
	if !slices.Contains(e.status, resp.StatusCode) {
		problem("want status %v", e.status)
	}
	if err := e.checkHeaders(resp, body); err != nil {
		problem("%v", err)
	}
	pattern := e.back
	if pattern == "" && resp.StatusCode >= 400 && !e.plain && !e.empty {
		pattern = anyFailure
	}
	switch {
	case e.empty && body != "":
		problem("want no body")
	case e.omits != "" && strings.Contains(body, c.vars.fill(e.omits)):
		problem("want nothing of %s", c.vars.fill(e.omits))
	case !strings.Contains(body, c.vars.fill(e.raw)):
		problem("want it to contain %s", c.vars.fill(e.raw))
	}
	if pattern != "" {
		if err := c.vars.matchText(body, pattern); err != nil {
			problem("%v", err)
		}
	}
	if e.lists != "" {
		if err := c.vars.matchOne(body, e.lists); err != nil {
			problem("%v", err)
		}
	}
}

func (e *exchange) checkHeaders(resp *http.Response, body string) error {
	if content, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); body != "" && !e.plain && (err != nil || content != "application/xml") {
		return fmt.Errorf("the content type is %q, want application/xml", resp.Header.Get("Content-Type"))
	}
	for _, line := range e.has {
		name, want, _ := strings.Cut(line, ": ")
		got := resp.Header.Values(name)
		for part := range strings.SplitSeq(want, ", ") {
			if !strings.Contains(strings.Join(got, ", ")+", ", part) {
				return fmt.Errorf("the header %s is %q, want %q in it", name, got, part)
			}
		}
	}
	return nil
}

// send sends the request and reads the answer.
func (c *client) send(e *exchange) (resp *http.Response, text string) {
	c.Helper()
	method, path, _ := strings.Cut(c.vars.fill(e.line), " ")
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "/v1/") {
		path = base + path
	}
	var body io.Reader = strings.NewReader(c.vars.fill(e.body))
	if e.bytes != nil {
		body = bytes.NewReader(e.bytes)
	} else if e.chunks {
		body = io.MultiReader(body) // whose length nobody knows
	}
	req, err := http.NewRequestWithContext(c.Context(), method, c.url+path, body)
	if err != nil {
		c.Fatal(err)
	}
	if e.body != "" {
		req.Header.Set("Content-Type", "application/xml")
	}
	for _, line := range e.head {
		name, value, _ := strings.Cut(line, ": ")
		if req.Header.Del(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	switch e.user {
	case "nobody":
	case "mistaken":
		req.SetBasicAuth("multitenancy", "not the password")
	default:
		req.SetBasicAuth(e.user, passwordOf(e.user))
	}
	if resp, err = c.client.Do(req); err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.Fatal(err)
	}
	return resp, string(b)
}

// matchOne says that an element of the root matches.
func (v variables) matchOne(got, pattern string) error {
	g, err := parseXML(got)
	if err != nil {
		return fmt.Errorf("what came is not XML: %w", err)
	}
	p, err := parseXML(pattern)
	if err != nil {
		return fmt.Errorf("the pattern is not XML: %w", err)
	}
	for _, child := range g.children {
		if err = v.match(child, p); err == nil {
			return nil
		}
	}
	return fmt.Errorf("none of the %d elements is as %s; the last: %w", len(g.children), v.fill(pattern), err)
}

var variable = regexp.MustCompile(`\$([a-z]+[0-9]*)(\.(?:upper|bare|braces|swapped|escaped))?`)

// fill replaces variables. $name is a fresh name, $bios1 (and so on) a fresh BIOS ID,
// $nobody an id of nothing; of an id there are the forms $id.upper, $id.bare without
// hyphens, $id.braces, $id.swapped in the other byte order, and $id.escaped, with the
// braces as a URL has them.
func (v variables) fill(text string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		m := variable.FindStringSubmatch(found)
		name := m[1]
		if _, known := v[name]; !known {
			switch {
			case name == "name":
				v[name] = "conform " + freshUUID()
			case name == "nobody", strings.HasPrefix(name, "bios"):
				v[name] = freshUUID()
			default:
				return found
			}
		}
		return form(v[name], m[2])
	})
}

func form(id, how string) string {
	switch how {
	case ".upper":
		return strings.ToUpper(id)
	case ".bare":
		return strings.ReplaceAll(id, "-", "")
	case ".braces":
		return "{" + id + "}"
	case ".escaped":
		return "%7B" + id + "%7D"
	case ".swapped":
		at := func(i int) string { return id[i : i+2] }
		return at(6) + at(4) + at(2) + at(0) + "-" + at(11) + at(9) + "-" + at(16) + at(14) + id[18:]
	}
	return id
}

func freshUUID() string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rand.Uint32(), rand.N(1<<16), rand.N(1<<12), rand.N(1<<12), rand.N(uint64(1)<<48))
}

// hears is a turn that asks the agent plane where the VM's agent is sent.
func hears(biosID, address string) do {
	return func(c *client) {
		c.Helper()
		if got := c.agent(c.T, c.vars.fill(biosID)); got != address {
			c.Fatalf("the agent of %s is told %s, want %s", c.vars.fill(biosID), got, address)
		}
	}
}

// pause is how long a client waits between two looks at a task.
const pause = 5 * time.Millisecond
