package daemon

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
	"github.com/svmgate/svmgate/store"
)

// A pollster is a connection on which a question waits.
type pollster struct {
	r    *running
	conn net.Conn
	sent time.Time
}

// poll begins to wait for another answer than the present one.
func (r *running) poll(plane, user string) *pollster {
	r.t.Helper()
	before := r.assembly.agents.WaitStats().Waiting
	status, body := r.get(plane, "/v1/agents/"+webBIOS+"/svm", user)
	revision := regexp.MustCompile(`"revision":(\d+)`).FindStringSubmatch(body)
	if status != 200 || revision == nil {
		r.t.Fatalf("%d %s", status, body)
	}
	conn, err := net.Dial("tcp", r.plane(plane).listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	if r.plane(plane).listener.TLS != nil {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	header := ""
	if user != "" {
		header = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user)) + "\r\n"
	}
	fmt.Fprintf(conn, "GET /v1/agents/%s/svm?wait=5m&revision=%s HTTP/1.1\r\nHost: a\r\n%s\r\n", webBIOS, revision[1], header)
	wait(r.t, func() bool { return r.assembly.agents.WaitStats().Waiting == before+1 })
	return &pollster{r, conn, time.Now()}
}

// answered reads the answer.
func (p *pollster) answered() string {
	p.r.t.Helper()
	buf := make([]byte, 4096)
	n, err := p.conn.Read(buf)
	if err != nil {
		p.r.t.Errorf("after %v: %v", time.Since(p.sent), err)
	}
	return string(buf[:n])
}

// From the change of an administrator to the agent that waits, over the network.
func TestWaitingAgentLearnsAtOnce(t *testing.T) {
	r := start(t, map[string]string{"sample": write(t, "s.json", sample), "admin-password": "one"})
	agent, admin := r.poll("agent", ""), r.poll("admin", "admin:one")
	changed := time.Now()
	tenant, _ := r.assembly.table.TenantByName("acme")
	if err := r.assembly.table.Update(func(tx *store.Tx) error { _, err := tx.SetActive(tenant.ID, false); return err }); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*pollster{agent, admin} {
		if got := p.answered(); !strings.Contains(got, "200 OK") || !strings.Contains(got, `"inactive"`) {
			t.Errorf("the answer is %q", got)
		}
	}
	if took := time.Since(changed); took > time.Second {
		t.Errorf("it took %v", took)
	}
	_, metrics := r.get("ops", "/metrics", "")
	for _, want := range []string{"svmgate_agent_waiting 0\n", `svmgate_agent_waits_total{end="changed"} 2` + "\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

// An account that is no longer what it was gets no answer that it began to wait for.
func TestWaitEndsWithTheAccount(t *testing.T) {
	for name, change := range map[string]func(tx *store.Tx, a store.Account) (bool, error){
		"deleted":      func(tx *store.Tx, a store.Account) (bool, error) { return tx.DeleteAccount(a.Name) },
		"another role": func(tx *store.Tx, a store.Account) (bool, error) { a.Role = store.RoleSVM; return tx.PutAccount(a) },
		"password":     func(tx *store.Tx, a store.Account) (bool, error) { a.Hash += "x"; return tx.PutAccount(a) },
	} {
		r := start(t, map[string]string{"sample": write(t, "s.json", sample), "admin-password": "one"})
		p := r.poll("admin", "admin:one")
		err := r.assembly.table.Update(func(tx *store.Tx) error {
			a, _ := tx.Account("admin")
			other := a
			other.Name = "other" // there must be an administrator
			if _, err := tx.PutAccount(other); err != nil {
				return err
			}
			_, err := change(tx, a)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		changed := time.Now()
		if got := p.answered(); !strings.Contains(got, " 401 ") || !strings.Contains(got, "Www-Authenticate") || strings.Contains(got, "assigned") {
			t.Errorf("%s: the answer is %q", name, got)
		}
		if took := time.Since(changed); took > 2*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// Nobody waits longer for a gateway that stops than it takes to say so.
func TestWaitsEndWithTheGateway(t *testing.T) {
	r := start(t, map[string]string{"sample": write(t, "s.json", sample), "shutdown-timeout": "1m"})
	p := r.poll("agent", "")
	began := time.Now()
	r.stop()
	if got := p.answered(); !strings.Contains(got, "200 OK") || !strings.Contains(got, "Connection: close") || !strings.Contains(got, `"assigned"`) {
		t.Errorf("the answer is %q", got)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
	if strings.Contains(r.log.String(), "cut off") {
		t.Errorf("the log:\n%s", &r.log)
	}
}

// A client that has gone makes room, whatever lies between it and the server.
func TestWaitsEndWithTheirClients(t *testing.T) {
	plain := start(t, map[string]string{"sample": write(t, "s.json", sample)})
	secure, ca := tlsSite(t, map[string]string{"sample": write(t, "s.json", sample)})
	secure.as(ca, &tlstest.Leaf{})
	for _, r := range []*running{plain, secure} {
		p := r.poll("agent", "")
		if tcp, ok := p.conn.(*net.TCPConn); ok { // it may still read
			if err := tcp.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := p.answered(); !strings.Contains(got, `"assigned"`) || !strings.Contains(got, "Connection: close") {
				t.Errorf("the answer is %q", got)
			}
			if _, err := p.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("behind it: %v", err)
			}
		}
		p.conn.Close()
		wait(t, func() bool { return r.assembly.agents.WaitStats().Waiting == 0 })
		if s := r.assembly.agents.WaitStats(); s.Gone != 1 || s.Timeout != 0 {
			t.Errorf("%+v", s)
		}
	}
}
