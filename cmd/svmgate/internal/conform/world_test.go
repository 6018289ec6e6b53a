package conform

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

// base is the path of the Integration Server's API.
const base = "/api/2.0/virtualization"

// A setting is how the gateways of a world stand to Kaspersky Security Center, and
// whether they collect periods of protection.
type setting string

const (
	recorded   setting = ""           // --ksc none: virtual servers are recorded only
	unset      setting = "unset"      // nothing said of KSC
	silent     setting = "slow"       // a KSC that takes connections and never answers
	collecting setting = "collecting" // as recorded; periods of protection are collected
)

// A world is where cases happen: gateways with one table, an SVM, accounts, and an
// address at which a client finds them.
type world struct {
	setting  setting
	url      string // of the management plane, or of the proxy in front
	client   *http.Client
	ca       *tlstest.Authority // of all that it asks
	gateways []*gateway
	asked    atomic.Int64 // whose turn it is among the agents' gateways
}

// svmAddress is where the only SVM of a world is, and deadAddress where there is none.
const svmAddress, deadAddress = "10.9.0.7", "192.0.2.1"

// svmID is the id of that SVM.
const svmID = "5e000000-0000-4000-8000-000000000001"

// roles are the accounts of every world, by the role that is also their name.
var roles = []string{"admin", "multitenancy", "viewer", "svm"}

func passwordOf(role string) string { return "password of " + role }

// newWorld starts what a world needs; await makes it ready.
func newWorld(t *testing.T, how setting, behindProxy bool) *world {
	t.Helper()
	var args []string
	switch how {
	case recorded:
		args = []string{"--ksc=none"}
	case collecting:
		args = []string{"--ksc=none", "--protection-reports=true"}
	case silent:
		args = silentKSC(t)
	}
	gateways := 1
	switch {
	case behindProxy && how == recorded:
		gateways = 3
	case behindProxy: // fewer cases, that need no more than somebody else
		gateways = 2
	}
	w := startGateways(t, gateways, args...)
	w.setting = how
	return w
}

// startWorld is newWorld for gateways with other settings.
func startWorld(t *testing.T, behindProxy bool, args ...string) *world {
	t.Helper()
	if behindProxy {
		return startGateways(t, 3, args...)
	}
	return startGateways(t, 1, args...)
}

func startGateways(t *testing.T, n int, args ...string) *world {
	t.Helper()
	ca, err := tlstest.NewAuthority("conform")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ca: ca}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	w.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 16, ExpectContinueTimeout: time.Second,
	}}
	if n > 1 {
		w.gateways = launchCluster(t, ca, n, args...)
	} else {
		w.gateways = []*gateway{launch(t, "g1", ca, args...)}
	}
	return w
}

// await returns once every gateway of the world serves all accounts and the SVM.
func (w *world) await(t *testing.T, behindProxy bool) {
	t.Helper()
	for _, g := range w.gateways {
		g.await(t)
	}
	w.url = w.gateways[0].admin
	w.manage(t, "PUT", "/v1/svms/"+svmID, map[string]any{
		"name": "svm1", "address": svmAddress, "version": "6.0", "pinned": true,
		"license": map[string]any{"state": "valid", "key": "core"},
	})
	for _, role := range roles[1:] {
		user := map[string]any{"name": role, "role": role, "password": passwordOf(role)}
		if role == "svm" {
			user["svms"] = []string{svmID}
		}
		w.manage(t, "POST", "/v1/users", user)
	}
	w.everywhere(t, "/v1/users/svm")
	if behindProxy {
		w.url = w.proxy(t)
	}
}

// everywhere returns once every gateway has what is at a path of the management plane.
func (w *world) everywhere(t *testing.T, path string) {
	t.Helper()
	for _, g := range w.gateways {
		poll(t, func() error {
			if status, text := w.ask(t, "GET", g.admin+path, "admin", nil); status != 200 {
				return fmt.Errorf("%s: %s: %d %s", g.name, path, status, text)
			}
			return nil
		})
	}
}

// manage calls the management plane of the first gateway, which must succeed.
func (w *world) manage(t *testing.T, method, path string, body any) []byte {
	t.Helper()
	status, text := w.ask(t, method, w.gateways[0].admin+path, "admin", body)
	if status < 200 || status > 299 {
		t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// ask sends JSON (a string: lines of it) in the name of a role.
func (w *world) ask(t *testing.T, method, url, role string, body any) (status int, text []byte) {
	t.Helper()
	content := "application/json"
	var b []byte
	switch body := body.(type) {
	case nil:
	case string:
		b, content = []byte(body), "application/x-ndjson"
	default:
		var err error
		if b, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(role, passwordOf(role))
	if b != nil {
		req.Header.Set("Content-Type", content)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

// agent asks the agent plane, of each gateway in turn, for the first SVM of a VM.
func (w *world) agent(t *testing.T, biosID string) (address string) {
	t.Helper()
	g := w.gateways[int(w.asked.Add(1))%len(w.gateways)]
	status, text := w.ask(t, "GET", g.agent+"/v1/agents/"+biosID+"/svm", "multitenancy", nil)
	var answer struct{ SVMs []struct{ Address string } }
	if err := json.Unmarshal(text, &answer); err != nil || status != 200 || len(answer.SVMs) == 0 {
		return fmt.Sprintf("%s: %d %s", g.name, status, text)
	}
	return answer.SVMs[0].Address
}

// proxy starts a proxy that sends each request to another gateway than the one
// before, and returns its URL.
func (w *world) proxy(t *testing.T) string {
	t.Helper()
	var targets []*url.URL
	for _, g := range w.gateways {
		u, err := url.Parse(g.admin)
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, u)
	}
	var turn atomic.Int64
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(targets[int(turn.Add(1))%len(targets)])
			r.SetXForwarded()
		},
		Transport: w.client.Transport,
		ErrorLog:  log.New(io.Discard, "", 0), // the client sees 502
	})
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := w.ca.Write(certFile, keyFile, tlstest.Leaf{Name: "proxy"}); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// silentKSC returns the arguments of a gateway whose KSC takes connections and says
// nothing.
func silentKSC(t *testing.T) []string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			// Until the client has had enough: it must not wait for the listener to close.
			time.AfterFunc(patience, func() { _ = conn.Close() })
		}
	}()
	return []string{"--ksc=https://" + ln.Addr().String(), "--ksc-credentials=" + credentials(t), "--ksc-timeout=5s"}
}

// credentials writes the account by which a gateway would log in to a KSC.
func credentials(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ksc")
	if err := os.WriteFile(file, []byte("default: {user: gateway, password: gateway-secret}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
