package conform

import (
	"bytes"
	"fmt"
	"strings"
)

// Codes of the documents.
const (
	noTenant  = "VIRMT_TenantWithSpecifiedIdNotFound"
	noVM      = "VIRMT_VmWithSpecifiedIdNotFound"
	vmExists  = "VIRMT_VmWithSpecifiedBiosIdAlreadyExists"
	noTask    = "VIRMT_TaskWithSpecifiedIdNotFound"
	malformed = "VIRMT_BadRequest"
	noKSC     = "KSC_ServiceNotConfigured"
	nameTaken = "VIRMT_TenantWithSpecifiedNameAlreadyExists"
)

func tenantCases() []test {
	return []test{
		{name: "a simple tenant is read", lines: "tenant.200 tenant.shape tenant.vksc http.date http.utc", talk: talk{
			aSimple,
			call("GET /tenants/$t").is(200, simple("Inactive")),
		}},
		{name: "a complete tenant is read, its virtual server with it", lines: "tenant.200 tenant.shape tenant.vksc tenant.vksc-id", talk: talk{
			aComplete,
			call("GET /tenants/$t").is(200, complete("Inactive")),
		}},
		{name: "a tenant with all that it may have is read", lines: "tenant.shape create.body http.xml", talk: talk{
			call("POST /tenants", fullBody).completes("CreateTenant", named(fullTenant)),
			call("GET /tenants/$t").is(200, fullTenant),
			call("GET /tenants").is(200).listing(fullTenant),
		}},
		{name: "user data is written as CDATA", lines: "http.xml tenant.shape", talk: talk{
			call("POST /tenants", fullBody).completes("CreateTenant", named(fullTenant)),
			call("GET /tenants/$t").is(200).written("<userData><![CDATA["),
		}},
		{name: "a tenant that is not there", lines: "tenant.404 http.error", talk: talk{
			call("GET /tenants/$nobody").is(404, failure(noTenant)),
		}},
		{name: "an id that is none names no tenant", lines: "tenant.404", talk: talk{
			call("GET /tenants/17").is(404, failure(noTenant)),
			call("GET /tenants/$nobody-1").is(404, failure(noTenant)),
			call("GET /tenants/00000000-0000-0000-0000-000000000000").is(404, failure(noTenant)),
		}},
		{name: "a tenant's id in other forms", lines: "tenant.200", talk: talk{
			aSimple,
			call("GET /tenants/$t.upper").is(200, simple("Inactive")),
			call("GET /tenants/$t.bare").is(200, simple("Inactive")),
			call("GET /tenants/$t.escaped").is(200, simple("Inactive")),
		}},
		{name: "the list of tenants has those that were made", lines: "tenants.200 tenants.container", talk: talk{
			aSimple,
			call("GET /tenants").is(200, `<tenants>$:any</tenants>`).listing(simple("Inactive")),
			another,
			aComplete,
			call("GET /tenants").is(200).listing(complete("Inactive")),
			call("GET /tenants").is(200).listing(`<tenant id="$first" created="$:date" updated="$:date">` +
				`<name>$:text</name><status>Inactive</status><type>Simple</type></tenant>`),
		}},
		// Where few others read the list.
		{name: "the list of tenants has no pages", lines: "http.pages", on: unset, talk: talk{do(manyTenants)}},
		{name: "the list of tenants does not have those that are gone", lines: "tenants.200 delete.202", talk: talk{
			aSimple,
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			call("GET /tenants").is(200).omitting("$t"),
			call("GET /tenants/$t").is(404, failure(noTenant)),
		}},
		{name: "updated is not before created", lines: "tenant.shape http.utc", talk: talk{
			aSimple,
			do(func(c *client) {
				born := strings.Replace(simple("Inactive"), `created="$:date" updated="$:date"`, `created="$born:date" updated="$changed:date"`, 1)
				call("GET /tenants/$t").is(200, born).take(c)
				if c.vars["changed"] < c.vars["born"] {
					c.Errorf("updated at %s, created at %s", c.vars["changed"], c.vars["born"])
				}
			}),
		}},
	}
}

const (
	fullBody = `<tenant><name>$name</name><description>of the first floor</description><userData><![CDATA[<x>1 & 2</x>]]></userData>` +
		`<preferredViisAddress>192.0.2.77</preferredViisAddress><type>Complete</type>` +
		`<vKsc><user><name>admin of $name</name><password>` + password64 + `</password></user></vKsc></tenant>`

	fullTenant = `<tenant id="$t" created="$:date" updated="$:date"><name>$name</name><description>of the first floor</description>` +
		`<userData>&lt;x&gt;1 &amp; 2&lt;/x&gt;</userData><vKsc id="00000000-0000-0000-0000-000000000000"><user><name>admin of $name</name></user></vKsc>` +
		`<status>Inactive</status><type>Complete</type></tenant>`
)

// manyTenants imports more tenants than any page has, and counts them.
func manyTenants(c *client) {
	const many = 1100
	var b strings.Builder
	for n := range many {
		fmt.Fprintf(&b, `{"tenant":{"id":%q,"name":"one of many %d","type":"simple"}}`+"\n", manyID(n), n)
	}
	c.manage(c.T, "POST", "/v1/import", b.String())
	c.everywhere(c.T, "/v1/tenants/"+manyID(many-1))
	c.listed("/tenants", "<name>one of many ", many)
}

// listed waits until every gateway has an element n times in a list: what is imported
// comes to the others in pieces.
func (c *client) listed(path, element string, n int) {
	c.Helper()
	for _, g := range c.gateways {
		poll(c.T, func() error {
			if _, text := c.ask(c.T, "GET", g.admin+base+path, "multitenancy", nil); bytes.Count(text, []byte(element)) != n {
				return fmt.Errorf("%s lists %d, want %d: %s", g.name, bytes.Count(text, []byte(element)), n, path)
			}
			return nil
		})
	}
}

func manyID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func createCases() []test {
	return []test{
		{name: "a simple tenant is created", lines: "create.202 create.result create.result-body create.inactive http.task http.task-body", talk: talk{
			call("POST /tenants", simpleBody).completes("CreateTenant", named(simple("Inactive"))),
			call("GET /tenants/$t").is(200, simple("Inactive")),
		}},
		{name: "a complete tenant is created", lines: "create.202 create.result create.result-body create.inactive tenant.vksc", talk: talk{
			call("POST /tenants", completeBody).completes("CreateTenant", named(complete("Inactive"))),
			call("GET /tenants/$t").is(200, complete("Inactive")),
		}},
		{name: "a tenant is there as soon as its task is complete", lines: "create.202 http.behind", talk: talk{
			aSimple,
			call("GET /tenants/$t").is(200, simple("Inactive")),
			call("GET /tenants/$t/vms").is(200),
			call("GET /tenants").is(200).listing(simple("Inactive")),
			call("POST /tenants/$t/activate").completes("ChangeTenantActivation", "true"),
			call("GET /tenants/$t").is(200, simple("Active")),
		}},
		{name: "each tenant has an id of its own", lines: "create.result", talk: talk{
			aSimple,
			another,
			aSimple,
			do(func(c *client) {
				if c.vars["t"] == c.vars["first"] {
					c.Errorf("two tenants are called %s", c.vars["t"])
				}
			}),
		}},
		{name: "a name that another tenant has", lines: "create.name task.error", talk: talk{
			aSimple,
			call("POST /tenants", simpleBody).fails("CreateTenant", nameTaken),
			call("POST /tenants", completeBody).fails("CreateTenant", nameTaken),
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			aSimple,
		}},
		{name: "ten tenants at once", lines: "create.202 http.task", talk: talk{do(tenAtOnce)}},
		{name: "the result of a creation tells no password", lines: "create.result create.password", talk: talk{
			aComplete,
			call("GET /tasks/$task").is(200).omitting(password64),
			call("GET /tenants/$t").is(200).omitting("password"),
		}},
		{name: "nothing is left of a tenant that can not be made", lines: "create.rollback create.no-ksc", on: unset, talk: talk{
			call("POST /tenants", completeBody).fails("CreateTenant", noKSC),
			call("GET /tenants").is(200).omitting("$name"),
		}},
	}
}

// tenAtOnce starts ten tasks before it looks at any.
func tenAtOnce(c *client) {
	const n = 10
	var clients []*client
	for range n {
		one := &client{T: c.T, world: c.world, vars: variables{}}
		call("POST /tenants", simpleBody).starts("CreateTenant").take(one)
		clients = append(clients, one)
	}
	for _, one := range clients {
		follow{kind: "CreateTenant", end: "Completed", progress: "100", outcome: "<result>" + named(simple("Inactive")) + "</result>"}.take(one)
		call("GET /tenants/$t").is(200, simple("Inactive")).take(one)
	}
}

func activationCases() (list []test) {
	for _, way := range []struct{ verb, status, other string }{{"activate", "Active", "deactivate"}, {"deactivate", "Inactive", "activate"}} {
		path := "POST /tenants/$t/" + way.verb
		list = append(
			list,
			test{name: way.verb + " a complete tenant", lines: way.verb + ".202 " + way.verb + ".true http.behind", talk: talk{
				aComplete,
				call("POST /tenants/$t/"+way.other).completes("ChangeTenantActivation", "true"),
				call(path).completes("ChangeTenantActivation", "true"),
				call("GET /tenants/$t").is(200, complete(way.status)),
				call("GET /tenants").is(200).listing(complete(way.status)),
			}},
			test{name: way.verb + " a simple tenant", lines: way.verb + ".202 " + way.verb + ".true", talk: talk{
				aSimple,
				call("POST /tenants/$t/"+way.other).completes("ChangeTenantActivation", "true"),
				call(path).completes("ChangeTenantActivation", "true"),
				call("GET /tenants/$t").is(200, simple(way.status)),
			}},
			test{name: way.verb + " twice", lines: way.verb + ".true", talk: talk{
				aSimple,
				call(path).completes("ChangeTenantActivation", "true"),
				call(path).completes("ChangeTenantActivation", "true"),
				call("GET /tenants/$t").is(200, simple(way.status)),
			}},
			test{name: way.verb + " a tenant that is not there", lines: way.verb + ".unknown task.error", talk: talk{
				call("POST /tenants/$nobody/"+way.verb).fails("ChangeTenantActivation", noTenant),
			}},
			test{name: way.verb + " a tenant that is gone", lines: way.verb + ".unknown", talk: talk{
				aSimple,
				call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
				call(path).fails("ChangeTenantActivation", noTenant),
			}},
			test{name: way.verb + " with a type for the body that is not there", lines: way.verb + ".202 http.type", talk: talk{
				aSimple,
				call(path).with("Content-Type: text/plain; charset=utf-8").completes("ChangeTenantActivation", "true"),
				call(path).with("Content-Type: application/xml").completes("ChangeTenantActivation", "true"),
			}},
			test{name: way.verb + " something whose id is none", lines: way.verb + ".unknown", talk: talk{
				call("POST /tenants/17/"+way.verb).isOneOf(202, 404),
			}},
		)
	}
	return list
}

func deletionCases() []test {
	return []test{
		{name: "a simple tenant is deleted", lines: "delete.202 delete.result", talk: talk{
			aSimple,
			call("DELETE /tenants/$t").completes("DeleteTenant", simple("$:status")),
			call("GET /tenants/$t").is(404, failure(noTenant)),
			call("GET /tenants/$t/vms").is(404, failure(noTenant)),
		}},
		{name: "a complete tenant is deleted, its virtual server with it", lines: "delete.202 delete.result delete.artifacts", talk: talk{
			aComplete,
			call("DELETE /tenants/$t?removeTenantArtifacts=true").completes("DeleteTenant", complete("$:status")),
			call("GET /tenants/$t").is(404, failure(noTenant)),
		}},
		{name: "a complete tenant is deleted, its virtual server stays", lines: "delete.202 delete.default", talk: talk{
			aComplete,
			call("DELETE /tenants/$t?removeTenantArtifacts=false").completes("DeleteTenant", complete("$:status")),
			call("GET /tenants/$t").is(404, failure(noTenant)),
			another,
			aComplete,
			call("DELETE /tenants/$t").completes("DeleteTenant", complete("$:status")),
		}},
		{name: "a tenant that is active is deleted", lines: "delete.202", talk: talk{
			aComplete,
			activate,
			call("DELETE /tenants/$t").completes("DeleteTenant", complete("$:status")),
			call("GET /tenants/$t").is(404, failure(noTenant)),
		}},
		{name: "true and false in any case, as programs write them", lines: "delete.artifacts", talk: talk{
			aSimple,
			call("DELETE /tenants/$t?removeTenantArtifacts=True").completes("DeleteTenant", "$:any"),
			another,
			aSimple,
			call("DELETE /tenants/$t?removeTenantArtifacts=FALSE").completes("DeleteTenant", "$:any"),
		}},
		{name: "neither true nor false", lines: "delete.artifacts http.400", talk: talk{
			aSimple,
			call("DELETE /tenants/$t?removeTenantArtifacts=maybe").is(400, failure(malformed)),
			call("DELETE /tenants/$t?removeTenantArtifacts=1").is(400, failure(malformed)),
			call("DELETE /tenants/$t?removeTenantArtifacts=").is(400, failure(malformed)),
			call("DELETE /tenants/$t?removeTenantArtifacts=false&removeTenantArtifacts=true").is(400, failure(malformed)),
			call("GET /tenants/$t").is(200, simple("Inactive")),
		}},
		{name: "a tenant that is not there is deleted", lines: "delete.unknown task.error", talk: talk{
			call("DELETE /tenants/$nobody").fails("DeleteTenant", noTenant),
			call("DELETE /tenants/$nobody?removeTenantArtifacts=true").fails("DeleteTenant", noTenant),
		}},
		{name: "a tenant is deleted twice", lines: "delete.unknown", talk: talk{
			aSimple,
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			call("DELETE /tenants/$t").fails("DeleteTenant", noTenant),
		}},
		{name: "with a tenant its VMs go, and their BIOS IDs are free", lines: "delete.vms register.unique", talk: talk{
			aSimple,
			register("$bios1"),
			register("$bios2"),
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			call("GET /tenants/$t/vms").is(404, failure(noTenant)),
			another,
			aSimple,
			register("$bios1"),
			call("GET /tenants/$t/vms").is(200, "<vms>"+aVM("$bios1", "")+"</vms>"),
		}},
		{name: "another tenant's VMs stay", lines: "delete.vms", talk: talk{
			aSimple,
			register("$bios1"),
			another,
			aSimple,
			register("$bios2"),
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			call("GET /tenants/$first/vms").is(200, "<vms>"+aVM("$bios1", "")+"</vms>"),
		}},
	}
}
