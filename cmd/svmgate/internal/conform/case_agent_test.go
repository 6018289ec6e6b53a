package conform

import "encoding/json"

// agentCases are about what agents are told before and after.
func agentCases() []test {
	remove := call("DELETE /tenants/$t").completes("DeleteTenant", "$:any")
	unregister := call("POST /tenants/$t/vms/unregister?biosId=$bios1").is(200)
	return []test{
		{name: "agents of a complete tenant, as its status changes", lines: "agents.active agents.inactive agents.dead http.behind", talk: talk{
			aComplete, register("$bios1"),
			hears("$bios1", deadAddress),
			activate,
			hears("$bios1", svmAddress), hears("$bios1", svmAddress), hears("$bios1", svmAddress),
			deactivate,
			hears("$bios1", deadAddress), hears("$bios1", deadAddress), hears("$bios1", deadAddress),
			activate,
			hears("$bios1", svmAddress),
		}},
		{name: "agents of a simple tenant, as its status changes", lines: "agents.simple", talk: talk{
			aSimple, register("$bios1"),
			hears("$bios1", svmAddress),
			activate,
			hears("$bios1", svmAddress),
			deactivate,
			hears("$bios1", svmAddress),
		}},
		{name: "an agent whose VM is in no tenant", lines: "agents.none", talk: talk{hears("$bios1", svmAddress)}},
		{name: "an agent whose VM becomes a tenant's", lines: "agents.none agents.inactive", talk: talk{
			hears("$bios1", svmAddress),
			aComplete, register("$bios1"),
			hears("$bios1", deadAddress),
		}},
		{name: "an agent whose VM is unregistered", lines: "agents.unregister agents.none", talk: talk{
			aComplete, register("$bios1"), activate,
			hears("$bios1", svmAddress),
			unregister,
			hears("$bios1", svmAddress),
		}},
		{name: "an agent whose VM is unregistered from an inactive tenant", lines: "agents.unregister", talk: talk{
			aComplete, register("$bios1"),
			hears("$bios1", deadAddress),
			unregister,
			hears("$bios1", svmAddress),
		}},
		{name: "agents of a tenant that is deleted", lines: "agents.delete", talk: talk{
			aComplete, register("$bios1"), activate,
			hears("$bios1", svmAddress),
			remove,
			hears("$bios1", svmAddress),
		}},
		{name: "agents of an inactive tenant that is deleted", lines: "agents.delete", talk: talk{
			aComplete, register("$bios1"),
			hears("$bios1", deadAddress),
			remove,
			hears("$bios1", svmAddress),
		}},
		{name: "agents of simple tenants that are deleted", lines: "agents.delete agents.simple", talk: talk{
			aSimple, register("$bios1"),
			remove,
			hears("$bios1", svmAddress),
		}},
		{name: "one tenant's status is nothing to another's agents", lines: "agents.active agents.inactive", talk: talk{
			aComplete, register("$bios1"), activate,
			another,
			aComplete, register("$bios2"),
			hears("$bios1", svmAddress), hears("$bios2", deadAddress),
			activate, deactivate,
			hears("$bios1", svmAddress), hears("$bios2", deadAddress),
		}},
		{name: "a tenant from the first step to the last", lines: "deployment", talk: talk{
			call("POST /tenants", fullBody).completes("CreateTenant", named(fullTenant)),
			register("$bios1"), register("$bios2"), register("$bios3"),
			hears("$bios2", deadAddress),
			activate,
			hears("$bios1", svmAddress), hears("$bios2", svmAddress), hears("$bios3", svmAddress),
			deactivate,
			hears("$bios3", deadAddress),
			call("DELETE /tenants/$t?removeTenantArtifacts=true").completes("DeleteTenant", "$:any"),
			call("GET /tenants").is(200).omitting("$t"),
			hears("$bios1", svmAddress),
		}},
	}
}

// noKSCCases happen where nobody said anything of KSC.
func noKSCCases() []test {
	// A complete tenant can not come from this API; another path has one made.
	givenComplete := do(func(c *client) {
		var made struct{ ID string }
		text := c.manage(c.T, "POST", "/v1/tenants", map[string]any{"name": c.vars.fill("$name"), "type": "complete"})
		if err := json.Unmarshal(text, &made); err != nil {
			c.Fatal(err)
		}
		c.vars["t"] = made.ID
		c.everywhere(c.T, "/v1/tenants/"+made.ID)
	})
	still := func(status string) turn {
		return call("GET /tenants/$t").is(200, `<tenant id="$t" created="$:date" updated="$:date"><name>$name</name><vKsc>$:any</vKsc><status>`+
			status+`</status><type>Complete</type></tenant>`)
	}
	return []test{
		{name: "a complete tenant is created without KSC", lines: "create.no-ksc task.error", on: unset, talk: talk{
			call("POST /tenants", completeBody).fails("CreateTenant", noKSC),
		}},
		{name: "a complete tenant is activated without KSC", lines: "activate.no-ksc", on: unset, talk: talk{
			givenComplete,
			call("POST /tenants/$t/activate").fails("ChangeTenantActivation", noKSC),
			still("Inactive"),
		}},
		{name: "a complete tenant is deactivated without KSC", lines: "deactivate.no-ksc", on: unset, talk: talk{
			givenComplete,
			call("POST /tenants/$t/deactivate").fails("ChangeTenantActivation", noKSC),
			still("Inactive"),
		}},
		{name: "a complete tenant is deleted without KSC", lines: "delete.no-ksc", on: unset, talk: talk{
			givenComplete,
			call("DELETE /tenants/$t?removeTenantArtifacts=true").fails("DeleteTenant", noKSC),
			still("Inactive"),
		}},
		{name: "simple tenants need no KSC", lines: "create.202 activate.true deactivate.true delete.202", on: unset, talk: talk{
			aSimple, register("$bios1"), activate, deactivate,
			hears("$bios1", svmAddress),
			call("GET /tenants/$t").is(200, simple("Inactive")),
			call("DELETE /tenants/$t?removeTenantArtifacts=true").completes("DeleteTenant", simple("Inactive")),
		}},
		{name: "a body is checked before KSC is looked for", lines: "create.vksc-400", on: unset, talk: talk{
			call("POST /tenants", tenantBody(ofComplete)).is(400, failure(malformed)),
		}},
	}
}
