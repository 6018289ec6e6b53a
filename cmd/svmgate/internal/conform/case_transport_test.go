package conform

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"strings"
)

// transportCases are about the way, whatever is called.
func transportCases() []test {
	return []test{
		{name: "plain HTTP is not served", lines: "http.tls", talk: talk{do(plainHTTP)}},
		{name: "the port is 7271", lines: "http.port", alone: true, talk: talk{do(defaultPort)}},
		{name: "without credentials", lines: "http.basic http.401", talk: talk{
			call("GET /tenants").as("nobody").is(401).having("WWW-Authenticate: Basic"),
		}},
		{name: "with a wrong password", lines: "http.basic http.401", talk: talk{
			call("GET /tenants").as("mistaken").is(401).having("WWW-Authenticate: Basic"),
		}},
		{name: "with an account that is not there", lines: "http.basic http.401", talk: talk{
			call("GET /tenants").as("stranger").is(401).having("WWW-Authenticate: Basic"),
		}},
		{name: "credentials on one call are none on the next", lines: "http.basic", talk: talk{
			call("GET /tasks").is(200),
			call("GET /tasks").as("nobody").is(401),
		}},
		{name: "credentials that are not base64", lines: "http.basic http.401", talk: talk{
			call("GET /tenants").with("Authorization: Basic ???").as("nobody").is(401),
		}},
		{name: "another scheme", lines: "http.basic http.401", talk: talk{
			call("GET /tenants").with("Authorization: Bearer abc").as("nobody").is(401),
		}},
		{name: "multitenancy may do all of this and nothing else", lines: "http.account", talk: talk{
			call("GET /tenants").is(200),
			call("GET /v1/tenants").is(403).notXML(),
			call("GET /v1/users").is(403).notXML(),
		}},
		{name: "admin may do all of this", lines: "http.account", talk: talk{
			call("POST /tenants", simpleBody).as("admin").completes("CreateTenant", named(simple("Inactive"))),
			call("GET /tenants/$t").as("admin").is(200, simple("Inactive")),
			call("DELETE /tenants/$t").as("admin").starts("DeleteTenant"),
		}},
		{name: "a path that is not there", lines: "http.error", talk: talk{
			call("GET /nothing").is(404, anyFailure),
			call("GET /tenants/$nobody/nothing").is(404, anyFailure),
			call("POST /reports").is(404, anyFailure),
			call("GET /").is(404, anyFailure),
		}},
		{name: "HEAD is GET without the body", lines: "http.405", talk: talk{
			aSimple,
			call("HEAD /tenants/$t").is(200).nothing().having("Content-Type: application/xml"),
			call("HEAD /tenants").is(200).nothing(),
			call("HEAD /tasks/$task").is(200).nothing(),
			call("HEAD /tenants/$nobody").is(404).nothing(),
		}},
		{name: "parameters that no document names", lines: "http.query", talk: talk{
			call("GET /tenants?limit=1&colour=red").is(200).listing(`<tenant id="$t:uuid" created="$:any" updated="$:any">` +
				`<name>$:any</name><description>$:any</description><userData>$:any</userData><vKsc>$:any</vKsc><status>$:status</status><type>$:text</type></tenant>`),
			aSimple,
			call("GET /tenants/$t?expand=true").is(200, simple("Inactive")),
		}},
		{name: "an answer is not kept by caches", lines: "tenants.200", talk: talk{
			call("GET /tenants").is(200).having("Cache-Control: no-store"),
		}},
		{name: "a client that accepts anything, or XML", lines: "http.xml", talk: talk{
			call("GET /tenants").with("Accept: */*").is(200),
			call("GET /tenants").with("Accept: application/xml").is(200),
			call("GET /tenants").with("Accept: text/html, application/xml;q=0.9").is(200),
		}},
		{name: "a client that asks before it sends a body", lines: "http.xml", talk: talk{
			call("POST /tenants", simpleBody).with("Expect: 100-continue").completes("CreateTenant", named(simple("Inactive"))),
		}},
		{name: "a client that is asked for its account", lines: "http.basic http.401", talk: talk{
			call("POST /tenants", simpleBody).as("nobody").is(401).having("WWW-Authenticate: Basic realm="),
			call("POST /tenants", simpleBody).completes("CreateTenant", named(simple("Inactive"))),
		}},
		{name: "a body of no stated length", lines: "http.xml", talk: talk{
			call("POST /tenants", simpleBody).inChunks().completes("CreateTenant", named(simple("Inactive"))),
		}},
	}
}

// plainHTTP speaks HTTP to the port of HTTPS.
func plainHTTP(c *client) {
	req, err := http.NewRequestWithContext(c.Context(), "GET", strings.Replace(c.url, "https://", "http://", 1)+base+"/tenants", nil)
	if err != nil {
		c.Fatal(err)
	}
	req.SetBasicAuth("multitenancy", passwordOf("multitenancy"))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return // nor answered
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode < 400 || bytes.Contains(text, []byte("<tenants")) {
		c.Errorf("plain HTTP is answered: %d %s", resp.StatusCode, text)
	}
}

func defaultPort(c *client) {
	out, err := exec.CommandContext(c.Context(), program, "config", "print").Output()
	if err != nil {
		c.Fatal(err)
	}
	if !bytes.Contains(out, []byte("127.0.0.1:7271")) {
		c.Errorf("the settings are\n%s\nwant 127.0.0.1:7271 among them", out)
	}
}

// calls are all calls, with ids of nothing, each with the lines of its 403 and the
// methods that its path knows.
var calls = []struct{ line, forbidden, allow string }{
	{"GET /tenants", "http.account", "GET, HEAD, POST"},
	{"POST /tenants", "create.403", "GET, HEAD, POST"},
	{"GET /tenants/$nobody", "tenant.403", "GET, HEAD, DELETE"},
	{"DELETE /tenants/$nobody", "delete.403", "GET, HEAD, DELETE"},
	{"POST /tenants/$nobody/activate", "activate.403", "POST"},
	{"POST /tenants/$nobody/deactivate", "deactivate.403", "POST"},
	{"GET /tenants/$nobody/vms", "vms.403", "GET, HEAD"},
	{"POST /tenants/$nobody/vms/register", "register.403", "POST"},
	{"POST /tenants/$nobody/vms/unregister?biosId=$bios1", "unregister.403", "POST"},
	{"POST /reports/tenants", "report.403", "POST"},
	{"GET /reports/tenants/$nobody", "report.403", "GET, HEAD"},
	{"GET /tasks", "tasks.403", "GET, HEAD"},
	{"GET /tasks/$nobody", "task.403", "GET, HEAD"},
	{"POST /tasks/$nobody/cancel", "cancel.403", "POST"},
}

// accessCases ask every call who may, and every path which methods it knows.
func accessCases() (list []test) {
	seen := map[string]bool{}
	for _, call := range calls {
		_, path, _ := strings.Cut(call.line, " ")
		list = append(
			list,
			test{name: call.line + ", nobody", lines: "http.basic http.401", talk: denied(call.line, "nobody", 401)},
			test{name: call.line + ", a viewer", lines: call.forbidden, talk: denied(call.line, "viewer", 403)},
			test{name: call.line + ", an SVM", lines: call.forbidden, talk: denied(call.line, "svm", 403)},
		)
		if !seen[path] {
			list = append(list, test{name: path + ", other methods", lines: "http.405", talk: otherMethods(path, call.allow)})
		}
		seen[path] = true
	}
	return list
}

func denied(line, user string, status int) talk {
	e := call(line)
	if strings.HasPrefix(line, "POST /tenants") {
		e = call(line, simpleBody)
	}
	return talk{e.as(user).is(status, anyFailure)}
}

func otherMethods(path, allow string) (t talk) {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if !strings.Contains(allow, method) {
			t = append(t, call(method+" "+path).is(405, anyFailure).having("Allow: "+allow))
		}
	}
	return t
}
