package adminapi

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/routing"
)

func TestDocumentIsValid(t *testing.T) {
	doc := document(t)
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("openapi is %q, want 3.1", doc.OpenAPI)
	}
	if err := doc.Validate(context.Background(), openapi3.EnableMultiError()); err != nil {
		t.Error(err)
	}
}

func TestEveryRouteIsDocumented(t *testing.T) {
	var served, documented []string
	for _, r := range routes {
		served = append(served, r.method+" "+r.pattern)
	}
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	for _, r := range served {
		if !slices.Contains(documented, r) {
			t.Errorf("%s is served and not documented", r)
		}
	}
	for _, r := range documented {
		if !slices.Contains(served, r) {
			t.Errorf("%s is documented and not served", r)
		}
	}
	if len(routes) > 60 {
		t.Errorf("%d routes; the router walks them all, so 60 are the most", len(routes))
	}
}

// TestParametersAreDocumented compares what a route reads with what the document
// says it reads.
func TestParametersAreDocumented(t *testing.T) {
	doc := document(t)
	for _, r := range routes {
		item := doc.Paths.Value(r.pattern)
		op := item.GetOperation(r.method)
		var query, path []string
		for _, p := range slices.Concat(item.Parameters, op.Parameters) {
			switch p.Value.In {
			case "query":
				query = append(query, p.Value.Name)
			case "path":
				path = append(path, "{"+p.Value.Name+"}")
			}
		}
		want := slices.Clone(r.query)
		if r.foreign && r.method == "GET" {
			want = append(slices.Clone(agentQuery), "wait", "revision")
		}
		slices.Sort(want)
		slices.Sort(query)
		if !slices.Equal(query, want) {
			t.Errorf("%s %s: documented parameters %v, want %v", r.method, r.pattern, query, want)
		}
		for _, s := range routing.Pattern(r.pattern).Segments() {
			if s[0] == '{' && !slices.Contains(path, s) {
				t.Errorf("%s %s: path parameter %s is not documented", r.method, r.pattern, s)
			}
		}
	}
}

func TestLintDocument(t *testing.T) {
	doc := document(t)
	ids := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			what := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] != "" {
				t.Errorf("%s: operationId %q is empty or also that of %s", what, op.OperationID, ids[op.OperationID])
			}
			ids[op.OperationID] = what
			if op.Summary == "" || strings.HasSuffix(op.Summary, ".") {
				t.Errorf("%s: summary %q must be there, without full stop", what, op.Summary)
			}
			if len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s: tags %v, want one that is declared", what, op.Tags)
			}
			for _, status := range wantedErrors(method, path, op) {
				if op.Responses.Value(status) == nil {
					t.Errorf("%s: status %s is not documented", what, status)
				}
			}
			for status, response := range op.Responses.Map() {
				if *response.Value.Description == "" {
					t.Errorf("%s: status %s has no description", what, status)
				}
				if status[0] >= '4' && response.Value.Content.Get("application/problem+json") == nil {
					t.Errorf("%s: status %s is not a problem", what, status)
				}
			}
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				if p.Value.Description == "" {
					t.Errorf("%s: parameter %s has no description", what, p.Value.Name)
				}
			}
		}
	}
	for name, schema := range doc.Components.Schemas {
		lintSchema(t, name, schema)
	}
}

// wantedErrors are the errors that an operation must tell of.
func wantedErrors(method, path string, op *openapi3.Operation) []string {
	wanted := []string{"400", "401", "403", "500", "503"}
	if strings.Contains(path, "{") && method != "PUT" {
		wanted = append(wanted, "404")
	}
	if method != "GET" {
		wanted = append(wanted, "413", "415")
		if !strings.HasPrefix(path, "/v1/agents/") && path != whatIfPath { // which write nothing
			wanted = append(wanted, "507")
		}
	}
	for _, p := range op.Parameters {
		if p.Value.Name == "If-Match" {
			wanted = append(wanted, "412")
		}
	}
	return wanted
}

// lintSchema wants a description of every schema and property, and objects that
// say all they have.
func lintSchema(t *testing.T, name string, ref *openapi3.SchemaRef) {
	s := ref.Value
	if s.Description == "" {
		t.Errorf("schema %s has no description", name)
	}
	if s.Type.Includes("object") && len(s.Properties) > 0 && ref.Ref == "" {
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			t.Errorf("schema %s admits properties that it does not have", name)
		}
		for _, r := range s.Required {
			if s.Properties[r] == nil {
				t.Errorf("schema %s requires %s, which it does not have", name, r)
			}
		}
	}
	for p, prop := range s.Properties {
		lintSchema(t, name+"."+p, prop)
	}
	if s.Type.Includes("array") && s.Items == nil {
		t.Errorf("schema %s says nothing of its items", name)
	}
}

// TestRoutesOfLaterReleases watches that names which are reserved answer 404 and
// are promised to nobody.
func TestRoutesOfLaterReleases(t *testing.T) {
	g := newGateway(t)
	const id = "/00000000-0000-0000-0000-0000000000a1"
	for _, path := range []string{
		"/v1/agents" + id + "/state",
	} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			if a := g.do(method, path, ""); a.status != 404 || a.code() != "route_not_found" {
				t.Errorf("%s %s: %d %s, want 404 route_not_found", method, path, a.status, a.code())
			}
		}
		if last := path[strings.LastIndex(path, "/"):]; slices.ContainsFunc(routes, func(r route) bool { return strings.HasSuffix(r.pattern, last) }) {
			t.Errorf("a route ends in %s", last)
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	g := newGateway(t)
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v1/tenants/", "/v1//tenants", "/V1/tenants", "/v1/tenants/a/b", "/v1/users/a%2Fb/c",
		"/openapi.yaml", "/api/2.0/virtualization/tenants", "/v1/vms/../tenants",
	} {
		if a := g.do("GET", path, ""); a.status != 404 || a.code() != "route_not_found" {
			t.Errorf("GET %s: %d %s, want 404 route_not_found", path, a.status, a.code())
		}
	}
}
