package conform

import (
	"strings"
	"time"
)

func reportCases() []test {
	const start = "POST /reports/tenants"
	made := call(start).with("Accept: application/csv").completes("CreateTenantReport", "$report:text")
	return []test{
		{name: "a report is made and read", lines: "report.202 report.result report.csv report.off report.off-empty report.anywhere", talk: talk{
			made,
			call("GET /reports/tenants/$report").with("Accept: application/csv").is(200).notXML().nothing().having("Content-Type: csv"),
			call("GET /reports/tenants/$report").is(200).notXML().nothing(),
			call("GET /reports/tenants/$report").is(200).notXML().nothing(),
		}},
		{name: "a report says that parts of it can be asked for", lines: "report.range", talk: talk{
			made,
			call("GET /reports/tenants/$report").is(200).notXML().having("Accept-Ranges: bytes"),
			call("HEAD /reports/tenants/$report").is(200).notXML().nothing().having("Accept-Ranges: bytes"),
		}},
		{name: "a part of a report that has none", lines: "report.range", talk: talk{
			made,
			call("GET /reports/tenants/$report").with("Range: bytes=0-9").isOneOf(200, 416).notXML(),
			call("GET /reports/tenants/$report").with("Range: lines=1-2").is(200).notXML().nothing(),
		}},
		{name: "a report of a tenant", lines: "report.optional", talk: talk{
			aComplete,
			call(start+"?tenantId=$t").with("Accept: application/csv").completes("CreateTenantReport", "$report:text"),
			call("GET /reports/tenants/$report").is(200).notXML().nothing(),
		}},
		{name: "a report from then to then", lines: "report.optional http.date", talk: talk{
			call(start+"?from=2024-01-01T00:00:00&to=2024-02-01T00:00:00").with("Accept: application/csv").completes("CreateTenantReport", "$report:text"),
			call(start+"?from=2024-01-01T00:00:00").with("Accept: application/csv").completes("CreateTenantReport", "$report:text"),
			call(start+"?to=2024-02-01T00%3A00%3A00").with("Accept: application/csv").completes("CreateTenantReport", "$report:text"),
		}},
		{name: "a report of all that there is", lines: "report.optional", talk: talk{
			aSimple,
			call(start+"?tenantId=$t&from=2024-01-01T00:00:00&to=2024-02-01T00:00:00").with("Accept: application/csv").
				completes("CreateTenantReport", "$report:text"),
			call("GET /reports/tenants/$report").is(200).notXML().nothing(),
		}},
		{name: "a client that does not say that it accepts CSV", lines: "report.202", talk: talk{
			call(start).completes("CreateTenantReport", "$report:text"),
			call(start).with("Accept: */*").completes("CreateTenantReport", "$report:text"),
		}},
		{name: "parameters of a report that are malformed", lines: "report.optional http.400", talk: talk{
			call(start+"?tenantId=17").is(400, failure(malformed)),
			call(start+"?from=yesterday").is(400, failure(malformed)),
			call(start+"?to=2024-02-30T00:00:00").is(400, failure(malformed)),
			call(start+"?from=2024-01-01").is(400, failure(malformed)),
			call(start+"?from=2024-01-01T00:00:00&from=2024-01-02T00:00:00").is(400, failure(malformed)),
		}},
		{name: "a report that is not there", lines: "report.404", talk: talk{
			call("GET /reports/tenants/$nobody").is(404, anyFailure),
			call("GET /reports/tenants/17").is(404, anyFailure),
		}},
		{name: "each report is another", lines: "report.result", talk: talk{
			made,
			do(func(c *client) { c.vars["first"] = c.vars["report"] }),
			made,
			do(func(c *client) {
				if c.vars["report"] == c.vars["first"] {
					c.Errorf("two reports are called %s", c.vars["report"])
				}
			}),
		}},
	}
}

func taskCases() []test {
	return []test{
		{name: "a task is read until it ends, and after", lines: "task.200 task.shape task.states http.task", talk: talk{
			aSimple,
			call("GET /tasks/$task").is(200, taskOf("$task", "$taskborn", "CreateTenant", "Completed", "100", "<result>"+simple("Inactive")+"</result>")),
			call("GET /tasks/$task").is(200, taskOf("$task", "$taskborn", "CreateTenant", "Completed", "100", "<result>"+simple("Inactive")+"</result>")),
		}},
		{name: "a task is there the moment that it was accepted", lines: "task.200 http.task http.behind", talk: talk{
			call("POST /tenants", simpleBody).starts("CreateTenant"),
			call("GET /tasks/$task").is(200),
			call("GET /tasks/$task").is(200),
			call("GET /tasks/$task").is(200),
			call("GET /tasks").is(200).listing(taskOf("$task", "$taskborn", "CreateTenant", "$:state", "$:percent", anyOutcome)),
		}},
		{name: "a task that failed has an error and no result", lines: "task.shape task.states task.error", talk: talk{
			call("POST /tenants/$nobody/activate").fails("ChangeTenantActivation", noTenant),
			call("GET /tasks/$task").is(200).omitting("<result"),
		}},
		{name: "a task that is complete has a result and no error", lines: "task.shape", talk: talk{
			aSimple,
			call("GET /tasks/$task").is(200).omitting("<error"),
		}},
		{name: "a result is what it was, whatever became of the tenant", lines: "create.result", talk: talk{
			aSimple,
			do(func(c *client) { c.vars["making"], c.vars["madeat"] = c.vars["task"], c.vars["taskborn"] }),
			activate,
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			call("GET /tasks/$making").is(200, taskOf("$making", "$madeat", "CreateTenant", "Completed", "100", "<result>"+simple("Inactive")+"</result>")),
		}},
		{name: "dates of a task follow each other", lines: "task.shape http.date http.utc", talk: talk{
			aSimple,
			do(func(c *client) {
				call("GET /tasks/$task").is(200, `<task id="$task" created="$a:date" stateChanged="$b:date" changed="$c:date"><state>Completed</state>`+
					`<type>CreateTenant</type><stage>$:any</stage><progress>100</progress><result>$:any</result></task>`).take(c)
				if a, b := c.vars["a"], c.vars["b"]; a > b || a > c.vars["c"] {
					c.Errorf("created at %s, changed at %s and %s", a, b, c.vars["c"])
				}
			}),
		}},
		{name: "a task that is not there", lines: "task.404 task.404-code", talk: talk{
			call("GET /tasks/$nobody").is(404, failure(noTask)),
			call("GET /tasks/17").is(404, failure(noTask)),
			aSimple,
			call("GET /tasks/$t").is(404, failure(noTask)),
		}},
		{name: "the list of tasks has each of those that were asked for", lines: "tasks.200 tasks.container http.pages", talk: talk{
			aSimple,
			call("GET /tasks").is(200, "<tasks>$:any</tasks>").
				listing(taskOf("$task", "$taskborn", "CreateTenant", "Completed", "100", "<result>"+simple("Inactive")+"</result>")),
			activate,
			call("GET /tasks").is(200).
				listing(taskOf("$task", "$taskborn", "ChangeTenantActivation", "Completed", "100", "<result>true</result>")),
			call("POST /tenants/$nobody/activate").fails("ChangeTenantActivation", noTenant),
			call("GET /tasks").is(200).
				listing(taskOf("$task", "$taskborn", "ChangeTenantActivation", "Failed", "$:percent", "<error>"+noTenant+": $:text</error>")),
		}},
	}
}

// canceled follows $task, of a creation that was told to end, to its end.
var canceled = follow{kind: "CreateTenant", end: "Canceled", progress: "$:percent", outcome: "<error>$:text</error>"}

func cancelCases() []test {
	const cancel = "POST /tasks/$task/cancel"
	return []test{
		{name: "a task that is not there is canceled", lines: "cancel.404 task.404-code", talk: talk{
			call("POST /tasks/$nobody/cancel").is(404, failure(noTask)),
			call("POST /tasks/17/cancel").is(404, failure(noTask)),
		}},
		{name: "a task that is complete is canceled", lines: "cancel.409", talk: talk{
			aSimple,
			call(cancel).is(409, anyFailure),
			call("GET /tasks/$task").is(200, taskOf("$task", "$taskborn", "CreateTenant", "Completed", "100", "<result>"+simple("Inactive")+"</result>")),
			call("GET /tenants/$t").is(200, simple("Inactive")),
		}},
		{name: "a task that failed is canceled", lines: "cancel.409", talk: talk{
			call("POST /tenants/$nobody/activate").fails("ChangeTenantActivation", noTenant),
			call(cancel).is(409, anyFailure),
		}},
		{name: "no task of any type is another's child", lines: "cancel.405", talk: talk{
			aSimple,
			call(cancel).is(409, anyFailure),
			activate,
			call(cancel).is(409, anyFailure),
			call("POST /reports/tenants").completes("CreateTenantReport", "$:text"),
			call(cancel).is(409, anyFailure),
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			call(cancel).is(409, anyFailure),
		}},
		{name: "a task that runs is canceled, and undone", lines: "cancel.200 cancel.202 task.states create.rollback", on: silent, talk: talk{
			call("POST /tenants", completeBody).starts("CreateTenant"),
			do(runs),
			do(cancels),
			canceled,
			call("GET /tenants").is(200).omitting("$name"),
			call(cancel).is(409, anyFailure),
		}},
		{name: "a task is canceled twice", lines: "cancel.202 cancel.409", on: silent, talk: talk{
			call("POST /tenants", completeBody).starts("CreateTenant"),
			call(cancel).isOneOf(200, 202),
			call(cancel).isOneOf(200, 202, 409),
			canceled,
			call(cancel).is(409, anyFailure),
		}},
		{name: "tasks that wait and tasks that run are canceled", lines: "cancel.200 cancel.202", on: silent, talk: talk{do(cancelMany)}},
		{name: "other tasks go on while one runs", lines: "http.task", on: silent, talk: talk{
			call("POST /tenants", completeBody).starts("CreateTenant"),
			do(func(c *client) { c.vars["making"], c.vars["madeat"] = c.vars["task"], c.vars["taskborn"] }),
			do(func(c *client) {
				talk{aSimple, activate}.take(&client{T: c.T, world: c.world, vars: variables{}})
			}),
			call("GET /tasks/$making").is(200, taskOf("$making", "$madeat", "CreateTenant", "$state:state", "$:percent", anyOutcome)),
			do(func(c *client) {
				if ended(c.vars["state"]) {
					c.Errorf("the task is %s, although its KSC does not answer", c.vars["state"])
				}
				c.vars["task"], c.vars["taskborn"] = c.vars["making"], c.vars["madeat"]
			}),
			do(cancels),
			canceled,
		}},
	}
}

// runs waits until $task is Running.
func runs(c *client) {
	for end := time.Now().Add(patience); c.vars["state"] != "Running"; time.Sleep(pause) {
		call("GET /tasks/$task").is(200, taskOf("$task", "$taskborn", "CreateTenant", "$state:state", "$:percent", "")).take(c)
		if time.Now().After(end) {
			c.Fatalf("task %s is %s, want it Running", c.vars["task"], c.vars["state"])
		}
	}
}

// cancels cancels $task: with 200 it is Canceled at once, with 202 it is Stopping, if
// not further.
func cancels(c *client) {
	c.Helper()
	resp, body := c.send(call("POST /tasks/$task/cancel"))
	want := []string{"Canceled"}
	switch resp.StatusCode {
	case 200:
	case 202:
		want = append(want, "Stopping")
	default:
		c.Fatalf("cancel answers %d %s, want 200 or 202", resp.StatusCode, body)
	}
	call("GET /tasks/$task").is(200, taskOf("$task", "$taskborn", "CreateTenant", "$state:state", "$:percent", anyOutcome)).take(c)
	if state := c.vars["state"]; !strings.Contains(strings.Join(want, " "), state) {
		c.Errorf("after %d the task is %s, want it %s", resp.StatusCode, state, strings.Join(want, " or "))
	}
}

// cancelMany starts more tasks than will run at once, and cancels all.
func cancelMany(c *client) {
	const n = 24
	var clients []*client
	for range n {
		one := &client{T: c.T, world: c.world, vars: variables{}}
		call("POST /tenants", completeBody).starts("CreateTenant").take(one)
		clients = append(clients, one)
	}
	for _, one := range clients {
		cancels(one)
	}
	for _, one := range clients {
		canceled.take(one)
		call("GET /tenants").is(200).omitting("$name").take(one)
	}
}
