package adminapi

import "github.com/svmgate/svmgate/cmd/svmgate/internal/routing"

// access says which roles a route is open to, beside admin.
type access uint8

const (
	writes  access = iota // admin only
	reads                 // viewer
	reports               // svm, for its own SVMs
)

// A route is one operation of the API.
type route struct {
	method  string
	pattern string // as of routing.Pattern
	access  access
	query   []string // the query parameters it knows
	foreign bool     // the handler checks query and body itself
	handle  func(*API, *call) error
}

const (
	importPath  = "/v1/import"
	restorePath = "/v1/restore"
)

// agentQuery are the query parameters of a question for one agent.
var agentQuery = []string{"version", "os", "kind", "current", "failed", "limit", "tag", "protection",
	"algorithm", "path", "biosIdOrder"}

// routes is the whole API: what is not here is 404.
var routes = []route{
	{method: "GET", pattern: "/openapi.json", access: reads, handle: (*API).openAPI},

	{method: "GET", pattern: "/v1/tenants", access: reads, query: []string{"limit", "after", "name"}, handle: (*API).listTenants},
	{method: "POST", pattern: "/v1/tenants", handle: (*API).createTenant},
	{method: "GET", pattern: "/v1/tenants/{id}", access: reads, handle: (*API).readTenant},
	{method: "PATCH", pattern: "/v1/tenants/{id}", handle: (*API).patchTenant},
	{method: "DELETE", pattern: "/v1/tenants/{id}", handle: (*API).deleteTenant},
	{method: "POST", pattern: "/v1/tenants/{id}/activate", query: []string{"wait", "timeout"}, handle: (*API).activateTenant},
	{method: "POST", pattern: "/v1/tenants/{id}/deactivate", query: []string{"wait", "timeout"}, handle: (*API).deactivateTenant},
	{method: "POST", pattern: "/v1/tenants/{id}/token", handle: (*API).renewToken},
	{method: "GET", pattern: "/v1/tenants/{id}/firewall", access: reads, query: []string{"format", "interface", "snat", "zone"}, handle: (*API).readFirewall},
	{method: "GET", pattern: "/v1/tenants/{id}/deployment", access: reads, handle: (*API).readDeployment},
	{method: "GET", pattern: "/v1/tenants/{id}/handover", access: reads, handle: (*API).readHandover},

	{method: "GET", pattern: "/v1/svms", access: reads, query: []string{"limit", "after"}, handle: (*API).listSVMs},
	{method: "GET", pattern: "/v1/svms/{id}", access: reads, handle: (*API).readSVM},
	{method: "PUT", pattern: "/v1/svms/{id}", handle: (*API).putSVM},
	{method: "PATCH", pattern: "/v1/svms/{id}", handle: (*API).patchSVM},
	{method: "DELETE", pattern: "/v1/svms/{id}", handle: (*API).deleteSVM},
	{method: "POST", pattern: "/v1/svms/{id}/report", access: reports, handle: (*API).reportSVM},
	{method: "POST", pattern: "/v1/svms/{id}/sessions", access: reports, handle: (*API).takeSessions},
	{method: "POST", pattern: "/v1/svms/{id}/drain", handle: (*API).drainSVM},
	{method: "POST", pattern: "/v1/svms/{id}/undrain", handle: (*API).undrainSVM},

	{method: "GET", pattern: "/v1/licenses", access: reads, query: []string{"limit", "after"}, handle: (*API).readLicenses},

	{method: "GET", pattern: "/v1/vms", access: reads, query: []string{"limit", "after", "tenant"}, handle: (*API).listVMs},
	{method: "GET", pattern: "/v1/vms/{biosId}", access: reads, handle: (*API).readVM},
	{method: "PUT", pattern: "/v1/vms/{biosId}", handle: (*API).putVM},
	{method: "DELETE", pattern: "/v1/vms/{biosId}", handle: (*API).deleteVM},

	{method: "GET", pattern: "/v1/users", access: reads, query: []string{"limit", "after"}, handle: (*API).listUsers},
	{method: "POST", pattern: "/v1/users", handle: (*API).createUser},
	{method: "GET", pattern: "/v1/users/{name}", access: reads, handle: (*API).readUser},
	{method: "DELETE", pattern: "/v1/users/{name}", handle: (*API).deleteUser},

	{method: "POST", pattern: importPath, query: []string{"atomic", "with-status", "dry-run"}, handle: (*API).importInventory},
	{method: "GET", pattern: "/v1/backup", access: writes, handle: (*API).backup},
	{method: "POST", pattern: restorePath, query: []string{"as-new"}, handle: (*API).restore},
	{method: "GET", pattern: "/v1/explain/{biosId}", access: reads, query: agentQuery, handle: (*API).explain},
	{method: "POST", pattern: whatIfPath, handle: (*API).whatIf},

	{method: "GET", pattern: "/v1/events", access: reads, query: eventQuery, handle: (*API).listEvents},

	{method: "GET", pattern: "/v1/reports/protection", access: reads, query: []string{"tenant", "from", "to", "format"}, handle: (*API).reportProtection},

	{method: "GET", pattern: "/v1/cluster", access: reads, query: []string{"digests"}, handle: (*API).readCluster},
	{method: "GET", pattern: "/v1/cluster/keys", access: writes, handle: (*API).listKeys},
	{method: "POST", pattern: "/v1/cluster/keys", handle: (*API).postKeys},

	{method: "GET", pattern: "/v1/agents/{biosId}/svm", access: reads, foreign: true, handle: (*API).askAgents},
	{method: "POST", pattern: "/v1/agents/svm", foreign: true, handle: (*API).askAgents},
}

// match finds the route of a method and path; see [routing.Find].
func match(method string, segments []string) (found *route, params, allowed []string) {
	return routing.Find(routes, func(r *route) (string, routing.Pattern) { return r.method, routing.Pattern(r.pattern) }, method, segments)
}
