package cli

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	// requestTimeout bounds every request but those that carry files.
	requestTimeout = 30 * time.Second
	// transferTimeout bounds what carries an inventory or a backup, of gigabytes.
	transferTimeout = time.Hour
	// maxAnswer bounds an answer, in bytes. A page of 1,000 tenants with long
	// descriptions has 64 MiB.
	maxAnswer = 128 << 20
)

// connection is how a command reaches the gateway: its flags, and the client
// made of them.
type connection struct {
	server, user, output, caFile string

	base     *url.URL
	name     string
	password string
	client   *http.Client
}

// open checks the flags and finds out who asks. It connects to nothing.
func (c *connection) open(cmd *cobra.Command) error {
	if err := checkOutput(c.output); err != nil {
		return err
	}
	base, err := url.Parse(c.server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return usage("--server %q: want an address such as http://127.0.0.1:7271 (the account belongs in --user)", c.server)
	}
	c.base = base
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.caFile != "" {
		pem, err := os.ReadFile(c.caFile)
		if err != nil {
			return usage("--ca-file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return usage("--ca-file %s: has no PEM certificate", c.caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	c.client = &http.Client{
		Transport: transport,
		// A redirect would take the password elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c.identify(cmd)
}

func checkOutput(output string) error {
	if output != "table" && output != "json" {
		return usage("--output %q: want table or json", output)
	}
	return nil
}

// identify finds name and password: --user, else the environment, else the
// terminal.
func (c *connection) identify(cmd *cobra.Command) error {
	name, password, given := strings.Cut(c.user, ":")
	if name == "" && given {
		return usage("--user %q: the name is missing", c.user)
	}
	if name == "" {
		name = os.Getenv("SVMGATE_USER")
	}
	if !given {
		password, given = os.LookupEnv("SVMGATE_PASSWORD")
	}
	var err error
	if name == "" {
		if name, err = askLine(cmd, "Account: "); err != nil {
			return usage("no account: give --user name or SVMGATE_USER")
		}
	}
	if !given {
		if password, err = askSecret(cmd, "Password of "+name+": "); err != nil {
			return usage("no password for %s: set SVMGATE_PASSWORD, or give --user name:password", name)
		}
	}
	c.name, c.password = name, password
	return nil
}

var errNoTerminal = errors.New("standard input is no terminal")

// terminal returns the terminal that the command reads from, if it is one.
func terminal(cmd *cobra.Command) (*os.File, bool) {
	f, ok := cmd.InOrStdin().(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

func askLine(cmd *cobra.Command, prompt string) (string, error) {
	tty, ok := terminal(cmd)
	if !ok {
		return "", errNoTerminal
	}
	cmd.PrintErr(prompt)
	line, err := bufio.NewReaderSize(tty, 16).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return line, err
}

func askSecret(cmd *cobra.Command, prompt string) (string, error) {
	tty, ok := terminal(cmd)
	if !ok {
		return "", errNoTerminal
	}
	cmd.PrintErr(prompt)
	secret, err := term.ReadPassword(int(tty.Fd()))
	cmd.PrintErrln()
	return string(secret), err
}

// A refusal is what the gateway answered instead of what was asked for.
type refusal struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s (%d %s)", r.Detail, r.Status, r.Code)
}

// a request to the gateway.
type request struct {
	method, path string
	query        url.Values
	contentType  string // of the body, if it has one
	body         io.Reader
	size         int64         // of a body that is no reader in memory, in bytes
	timeout      time.Duration // 0 means requestTimeout, less than 0 none

	accept, lastEvent string // for a stream of events
}

// do sends a request and returns the body of its answer. Anything but success is
// a [*refusal].
func (c *connection) do(ctx context.Context, r request) ([]byte, error) {
	resp, err := c.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return readAnswer(resp)
}

// ask is do for an answer that is read as it comes. The caller closes its body.
func (c *connection) ask(ctx context.Context, r request) (*http.Response, error) {
	if r.timeout == 0 {
		r.timeout = requestTimeout
	}
	target, err := url.Parse(strings.TrimSuffix(c.base.String(), "/") + r.path)
	if err != nil {
		return nil, err
	}
	target.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), r.body)
	if err != nil {
		return nil, err
	}
	if r.size > 0 {
		req.ContentLength = r.size
	}
	req.SetBasicAuth(c.name, c.password)
	req.Header.Set("Accept", cmp.Or(r.accept, "application/json, application/problem+json"))
	if r.lastEvent != "" {
		req.Header.Set("Last-Event-ID", r.lastEvent)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	client := *c.client
	client.Timeout = max(r.timeout, 0) // reading the answer included
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w (is the gateway at %s running?)", err, c.server)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := readAnswer(resp)
	if err != nil {
		return nil, err
	}
	refused := &refusal{}
	if json.Unmarshal(body, refused) != nil || refused.Detail == "" {
		return nil, fmt.Errorf("%s %s: the answer is %s, and not from a gateway's management plane", r.method, target.Redacted(), resp.Status)
	}
	refused.Status = resp.StatusCode
	return nil, refused
}

// readAnswer reads a body that is held in memory.
func readAnswer(resp *http.Response) ([]byte, error) {
	req := resp.Request
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Redacted(), err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("%s %s: the answer has more than %d bytes", req.Method, req.URL.Redacted(), maxAnswer)
	}
	return body, nil
}

// send sends v as JSON; nil is no body.
func (c *connection) send(ctx context.Context, method, path string, query url.Values, v any) ([]byte, error) {
	r := request{method: method, path: path, query: query}
	if v != nil {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		r.body, r.contentType = strings.NewReader(string(text)), "application/json"
	}
	return c.do(ctx, r)
}

func (c *connection) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	return c.do(ctx, request{method: http.MethodGet, path: path, query: query})
}

// a page of a list, its items as they came.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next"`
}

// list reads all pages of a list.
func (c *connection) list(ctx context.Context, path string) (all page, err error) {
	all.Items = []json.RawMessage{}
	err = c.each(ctx, path, func(item json.RawMessage) error {
		all.Items = append(all.Items, item)
		return nil
	})
	return all, err
}

// each calls fn with every item of a list.
func (c *connection) each(ctx context.Context, path string, fn func(json.RawMessage) error) error {
	return c.eachOf(ctx, path, url.Values{}, fn)
}

// eachOf is each for a list with filters.
func (c *connection) eachOf(ctx context.Context, path string, query url.Values, fn func(json.RawMessage) error) error {
	query = maps.Clone(query)
	query.Set("limit", "1000")
	for {
		body, err := c.get(ctx, path, query)
		if err != nil {
			return err
		}
		var p page
		if err := json.Unmarshal(body, &p); err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
		for _, item := range p.Items {
			if err := fn(item); err != nil {
				return err
			}
		}
		if p.Next == "" {
			return nil
		}
		if p.Next == query.Get("after") {
			return fmt.Errorf("GET %s: the gateway repeats a page", path)
		}
		query.Set("after", p.Next)
	}
}

// plural names a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
