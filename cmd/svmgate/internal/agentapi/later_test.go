package agentapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/discovery"
)

// putsOff is an API whose selector tells agents to ask again after so many seconds.
func putsOff(t *testing.T, seconds int) (*API, *Metrics) {
	metrics := new(Metrics)
	a := newAPI(t, newTable(t), Config{Metrics: metrics})
	decide := a.agents.decide
	a.agents.decide = func(q *discovery.Query, answer *discovery.Answer) {
		if decide(q, answer); answer.Result == discovery.Assigned {
			*answer = discovery.Answer{Result: discovery.Later, RefreshSeconds: seconds}
		}
	}
	return a, metrics
}

func TestAgentsArePutOff(t *testing.T) {
	for _, seconds := range []int{1, 7, 3960} {
		a, metrics := putsOff(t, seconds)
		ctx := call(a.Handler, "GET", "/v1/agents/"+vmOf(acme)+"/svm", "")
		var p struct {
			Status       int
			Code, Detail string
		}
		if err := json.Unmarshal(ctx.Response.Body(), &p); err != nil {
			t.Fatal(err)
		}
		h := &ctx.Response.Header
		if ctx.Response.StatusCode() != 429 || p.Status != 429 || p.Code != "too_many_requests" ||
			string(h.Peek("Retry-After")) != fmt.Sprint(seconds) || string(h.ContentType()) != "application/problem+json" ||
			string(h.Peek("Cache-Control")) != "no-store" {
			t.Errorf("%v", &ctx.Response)
		}

		// The lines of a batch are put off one by one.
		body := `{"biosId":"` + vmOf(acme) + `"}` + "\n" + `{"biosId":"` + vmOf(idle) + `"}` + "\n" + `{"biosId":"` + stranger + `"}` + "\n"
		got := lines(string(call(a.Handler, "POST", "/v1/agents/svm", body).Response.Body()))
		want := `{"biosId":"` + vmOf(acme) + `","error":{"code":"too_many_requests","detail":"` + tooManyDetail + `"},"refreshSeconds":` + fmt.Sprint(seconds) + `}`
		if len(got) != 3 || got[0] != want || !strings.Contains(got[1], `"result":"inactive"`) || !strings.Contains(got[2], "vm_not_registered") {
			t.Errorf("batch:\n%s\nwant first\n%s", strings.Join(got, "\n"), want)
		}
		metrics.Each(func(name, result string, value uint64) {
			want := uint64(0)
			switch name + " " + result {
			case "agent_requests_total later", "agent_requests_total batch", "agent_batch_lines_total later",
				"agent_batch_lines_total inactive", "agent_batch_lines_total not_registered":
				want = 1
			}
			if value != want {
				t.Errorf("%s %s = %d, want %d", name, result, value, want)
			}
		})
	}
}

// A storm is when it must cost least.
func TestPuttingOffDoesNotAllocate(t *testing.T) {
	skipIfRace(t)
	a, _ := putsOff(t, 30)
	ctx := call(a.Handler, "GET", "/v1/agents/"+vmOf(acme)+"/svm", "")
	if allocs := testing.AllocsPerRun(1000, func() { a.Handler(ctx) }); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
	line := `{"biosId":"` + vmOf(acme) + `"}` + "\n"
	few, many := batchAllocs(a, strings.Repeat(line, 200)), batchAllocs(a, strings.Repeat(line, 4000))
	if many > few+1 {
		t.Errorf("4,000 lines: %v allocations; 200 lines: %v", many, few)
	}
}
