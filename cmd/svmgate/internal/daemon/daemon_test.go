package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/buildinfo"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
	"github.com/svmgate/svmgate/store"
)

func TestMain(m *testing.M) {
	// fasthttp's pool of workers looks every ten seconds whether it should end.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

const (
	webBIOS  = "4c4c4544-0042-3510-8054-b7c04f463032"
	shopBIOS = "4c4c4544-0042-3510-8054-b7c04f463033"
	sample   = `{"tenants":[{"name":"acme","status":"active"},{"name":"shop","status":"active"}],
"svms":[{"name":"svm-1","address":"10.9.0.7","version":"6.0","pinned":true}],
"vms":[{"biosId":"` + webBIOS + `","tenant":"acme"},{"biosId":"` + shopBIOS + `","tenant":"shop"}]}`
)

// A lockedBuffer is written by the gateway while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A running is a gateway under test.
type running struct {
	*Gateway
	t        *testing.T
	out, log lockedBuffer
	client   *http.Client
	stopped  bool
}

// options returns those of a gateway on free ports that keeps nothing.
func (r *running) options(flags map[string]string) (Options, error) {
	all := map[string]string{"agent-addr": "127.0.0.1:0", "admin-addr": "127.0.0.1:0", "ops-addr": "127.0.0.1:0", "data": ":memory:", "node-name": "n1"}
	for name, value := range flags {
		all[name] = value
	}
	var environ []string
	if pw, ok := all["admin-password"]; ok {
		environ = append(environ, "SVMGATE_ADMIN_PASSWORD="+pw)
	}
	settings, err := config.Load(config.Input{Flags: all, Env: environ})
	if err != nil {
		return Options{}, err
	}
	level := new(slog.LevelVar)
	return Options{
		Settings: settings, Build: buildinfo.Read("test"), Out: &r.out, Level: level,
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: level})),
	}, nil
}

func start(t *testing.T, flags map[string]string) *running {
	t.Helper()
	r := &running{t: t, client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	opt, err := r.options(flags)
	if err != nil {
		t.Fatal(err)
	}
	if r.Gateway, err = Start(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) stop() {
	r.t.Helper()
	if r.stopped {
		return
	}
	r.stopped = true
	if err := r.Stop(context.Background()); err != nil {
		r.t.Errorf("Stop: %v", err)
	}
}

// get asks a plane as user "name:password", or as nobody.
func (r *running) get(plane, path, user string) (int, string) {
	r.t.Helper()
	status, body, err := r.ask(plane, path, user)
	if err != nil {
		r.t.Fatal(err)
	}
	return status, body
}

func (r *running) ask(plane, path, user string) (int, string, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.plane(plane).url()+path, nil)
	if err != nil {
		return 0, "", err
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(name, password)
	} else if user != "" {
		req.Header.Set("Authorization", "Bearer "+user)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGateway(t *testing.T) {
	r := start(t, map[string]string{"sample": write(t, "s.json", sample), "admin-password": "one"})
	question := "/v1/agents/" + webBIOS + "/svm"
	tests := []struct {
		plane, path, user string
		status            int
		says              string
	}{
		{"agent", question, "", 200, `"result":"assigned","svms":[{"id":"`},
		{"agent", "/v1/agents/00000000-0000-0000-0000-000000000001/svm", "", 404, "vm_not_registered"},
		{"agent", "/v1/tenants", "admin:one", 404, ""},
		{"agent", "/v1/../x", "", 400, "bad_path"},
		{"admin", "/v1/tenants", "", 401, ""},
		{"admin", "/v1/tenants", "admin:two", 401, ""},
		{"admin", "/v1/tenants", "admin:one", 200, `"acme"`},
		{"admin", question, "admin:one", 200, `"assigned"`},
		{"admin", question, "", 401, ""},
		{"admin", "/healthz", "admin:one", 404, ""},
		{"ops", "/healthz", "", 200, "ok"},
		{"ops", "/readyz", "", 200, "ready"},
		{"ops", "/metrics", "", 200, `svmgate_agent_requests_total{result="assigned"} 1`},
		{"ops", "/metrics", "", 200, `svmgate_connections{plane="agent"} 0`},
		{"ops", "/debug/decision?biosId=" + webBIOS, "", 200, "svm-1"},
		{"ops", "/v1/tenants", "", 404, ""},
	}
	for _, tt := range tests {
		// Through a plain connection: a client would clean the path.
		if status, body := r.raw(tt.plane, tt.path, tt.user); status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s %s as %q: %d, want %d and %q:\n%s", tt.plane, tt.path, tt.user, status, tt.status, tt.says, body)
		}
	}
	if got := r.log.String(); strings.Count(got, "a login was refused") != 1 || !strings.Contains(got, "from=127.0.0.1") {
		t.Errorf("the log does not have the refused login once:\n%s", got)
	}
	if got := r.out.String(); !strings.Contains(got, "curl -s http://127.0.0.1:") || strings.Contains(got, "password") {
		t.Errorf("output = %q, want a curl line and no password", got)
	}
}

func (r *running) raw(plane, path, user string) (int, string) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.plane(plane).listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	credentials := ""
	if user != "" {
		credentials = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user)) + "\r\n"
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n", path, credentials)
	text, err := io.ReadAll(c)
	if err != nil {
		r.t.Fatal(err)
	}
	var status int
	fmt.Sscanf(string(text), "HTTP/1.1 %d", &status)
	return status, string(text)
}

func TestFirstAccount(t *testing.T) {
	dir := t.TempDir()
	first := start(t, map[string]string{"data": dir})
	_, after, _ := strings.Cut(first.out.String(), "with the password ")
	password, _, _ := strings.Cut(after, " ")
	if len(password) < 20 || strings.Contains(first.log.String(), password) {
		t.Fatalf("password %q: want a long one, and not in the log", password)
	}
	if status, _ := first.get("admin", "/v1/users", "admin:"+password); status != 200 {
		t.Errorf("the password shown answers %d", status)
	}
	first.stop()

	second := start(t, map[string]string{"data": dir, "admin-password": "other"})
	if got := second.out.String(); got != "" {
		t.Errorf("the second start shows %q", got)
	}
	if status, _ := second.get("admin", "/v1/users", "admin:"+password); status != 200 {
		t.Errorf("after a restart the password answers %d", status)
	}
	if status, _ := second.get("admin", "/v1/users", "admin:other"); status != 401 {
		t.Errorf("SVMGATE_ADMIN_PASSWORD reset the password: %d", status)
	}
}

func TestFirstAccountTakesNobodysName(t *testing.T) {
	dir := t.TempDir()
	first := start(t, map[string]string{"data": dir, "admin-password": "one"})
	err := first.assembly.table.Update(func(tx *store.Tx) error {
		a, _ := tx.Account("admin")
		a.Role = store.RoleViewer
		_, err := tx.PutAccount(a)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	second := start(t, map[string]string{"data": dir})
	if a, _ := second.assembly.table.Account("admin"); a.Role != store.RoleViewer {
		t.Errorf("the viewer called admin now has the role %v", a.Role)
	}
}

// What has begun before Stop is answered; what comes later is not accepted.
func TestStopLosesNoRequest(t *testing.T) {
	r := start(t, map[string]string{"sample": write(t, "s.json", sample)})
	c, err := net.Dial("tcp", r.plane("agent").listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	line := `{"biosId":"` + webBIOS + `"}` + "\n"
	fmt.Fprintf(c, "POST /v1/agents/svm HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", len(line))
	// The gateway has the head of the request once the connection counts as active.
	wait(t, func() bool { return r.plane("agent").open() == 1 })

	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	wait(t, func() bool { _, body, _ := r.ask("ops", "/readyz", ""); return strings.Contains(body, "shutting down") })
	wait(t, func() bool {
		c, err := net.Dial("tcp", r.plane("agent").listener.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	io.WriteString(c, line)
	text, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(text, []byte("200 OK")) || !bytes.Contains(text, []byte(`"assigned"`)) {
		t.Errorf("the request that ran got %q (%v)", text, err)
	}
	<-stopped
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	r := start(t, map[string]string{"shutdown-timeout": "50ms"})
	c, err := net.Dial("tcp", r.plane("agent").listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HT")
	wait(t, func() bool { return r.plane("agent").open() == 1 })
	begin := time.Now()
	r.stop()
	if took := time.Since(begin); took > patience/2 { // without a timeout it would wait for ever
		t.Errorf("Stop took %v", took)
	}
	if !strings.Contains(r.log.String(), "requests were cut off") {
		t.Errorf("the log does not say so:\n%s", &r.log)
	}
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func TestStartSaysWhyNot(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct {
		name  string
		flags map[string]string
		says  string
		usage bool
	}{
		{"port in use", map[string]string{"admin-addr": taken.Addr().String()}, `admin-addr: can not listen at "127.0.0.1:`, false},
		{"no certificate", map[string]string{"tls-cert": "none.pem", "tls-key": "none.pem"}, "none.pem: no such file", true},
		{"data is a file", map[string]string{"data": write(t, "file", "x")}, "data ", false},
		{"no sample", map[string]string{"sample": "none.yaml"}, "sample: open none.yaml", false},
		{"empty sample", map[string]string{"sample": write(t, "e.json", "")}, "sample ", false},
		{"broken sample", map[string]string{"sample": write(t, "b.json", "{\n\"tenants\": [")}, "sample ", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &running{t: t}
			opt, err := r.options(tt.flags)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Start(t.Context(), opt)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Start = %v, want %q", err, tt.says)
			}
			var setting *config.Error
			if errors.As(err, &setting) != tt.usage {
				t.Errorf("Start = %T, want an error of the settings: %v", err, tt.usage)
			}
		})
	}
}

func TestSampleIsLoadedIntoAnEmptyTableOnly(t *testing.T) {
	dir := t.TempDir()
	refused := strings.Replace(sample, `"vms":[`, `"vms":[{"biosId":"x"},`, 1)
	first := start(t, map[string]string{"data": dir, "sample": write(t, "s.json", refused)})
	if got := first.log.String(); !strings.Contains(got, "a record of the sample is refused") || !strings.Contains(got, "vms=2") {
		t.Errorf("log:\n%s", got)
	}
	first.stop()
	second := start(t, map[string]string{"data": dir, "sample": "not/even/there"})
	if got := second.log.String(); !strings.Contains(got, "the table is not empty") {
		t.Errorf("log:\n%s", got)
	}
	if got := second.out.String(); !strings.Contains(got, webBIOS) {
		t.Errorf("output = %q, want a curl line", got)
	}
}

// A tlsSite is a gateway with TLS on every plane that has it.
func tlsSite(t *testing.T, flags map[string]string) (*running, *tlstest.Authority) {
	t.Helper()
	ca, err := tlstest.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	all := map[string]string{"tls-cert": dir + "/c", "tls-key": dir + "/k", "tls-client-ca": write(t, "ca", string(ca.PEM)), "sample": write(t, "s.json", sample)}
	for name, value := range flags {
		all[name] = value
	}
	if err := ca.Write(dir+"/c", dir+"/k", tlstest.Leaf{Name: "gate"}); err != nil {
		t.Fatal(err)
	}
	return start(t, all), ca
}

// as makes the client trust ca and present a certificate, unless leaf is nil.
func (r *running) as(ca *tlstest.Authority, leaf *tlstest.Leaf) {
	r.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	c := &tls.Config{RootCAs: roots}
	if leaf != nil {
		cert, key, err := ca.Issue(*leaf)
		if err != nil {
			r.t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			r.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	r.client.Transport = &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
}

func TestMTLS(t *testing.T) {
	r, ca := tlsSite(t, map[string]string{"agent-auth": "mtls", "admin-password": "one"})
	acme, _ := r.assembly.table.TenantByName("acme")
	agent := &tlstest.Leaf{Name: "admin", URI: "svmgate:tenant:" + acme.ID.String()}

	r.as(ca, nil)
	if _, _, err := r.ask("agent", "/v1/agents/"+webBIOS+"/svm", ""); err == nil {
		t.Error("the agent plane answers without a certificate")
	}
	r.as(ca, agent)
	for bios, want := range map[string]int{webBIOS: 200, shopBIOS: 404} {
		if status, body := r.get("agent", "/v1/agents/"+bios+"/svm", ""); status != want {
			t.Errorf("VM %s: %d, want %d: %s", bios, status, want, body)
		}
	}
	if status, _ := r.get("admin", "/v1/tenants", ""); status != 401 {
		t.Errorf("an agent whose certificate is called admin administers: %d", status)
	}
	r.as(ca, &tlstest.Leaf{Name: "admin"})
	if status, _ := r.get("admin", "/v1/tenants", ""); status != 200 {
		t.Errorf("the administrator's certificate answers %d", status)
	}
	r.as(ca, nil)
	if status, _ := r.get("admin", "/v1/tenants", "admin:one"); status != 200 {
		t.Errorf("a password without a certificate answers %d", status)
	}
	if got := r.out.String(); !strings.Contains(got, "curl -s -u admin --cacert ") || !strings.Contains(got, r.plane("admin").url()) {
		t.Errorf("output = %q, want a line for the management plane", got)
	}
	// The operations plane on loopback is for people and probes on this host.
	if u := r.plane("ops").url(); !strings.HasPrefix(u, "http://") {
		t.Errorf("the operations plane is at %s", u)
	}
}

func TestTokens(t *testing.T) {
	r := start(t, map[string]string{"agent-auth": "token", "sample": write(t, "s.json", sample)})
	acme, _ := r.assembly.table.TenantByName("acme")
	token, sum := auth.NewToken()
	err := r.assembly.table.Update(func(tx *store.Tx) error {
		_, err := tx.SetToken(store.Token{Tenant: acme.ID, Current: sum})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		bios, token string
		want        int
	}{{webBIOS, token, 200}, {shopBIOS, token, 404}, {webBIOS, "x", 401}, {webBIOS, "", 401}} {
		if status, _ := r.get("agent", "/v1/agents/"+tt.bios+"/svm", tt.token); status != tt.want {
			t.Errorf("VM %s with token %q: %d, want %d", tt.bios, tt.token, status, tt.want)
		}
	}
}

func TestReload(t *testing.T) {
	r, ca := tlsSite(t, nil)
	next, err := (&running{}).options(map[string]string{"log-level": "warn", "svm-ttl": "1m"})
	if err != nil {
		t.Fatal(err)
	}
	c := r.opt.Settings
	if err := ca.Write(c.TLSCert, c.TLSKey, tlstest.Leaf{Name: "gate 2"}); err != nil {
		t.Fatal(err)
	}
	r.Reload(nil)
	if got := r.files.Stats().Reloads; got != 2 {
		t.Errorf("the TLS files were read %d times, want 2", got)
	}
	r.Reload(next.Settings)
	if r.opt.Level.Level() != slog.LevelWarn {
		t.Error("the log level has not changed")
	}
	for _, want := range []string{"setting=log-level value=warn", `takes effect only at a restart" setting=svm-ttl`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &r.log)
		}
	}
}

// Inventories are streamed, up to a limit of their own; no body may come in
// chunks, because a cut one could not be told from a whole one.
func TestImportStreams(t *testing.T) {
	r := start(t, map[string]string{"admin-password": "one", "import-limit": "1KiB"})
	post := func(path, text string, length int) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.plane("admin").url()+path, io.MultiReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = int64(length)
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth("admin", "one")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := post("/v1/import", sample, -1); status != 411 || !strings.Contains(body, "length_required") {
		t.Errorf("import in chunks: %d %s, want 411", status, body)
	}
	if status, body := post("/v1/import", sample, len(sample)); status != 200 || !strings.Contains(body, `"changed":5`) {
		t.Errorf("import: %d %s, want 5 changed", status, body)
	}
	if status, body := post("/v1/tenants", `{"name":"x"}`, -1); status != 400 || !strings.Contains(body, "transfer_encoding") {
		t.Errorf("another body in chunks: %d %s", status, body)
	}
	if status, body := post("/v1/import", sample+strings.Repeat(" ", 2048), len(sample)+2048); status != 413 {
		t.Errorf("import over import-limit: %d %s", status, body)
	}
}

func TestTrustedProxyIsBelieved(t *testing.T) {
	r := start(t, map[string]string{"trusted-proxy": "127.0.0.0/8"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.plane("admin").url()+"/v1/tenants", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "198.51.100.7")
	req.SetBasicAuth("admin", "guess")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := r.log.String(); !strings.Contains(got, "from=198.51.100.7") || strings.Contains(got, "guess") {
		t.Errorf("the log does not have the client's address:\n%s", got)
	}
}
