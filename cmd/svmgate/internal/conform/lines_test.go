package conform

// A mark says where a line is from.
type mark string

const (
	documented mark = "[V]" // the vendor's documents say so
	partly     mark = "[P]" // the page was cut
	assumed    mark = "[A]" // no document says; we decided
)

// A line is a sentence of the documents, or an assumption where they are silent, in
// our words. docs/domain.md has the numbers of the pages.
type line struct {
	id   string
	mark mark
	says string

	elsewhere string // why no case here covers it; empty if one must
}

var lines = []line{
	// How one talks to it.
	{id: "http.tls", mark: documented, says: "The API is served over HTTPS."},
	{id: "http.port", mark: documented, says: "Its port is 7271 unless somebody chose another."},
	{id: "http.basic", mark: documented, says: "Every call carries HTTP Basic credentials."},
	{id: "http.401", mark: assumed, says: "A call without an account, or with a wrong password, is 401 with a challenge."},
	{id: "http.account", mark: documented, says: "The account is called multitenancy; here: any with that role, or admin."},
	{id: "http.405", mark: assumed, says: "A method that a path does not know is 405 with those that it knows."},
	{id: "http.xml", mark: documented, says: "Bodies are XML, with CDATA where it is shown."},
	{id: "http.type", mark: assumed, says: "A body is application/xml, text/xml or of no type; any other is refused."},
	{id: "http.query", mark: assumed, says: "A query parameter that no document names is ignored."},
	{id: "http.date", mark: documented, says: "Dates are YYYY-MM-DDThh:mm:ss, without a zone."},
	{id: "http.utc", mark: assumed, says: "Dates are in UTC."},
	{id: "http.pages", mark: documented, says: "Lists have no pages."},
	{id: "http.task", mark: documented, says: "Long work is a task: the call answers 202 with its id, and it is polled."},
	{id: "http.task-body", mark: assumed, says: "The body of a 202 is the task."},
	{id: "http.error", mark: assumed, says: "The body of an error is an error with code and message."},
	{id: "http.400", mark: assumed, says: "A malformed body is 400 VIRMT_BadRequest."},
	{
		id: "http.unknown", mark: assumed,
		says: "What a body has that no document names is refused; what answers have and requests need not is ignored.",
	},
	{id: "http.doctype", mark: assumed, says: "A document type is 400 VIRMT_BadRequest."},
	{id: "http.encoding", mark: assumed, says: "UTF-8 is read, with or without a mark at its begin; any other encoding is 400."},
	{id: "http.behind", mark: assumed, says: "Behind a balancer the next gateway knows what one has acknowledged."},

	// Tenants.
	{id: "tenant.200", mark: documented, says: "GET /tenants/{id} answers 200 with the tenant."},
	{id: "tenant.403", mark: documented, says: "GET /tenants/{id} answers 403 to those who may not."},
	{id: "tenant.404", mark: documented, says: "GET /tenants/{id} answers 404 VIRMT_TenantWithSpecifiedIdNotFound."},
	{id: "tenant.shape", mark: documented, says: "A tenant has id, created and updated, name, description, user data, status and type."},
	{id: "tenant.vksc", mark: documented, says: "Complete tenants alone have a virtual server: its id, and its administrator's name."},
	{id: "tenant.vksc-id", mark: assumed, says: "Where virtual servers are recorded only, the id of each is the nil UUID."},
	{id: "tenants.200", mark: partly, says: "GET /tenants answers 200 with all of them."},
	{id: "tenants.container", mark: assumed, says: "Their list is an element tenants."},

	{id: "create.202", mark: documented, says: "POST /tenants answers 202 with a task CreateTenant."},
	{id: "create.403", mark: documented, says: "POST /tenants answers 403 to those who may not."},
	{id: "create.result", mark: documented, says: "The result of CreateTenant is the tenant."},
	{id: "create.result-body", mark: assumed, says: "It is there as an element tenant."},
	{id: "create.rollback", mark: documented, says: "When a step of CreateTenant fails, all of it is undone."},
	{id: "create.inactive", mark: documented, says: "A new tenant is Inactive."},
	{id: "create.body", mark: documented, says: "The body has name, description, user data, preferred address, type and virtual server."},
	{id: "create.optional", mark: documented, says: "All but the name, and for a complete tenant the account, may be left out."},
	{id: "create.type", mark: assumed, says: "A tenant of no type is Complete."},
	{id: "create.vksc", mark: documented, says: "A complete tenant needs its administrator's name and password."},
	{id: "create.vksc-400", mark: assumed, says: "Without them the answer is 400 VIRMT_BadRequest."},
	{id: "create.password", mark: documented, says: "The password is in base64."},
	{id: "create.address", mark: documented, says: "Without a preferred address the one is used that the caller asked at."},
	{id: "create.forwarded", mark: assumed, says: "Behind a proxy that is trusted, that is what X-Forwarded-Host says; others can say what they like."},
	{id: "create.name", mark: assumed, says: "A name that another tenant has fails with VIRMT_TenantWithSpecifiedNameAlreadyExists."},
	{id: "create.no-ksc", mark: documented, says: "Without settings for KSC a complete tenant fails with KSC_ServiceNotConfigured."},

	{id: "activate.202", mark: documented, says: "POST …/activate answers 202 with a task ChangeTenantActivation."},
	{id: "activate.403", mark: documented, says: "POST …/activate answers 403 to those who may not."},
	{id: "activate.unknown", mark: documented, says: "It does so for an unknown tenant; the task says VIRMT_TenantWithSpecifiedIdNotFound."},
	{id: "activate.true", mark: documented, says: "The result of an activation is true."},
	{id: "activate.no-ksc", mark: documented, says: "Without settings for KSC the task says KSC_ServiceNotConfigured."},
	{id: "deactivate.202", mark: partly, says: "POST …/deactivate answers 202 with a task ChangeTenantActivation."},
	{id: "deactivate.403", mark: partly, says: "POST …/deactivate answers 403 to those who may not."},
	{id: "deactivate.unknown", mark: partly, says: "It does so for an unknown tenant; the task says VIRMT_TenantWithSpecifiedIdNotFound."},
	{id: "deactivate.true", mark: partly, says: "The result of a deactivation is true."},
	{id: "deactivate.no-ksc", mark: partly, says: "Without settings for KSC the task says KSC_ServiceNotConfigured."},

	{id: "delete.202", mark: documented, says: "DELETE /tenants/{id} answers 202 with a task DeleteTenant."},
	{id: "delete.403", mark: documented, says: "DELETE /tenants/{id} answers 403 to those who may not."},
	{id: "delete.result", mark: documented, says: "The result of DeleteTenant is the tenant that is gone."},
	{id: "delete.unknown", mark: assumed, says: "For an unknown tenant it is 202; the task says VIRMT_TenantWithSpecifiedIdNotFound."},
	{id: "delete.vms", mark: documented, says: "The tenant's VMs go from the database with it."},
	{id: "delete.artifacts", mark: documented, says: "With removeTenantArtifacts=true the virtual server goes, too."},
	{id: "delete.default", mark: assumed, says: "Without the parameter it does not."},
	{id: "delete.no-ksc", mark: documented, says: "Without settings for KSC the task says KSC_ServiceNotConfigured."},
	{
		id: "delete.rollback", mark: documented, says: "When a step of DeleteTenant fails, all of it is undone.",
		elsewhere: "a step fails only with a KSC that fails: the tests of the lifecycle have one",
	},

	// VMs.
	{id: "vms.200", mark: documented, says: "GET …/vms answers 200 with the tenant's VMs."},
	{id: "vms.container", mark: assumed, says: "Their list is an element vms."},
	{id: "vms.403", mark: documented, says: "GET …/vms answers 403 to those who may not."},
	{id: "vms.404", mark: documented, says: "GET …/vms answers 404 VIRMT_TenantWithSpecifiedIdNotFound."},
	{id: "vm.shape", mark: documented, says: "A VM has id, biosId, created and updated, name and user data."},
	{id: "register.200", mark: documented, says: "POST …/vms/register answers 200 at once."},
	{id: "register.empty", mark: assumed, says: "With no body."},
	{id: "register.body", mark: documented, says: "The body has a biosId, and may have name and user data."},
	{id: "register.403", mark: documented, says: "POST …/vms/register answers 403 to those who may not."},
	{id: "register.404", mark: documented, says: "POST …/vms/register answers 404 VIRMT_TenantWithSpecifiedIdNotFound."},
	{id: "register.409", mark: documented, says: "POST …/vms/register answers 409 VIRMT_VmWithSpecifiedBiosIdAlreadyExists."},
	{id: "register.unique", mark: documented, says: "A BIOS ID is there once in the database, not once for each tenant."},
	{id: "bios.forms", mark: assumed, says: "A BIOS ID may be in any case, with or without hyphens or braces."},
	{id: "unregister.bios", mark: documented, says: "POST …/vms/unregister?biosId= answers 200."},
	{id: "unregister.vm", mark: documented, says: "POST …/vms/unregister?vmId= answers 200."},
	{id: "unregister.empty", mark: assumed, says: "With no body."},
	{id: "unregister.403", mark: documented, says: "POST …/vms/unregister answers 403 to those who may not."},
	{id: "unregister.404", mark: documented, says: "POST …/vms/unregister answers 404 VIRMT_TenantWithSpecifiedIdNotFound."},
	{id: "unregister.404-vm", mark: documented, says: "POST …/vms/unregister answers 404 VIRMT_VmWithSpecifiedIdNotFound."},
	{id: "unregister.one", mark: assumed, says: "It takes one of the two ids; none and both are 400."},

	// Reports.
	{id: "report.202", mark: documented, says: "POST /reports/tenants answers 202 with a task CreateTenantReport."},
	{id: "report.403", mark: documented, says: "POST /reports/tenants answers 403 to those who may not."},
	{id: "report.result", mark: documented, says: "Its result is the id of a report."},
	{id: "report.optional", mark: documented, says: "tenantId, from and to may each be left out."},
	{id: "report.csv", mark: partly, says: "GET /reports/tenants/{id} answers with the CSV."},
	{id: "report.range", mark: assumed, says: "In parts if a Range is asked for."},
	{id: "report.404", mark: assumed, says: "A report that is not there is 404."},
	{id: "report.anywhere", mark: assumed, says: "Whichever gateway made it, every one has it."},
	{id: "report.off", mark: documented, says: "Periods of protection are not collected unless somebody wants it."},
	{id: "report.off-empty", mark: assumed, says: "Then a report is empty."},
	{id: "report.line", mark: documented, says: "A report has a line for each period: tenant, VM, begin and end."},
	{id: "report.several", mark: documented, says: "A VM with several periods has several lines."},
	{id: "report.none", mark: documented, says: "The tenant's fields are empty if the VM is in no tenant."},
	{id: "report.day", mark: documented, says: "Periods are accurate to a day."},
	{id: "report.ends", mark: assumed, says: "They are written as the first and the last second of days of UTC, without a line of headings."},
	{id: "report.quotes", mark: assumed, says: "Fields are quoted where they need it, as RFC 4180 says."},
	{id: "report.deleted", mark: assumed, says: "What was protected is reported although the VM is unregistered and the tenant is deleted."},
	{
		id: "report.hour", mark: documented, says: "The end of a period is reliable 60 minutes later.",
		elsewhere: "TestOracle of package protection holds it, minute by minute",
	},
	{
		id: "report.kept", mark: documented, says: "A report is kept for 24 hours.",
		elsewhere: "this suite does not wait for a day",
	},

	// Tasks.
	{id: "task.200", mark: documented, says: "GET /tasks/{id} answers 200 with the task."},
	{id: "task.403", mark: documented, says: "GET /tasks/{id} answers 403 to those who may not."},
	{id: "task.404", mark: documented, says: "GET /tasks/{id} answers 404."},
	{id: "task.404-code", mark: assumed, says: "The code is VIRMT_TaskWithSpecifiedIdNotFound."},
	{id: "task.shape", mark: documented, says: "A task has id, created, stateChanged and changed, state, type, stage, progress, and result or error."},
	{id: "task.states", mark: documented, says: "Its state is Created, Queued, Starting, Running, Completed, Stopping, Failed or Canceled."},
	{id: "task.error", mark: assumed, says: "Its error is text: the code, a colon and a message."},
	{id: "tasks.200", mark: documented, says: "GET /tasks answers 200 with all of them."},
	{id: "tasks.403", mark: documented, says: "GET /tasks answers 403 to those who may not."},
	{id: "tasks.container", mark: assumed, says: "Their list is an element tasks."},
	{id: "cancel.200", mark: documented, says: "POST /tasks/{id}/cancel answers 200: the task is canceled."},
	{id: "cancel.202", mark: documented, says: "POST /tasks/{id}/cancel answers 202: the task is Stopping."},
	{id: "cancel.403", mark: documented, says: "POST /tasks/{id}/cancel answers 403 to those who may not."},
	{id: "cancel.404", mark: documented, says: "POST /tasks/{id}/cancel answers 404."},
	{id: "cancel.405", mark: documented, says: "POST /tasks/{id}/cancel answers 405 for a child task; here no task has children."},
	{id: "cancel.409", mark: documented, says: "POST /tasks/{id}/cancel answers 409 for one that has ended."},

	// What agents are told.
	{id: "agents.active", mark: documented, says: "Agents of a complete tenant that is active get the SVMs."},
	{id: "agents.inactive", mark: documented, says: "Agents of a complete tenant that is inactive get the address of an SVM that does not exist."},
	{id: "agents.dead", mark: assumed, says: "That address is 192.0.2.1."},
	{id: "agents.simple", mark: documented, says: "Agents of a simple tenant get the SVMs whatever its status."},
	{id: "agents.none", mark: documented, says: "A VM in no tenant gets the SVMs."},
	{id: "agents.unregister", mark: documented, says: "Unregistering a VM does not end its protection."},
	{id: "agents.delete", mark: documented, says: "Deleting a tenant does not end the protection of its VMs."},
	{id: "deployment", mark: documented, says: "A tenant is created, its VMs are registered, it is activated, in this order."},
	{
		id: "agents.events", mark: documented, says: "After a deactivation: one event that no SVM is there, and one every 2 hours that updates fail.",
		elsewhere: "agents' events are not of this API",
	},
	{
		id: "agents.ports", mark: documented, says: "After a deactivation five ports to the SVMs should be blocked.",
		elsewhere: "the firewall's rules are not of this API",
	},
}
