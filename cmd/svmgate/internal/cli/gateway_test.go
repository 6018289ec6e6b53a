package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/adminapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/agentapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth/authtest"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

const password = "correct:horse" // a colon belongs to the password

// A gateway serves the management API on loopback, to one administrator.
type gateway struct {
	t      *testing.T
	table  *store.Table
	server string
}

func newGateway(t *testing.T, change ...func(*adminapi.Config)) *gateway {
	t.Helper()
	table, err := store.Open(store.Config{})
	check(t, err)
	t.Cleanup(func() { _ = table.Close() })
	check(t, table.Update(func(tx *store.Tx) error {
		_, err := tx.PutAccount(store.Account{Name: "root", Role: store.RoleAdmin, Hash: authtest.CheapHash(password)})
		return err
	}))
	accounts, err := auth.NewAccounts(table)
	check(t, err)
	t.Cleanup(accounts.Close)
	selector, err := discovery.New(discovery.Config{Table: table})
	check(t, err)
	t.Cleanup(selector.Close)
	agents, err := agentapi.New(agentapi.Config{Selector: selector, Table: table})
	check(t, err)
	cfg := adminapi.Config{Table: table, Selector: selector, Accounts: accounts, Agents: agents.Admin}
	for _, c := range change {
		c(&cfg)
	}
	api, err := adminapi.New(cfg)
	check(t, err)
	return &gateway{t: t, table: table, server: "http://" + serve(t, api.Handler)}
}

// serve serves h on a free port of loopback and returns the address.
func serve(t *testing.T, h fasthttp.RequestHandler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := &fasthttp.Server{Handler: h, StreamRequestBody: true, CloseOnShutdown: true}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A result is what a command left behind.
type result struct {
	out, errOut string
	err         error
}

// exit is the exit code that main makes of the error.
func (r result) exit() int {
	var wrong UsageError
	switch {
	case errors.As(r.err, &wrong):
		return 2
	case r.err != nil:
		return 1
	}
	return 0
}

// execute runs a command line as main does, on standard input in.
func execute(in io.Reader, args ...string) result {
	root := &cobra.Command{Use: "svmgate", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(Commands()...)
	var out, errOut bytes.Buffer
	root.SetIn(in)
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	return result{out.String(), errOut.String(), err}
}

// run executes a command as the administrator.
func (g *gateway) run(args ...string) result {
	return execute(strings.NewReader(""), append(args, "--server", g.server, "--user", "root:"+password)...)
}

// must is run for a command that has to succeed; it returns the output.
func (g *gateway) must(args ...string) string {
	g.t.Helper()
	r := g.run(args...)
	if r.err != nil {
		g.t.Fatalf("svmgate %s: %v", strings.Join(args, " "), r.err)
	}
	return r.out
}

// file writes a file for a test and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const sample = `tenants:
- {id: 00000000-0000-0000-0000-00000000007e, name: acme, status: active}
- {name: globex, type: simple}
svms:
- {id: 00000000-0000-0000-0000-0000000000a1, name: svm-1, address: 10.9.0.7, version: "6.0", license: {state: valid}, path: {host: h1}}
- {id: 00000000-0000-0000-0000-0000000000a2, name: svm-2, address: 10.9.0.8, version: "6.0", tags: [gold]}
vms:
- {biosId: 00000000-0000-0000-0000-0000000000b1, tenant: acme, name: web, os: server, path: {host: h1}}
- {biosId: 00000000-0000-0000-0000-0000000000b2, tenant: acme, name: db, os: server}
`

// newSample is a gateway that has the sample inventory.
func newSample(t *testing.T) *gateway {
	t.Helper()
	g := newGateway(t)
	g.must("import", file(t, "sample.yaml", sample))
	return g
}
