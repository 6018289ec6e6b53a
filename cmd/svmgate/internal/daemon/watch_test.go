package daemon

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/store"
)

// tellState tells a gateway what an agent says of itself.
func (r *running) tellState(bios, token, body string) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPut, r.plane("agent").url()+"/v1/agents/"+bios+"/state", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// agentEvents returns the types of the events of agents, in order.
func (r *running) agentEvents() (types []string) {
	r.t.Helper()
	status, body := r.get("admin", "/v1/events?limit=1000", "admin:one")
	var page struct {
		Items []struct{ Type, VM string }
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 {
		r.t.Fatalf("%d %s: %v", status, body, err)
	}
	for _, e := range page.Items {
		if strings.HasPrefix(e.Type, "agent.") && e.VM == webBIOS {
			types = append(types, e.Type)
		}
	}
	slices.Sort(types)
	return types
}

// proven lets the agents of all tenants prove whose they are by the tenant's name, and
// deactivates acme.
func (r *running) proven() {
	r.t.Helper()
	err := r.assembly.table.Update(func(tx *store.Tx) error {
		for _, name := range []string{"acme", "shop"} {
			tenant, _ := tx.TenantByName(name)
			if _, err := tx.SetToken(store.Token{Tenant: tenant.ID, Current: auth.SumToken(name)}); err != nil {
				return err
			}
			if _, err := tx.SetActive(tenant.ID, name != "acme"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// What agents ask and tell over HTTP is told once, and counted.
func TestAgentsAreWatched(t *testing.T) {
	r := start(t, map[string]string{"sample": write(t, "s.json", sample), "admin-password": "one", "agent-auth": "token"})
	r.proven()
	question := "/v1/agents/" + webBIOS + "/svm"
	tell := func() {
		for range 3 {
			if status, body := r.get("agent", question, "acme"); status != 200 || !strings.Contains(body, `"inactive"`) {
				t.Fatalf("the agent is answered %d %s", status, body)
			}
			if status := r.tellState(webBIOS, "acme", `{"connectedTo":null,"updateFailed":true}`); status != 204 {
				t.Fatalf("its state is answered %d", status)
			}
			if status := r.tellState(webBIOS, "shop", `{"updateFailed":true}`); status != 404 {
				t.Fatalf("a state by another tenant's agent is answered %d", status)
			}
		}
	}
	want := []string{watch.AgentNoSVM, watch.AgentUpdateFailed}
	tell()
	eventually(t, "the agent's events are there", func() bool { return slices.Equal(r.agentEvents(), want) })
	tell()
	time.Sleep(5 * watch.Every)
	if got := r.agentEvents(); !slices.Equal(got, want) {
		t.Errorf("the events are %v, want %v", got, want)
	}
	_, metrics := r.get("ops", "/metrics", "")
	for _, line := range []string{
		`svmgate_events_total{type="agent.no_svm"} 1`, `svmgate_watch_notices_total{what="inactive"} 6`,
		`svmgate_watch_dropped_total{why="feed"} 0`, `svmgate_watch_told_total 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics do not have %s", line)
		}
	}
}

// Of two gateways one watches the VM, whichever its agent asks; and both tell of each other.
func TestGatewaysWatchTogether(t *testing.T) {
	flags := map[string]string{"sample": write(t, "s.json", sample), "admin-password": "one", "agent-auth": "token"}
	first := start(t, join("gw-1", flags))
	second := start(t, join("gw-2", map[string]string{"agent-auth": "token"}, first))
	first.proven()
	eventually(t, "the other gateway has the tokens", func() bool {
		status, _ := second.get("agent", "/v1/agents/"+webBIOS+"/svm", "acme")
		return status == 200
	})
	question := "/v1/agents/" + webBIOS + "/svm"
	for range 3 {
		for _, r := range []*running{first, second} {
			r.get("agent", question, "acme")
		}
	}
	for _, r := range []*running{first, second} {
		eventually(t, "both gateways have the event, once", func() bool { return slices.Equal(r.agentEvents(), []string{watch.AgentNoSVM}) })
	}
	written, joined := 0, 0
	for _, r := range []*running{first, second} {
		r.assembly.table.Events(store.Version{}, func(e *store.Event) bool {
			if r.assembly.table.Wrote(e.Version) && e.Type == watch.AgentNoSVM {
				written++
			}
			return true
		})
	}
	eventually(t, "each tells of the other", func() bool {
		joined = 0
		first.assembly.table.Events(store.Version{}, func(e *store.Event) bool {
			if e.Type == watch.MemberJoined {
				joined++
			}
			return true
		})
		return joined == 2
	})
	if written != 1 {
		t.Errorf("the event was written %d times", written)
	}
}
