package agentapi

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/store"
)

// taken takes what a feed has.
func taken(f *watch.Feed) []watch.Notice { return f.Take(make([]watch.Notice, 0, 100)) }

// tell sends a state as JSON.
func tell(a *API, vm, body string, headers ...string) *fasthttp.RequestCtx {
	return call(a.Handler, "PUT", "/v1/agents/"+vm+"/state", body, append(headers, "Content-Type", "application/json")...)
}

func notice(tenant int, what watch.What) watch.Notice {
	return watch.Notice{VM: id(100 + tenant), What: what}
}

// What an answer says of an agent is noted, and what the agent says of its connection
// where it proves whose it is; for one question and for a line alike. Most say nothing.
func TestAnswersAreNoted(t *testing.T) {
	tests := []struct {
		name     string
		tenant   int
		question string
		line     string // the same as fields of a line
		want     []watch.What
	}{
		{"an SVM is found", acme, "", "", nil},
		{"an inactive complete tenant", idle, "", "", []watch.What{watch.Inactive}},
		{"an inactive simple tenant", simple, "", "", nil},
		{"no SVM", tagged, "", "", []watch.What{watch.NoSVM}},
		{"over capacity", full, "", "", nil},
		{"it has an SVM", acme, "?current=" + svmOf(acme), `,"current":"` + svmOf(acme) + `"`, []watch.What{watch.Connected}},
		{"it has one that is not in the table", acme, "?current=" + svmOf(99), `,"current":"` + svmOf(99) + `"`, []watch.What{watch.Connected}},
		{"it has none", acme, "?current=", `,"current":""`, []watch.What{watch.Disconnected}},
		{"it has none, of an inactive tenant", idle, "?current=", `,"current":""`, []watch.What{watch.Inactive, watch.Disconnected}},
		{"a bad question", idle, "?limit=0", `,"limit":0`, nil},
	}
	table := newTable(t)
	for n := acme; n <= open; n++ {
		setToken(t, table, n, tokenOf(n))
	}
	for _, tt := range tests {
		for _, cfg := range []Config{{Auth: Token, Connections: true}, {Auth: Token}, {Auth: None, Connections: true}} {
			var want []watch.Notice
			for _, what := range tt.want {
				if what < watch.Connected || cfg.Auth == Token && cfg.Connections {
					want = append(want, notice(tt.tenant, what))
				}
			}
			cfg.Feed = watch.NewFeed()
			a := newAPI(t, table, cfg)
			ask := func(h fasthttp.RequestHandler) {
				call(h, "GET", "/v1/agents/"+vmOf(tt.tenant)+"/svm"+tt.question, "", "Authorization", "Bearer "+tokenOf(tt.tenant))
			}
			askLine := func(h fasthttp.RequestHandler) {
				ctx := call(h, "POST", "/v1/agents/svm", `{"biosId":"`+vmOf(tt.tenant)+`"`+tt.line+`}`, "Authorization", "Bearer "+tokenOf(tt.tenant))
				ctx.Response.Body()
			}
			if ask(a.Handler); !slices.Equal(taken(cfg.Feed), want) {
				t.Errorf("%s, auth %v: want %v to be noted", tt.name, cfg.Auth, want)
			}
			if askLine(a.Handler); !slices.Equal(taken(cfg.Feed), want) {
				t.Errorf("%s, auth %v, in a line: want %v to be noted", tt.name, cfg.Auth, want)
			}
			ask(asAdmin(a))
			askLine(asAdmin(a))
			if got := taken(cfg.Feed); len(got) > 0 {
				t.Errorf("%s: an administrator asked, and noted is %v", tt.name, got)
			}
		}
	}
}

// What is not a state is refused, with what is wrong and what is allowed; what it says
// is noted, and what it leaves out is not.
func TestState(t *testing.T) {
	table := newTable(t)
	setToken(t, table, acme, tokenOf(acme))
	feed := watch.NewFeed()
	a := newAPI(t, table, Config{Auth: Token, Feed: feed, Connections: true})
	bearer := []string{"Authorization", "Bearer " + tokenOf(acme)}
	tests := []struct {
		name, vm, body string
		status         int
		says           string // in the answer
		want           []watch.What
	}{
		{"connected", vmOf(acme), `{"connectedTo":"` + svmOf(acme) + `"}`, 204, "", []watch.What{watch.Connected}},
		{"to an SVM that is not in the table", vmOf(acme), ` { "connectedTo" : "` + svmOf(99) + `" } `, 204, "", []watch.What{watch.Connected}},
		{"to none", vmOf(acme), `{"connectedTo":null}`, 204, "", []watch.What{watch.Disconnected}},
		{"to that which does not exist", vmOf(acme), `{"connectedTo":"00000000-0000-0000-0000-000000000000"}`, 204, "", []watch.What{watch.Disconnected}},
		{"an update failed", vmOf(acme), `{"updateFailed":true}`, 204, "", []watch.What{watch.UpdateFailed}},
		{"none failed", vmOf(acme), `{"updateFailed":false}`, 204, "", nil},
		{"both", vmOf(acme), `{"updateFailed":true,"connectedTo":null}`, 204, "", []watch.What{watch.UpdateFailed, watch.Disconnected}},
		{"nothing", vmOf(acme), `{}`, 204, "", nil},
		{"a name with an escape", vmOf(acme), `{"update\u0046ailed":true}`, 204, "", []watch.What{watch.UpdateFailed}},
		{"the other byte order", store.BIOSID(id(100+acme)).Swapped().String() + "?", `{"updateFailed":true}`, 204, "", []watch.What{watch.UpdateFailed}},

		{"another tenant's VM", vmOf(idle), `{"updateFailed":true}`, 404, "vm_not_registered", nil},
		{"no VM", stranger, `{"updateFailed":true}`, 404, "vm_not_registered", nil},
		{"a bad id", "x", `{}`, 400, "invalid_id", nil},
		{"a parameter of questions", vmOf(acme) + "?limit=1", `{}`, 400, "biosIdOrder", nil},
		{"an unknown parameter", vmOf(acme) + "?x=1", `{}`, 400, `\"x\"`, nil},
		{"no body", vmOf(acme), ``, 400, "invalid_json", nil},
		{"an array", vmOf(acme), `[]`, 400, "invalid_json", nil},
		{"two objects", vmOf(acme), `{}{}`, 400, "invalid_json", nil},
		{"a cut object", vmOf(acme), `{"updateFailed":true`, 400, "invalid_json", nil},
		{"a comma too many", vmOf(acme), `{"updateFailed":true,}`, 400, "invalid_json", nil},
		{"no comma", vmOf(acme), `{"updateFailed":true "connectedTo":null}`, 400, "invalid_json", nil},
		{"not UTF-8", vmOf(acme), "{\"connectedTo\":\"\xff\"}", 400, "UTF-8", nil},
		{"an unknown field", vmOf(acme), `{"updatefailed":true}`, 400, `\"updatefailed\" is unknown; known are`, nil},
		{"a field twice", vmOf(acme), `{"updateFailed":true,"updateFailed":true}`, 400, "twice", nil},
		{"a word", vmOf(acme), `{"updateFailed":"true"}`, 400, `updateFailed \"\\\"true\\\"\": want true or false`, nil},
		{"a number", vmOf(acme), `{"updateFailed":1}`, 400, "updateFailed", nil},
		{"updateFailed null", vmOf(acme), `{"updateFailed":null}`, 400, "updateFailed", nil},
		{"connectedTo true", vmOf(acme), `{"connectedTo":true}`, 400, "connectedTo", nil},
		{"connectedTo an object", vmOf(acme), `{"connectedTo":{}}`, 400, "connectedTo", nil},
		{"connectedTo no id", vmOf(acme), `{"connectedTo":"svm-1"}`, 400, `connectedTo \"svm-1\": want the id of an SVM`, nil},
		{"what is wrong comes before whose VM it is", vmOf(idle), `{"x":1}`, 400, "unknown_field", nil},
		{"too long", vmOf(acme), `{"connectedTo":null` + strings.Repeat(" ", MaxLineBytes) + `}`, 413, "4096", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, query, found := strings.Cut(tt.vm, "?")
			if found && query == "" {
				query = "biosIdOrder=swapped"
			}
			ctx := call(a.Handler, "PUT", "/v1/agents/"+path+"/state?"+query, tt.body, append(bearer, "Content-Type", "application/json; charset=utf-8")...)
			body := string(ctx.Response.Body())
			if got := ctx.Response.StatusCode(); got != tt.status || !strings.Contains(body, tt.says) {
				t.Errorf("got %d %s\nwant %d with %s", got, body, tt.status, tt.says)
			}
			if tt.status == 204 && body != "" {
				t.Errorf("204 with a body: %q", body)
			}
			var want []watch.Notice
			for _, what := range tt.want {
				want = append(want, notice(acme, what))
			}
			if got := taken(feed); !slices.Equal(got, want) {
				t.Errorf("noted is %v, want %v", got, want)
			}
		})
	}
}

// A state is taken from who proves whose it is, and nobody else; and a question of the
// same agent is answered with the same 404.
func TestStateNeedsProof(t *testing.T) {
	table := newTable(t)
	setToken(t, table, acme, tokenOf(acme))
	feed := watch.NewFeed()
	const body = `{"updateFailed":true}`
	open := newAPI(t, table, Config{Feed: feed, Connections: true})
	if ctx := tell(open, vmOf(acme), body); ctx.Response.StatusCode() != 403 || !strings.Contains(string(ctx.Response.Body()), "--agent-auth token or mtls") {
		t.Errorf("with nobody authenticated: %d %s", ctx.Response.StatusCode(), ctx.Response.Body())
	}
	a := newAPI(t, table, Config{Auth: Token, Feed: feed})
	if ctx := tell(a, vmOf(acme), body); ctx.Response.StatusCode() != 401 {
		t.Errorf("without a token: %d, want 401", ctx.Response.StatusCode())
	}
	if ctx := call(a.Handler, "PUT", "/v1/agents/"+vmOf(acme)+"/state", body, "Authorization", "Bearer "+tokenOf(acme), "Content-Type", "text/plain"); ctx.Response.StatusCode() != 415 {
		t.Errorf("as text: %d, want 415", ctx.Response.StatusCode())
	}
	if ctx := call(asAdmin(a), "PUT", "/v1/agents/"+vmOf(acme)+"/state", body, "Content-Type", "application/json"); ctx.Response.StatusCode() != 404 {
		t.Errorf("an administrator's: %d, want 404", ctx.Response.StatusCode())
	}
	for _, vm := range []string{vmOf(idle), stranger} {
		state := tell(a, vm, body, "Authorization", "Bearer "+tokenOf(acme))
		question := call(a.Handler, "GET", "/v1/agents/"+vm+"/svm", "", "Authorization", "Bearer "+tokenOf(acme))
		if got, want := state.Response.String(), question.Response.String(); got != want {
			t.Errorf("a state of VM %s is answered\n%s\nwant, as a question,\n%s", vm, got, want)
		}
	}
	if got := taken(feed); len(got) > 0 {
		t.Errorf("noted is %v, want nothing", got)
	}
}

// What is acknowledged is not lost: a state for which there is no room is not taken.
func TestStateIsNotTakenIfThereIsNoRoom(t *testing.T) {
	table := newTable(t)
	setToken(t, table, acme, tokenOf(acme))
	feed := watch.NewFeed()
	a := newAPI(t, table, Config{Auth: Token, Feed: feed, Connections: true})
	for feed.Note(id(1), watch.NoSVM) {
		continue
	}
	for _, body := range []string{`{"updateFailed":true}`, `{"connectedTo":null}`} {
		ctx := tell(a, vmOf(acme), body, "Authorization", "Bearer "+tokenOf(acme))
		if ctx.Response.StatusCode() != 503 || len(ctx.Response.Header.Peek("Retry-After")) == 0 {
			t.Errorf("%s: %d, want 503 with Retry-After", body, ctx.Response.StatusCode())
		}
	}
	taken(feed)
	if ctx := tell(a, vmOf(acme), `{"updateFailed":true}`, "Authorization", "Bearer "+tokenOf(acme)); ctx.Response.StatusCode() != 204 {
		t.Errorf("with room again: %d, want 204", ctx.Response.StatusCode())
	}
}

// FuzzState: what is taken is JSON, and says what encoding/json reads.
func FuzzState(f *testing.F) {
	for _, body := range []string{`{}`, `{"connectedTo":null,"updateFailed":true}`, `{"connectedTo":"` + svmOf(1) + `"}`, `{"updateFailed":fal}`, `[`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		told, bad := new(scratch).readStateBody(body)
		if bad != nil || !utf8.Valid(body) {
			return
		}
		var want struct {
			ConnectedTo  *store.SVMID `json:"connectedTo"`
			UpdateFailed bool         `json:"updateFailed"`
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q is taken, and is not what is asked for: %v", body, err)
		}
		var got, wanted store.SVMID
		if told.connectedTo != nil {
			got = *told.connectedTo
		}
		if want.ConnectedTo != nil {
			wanted = *want.ConnectedTo
		}
		if got != wanted || told.updateFailed != want.UpdateFailed {
			t.Fatalf("%q is read as %s, %t; want %s, %t", body, got, told.updateFailed, wanted, want.UpdateFailed)
		}
	})
}
