package conform

import (
	"slices"
	"strings"
	"time"
)

// order is that of the documented states; those of the last are ends.
var order = [][]string{{"Created"}, {"Queued"}, {"Starting"}, {"Running"}, {"Stopping"}, {"Completed", "Failed", "Canceled"}}

// rank is the place of a state in the order; -1 if there is no such state.
func rank(state string) int {
	return slices.IndexFunc(order, func(alike []string) bool { return slices.Contains(alike, state) })
}

func ended(state string) bool { return rank(state) == len(order)-1 }

// taskOf is the form of a task, as the documents show it.
func taskOf(id, born, kind, state, progress, outcome string) string {
	return `<task id="` + id + `" created="` + born + `" stateChanged="$:date" changed="$:date">` +
		`<state>` + state + `</state><type>` + kind + `</type><stage>$:any</stage><progress>` + progress + `</progress>` + outcome + `</task>`
}

const anyOutcome = `<result>$:any</result><error>$:any</error>`

// accepted is the body of a 202: a task that may have come anywhere by now. Its id
// becomes $task.
func accepted(kind string) string {
	return taskOf("$task:uuid", "$taskborn:date", kind, "$:state", "$:percent", anyOutcome)
}

// starts says that the call answers 202 with a task of a kind.
func (e *exchange) starts(kind string) *exchange { return e.is(202, accepted(kind)) }

// completes says that the call starts a task that ends with a result.
func (e *exchange) completes(kind, result string) talk {
	return talk{e.starts(kind), follow{kind: kind, end: "Completed", progress: "100", outcome: "<result>" + result + "</result>"}}
}

// fails says that the call starts a task that ends with an error of a code.
func (e *exchange) fails(kind, code string) talk {
	return talk{e.starts(kind), follow{kind: kind, end: "Failed", progress: "$:percent", outcome: "<error>" + code + ": $:text</error>"}}
}

// follow polls $task until it has ended, and says how.
type follow struct{ kind, end, progress, outcome string }

func (f follow) take(c *client) {
	c.Helper()
	last, path := 0, []string{}
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		look := call("GET /tasks/$task").is(200, taskOf("$task", "$taskborn", f.kind, "$state:state", "$:percent", anyOutcome))
		look.take(c)
		state := c.vars["state"]
		if path = append(path, state); rank(state) < last {
			c.Fatalf("task %s goes back: %s", c.vars["task"], strings.Join(slices.Compact(path), ", "))
		}
		if last = rank(state); ended(state) {
			break
		}
		if time.Now().After(deadline) {
			c.Fatalf("task %s does not end: %s", c.vars["task"], strings.Join(slices.Compact(path), ", "))
		}
	}
	call("GET /tasks/$task").is(200, taskOf("$task", "$taskborn", f.kind, f.end, f.progress, f.outcome)).take(c)
}

// Bodies of POST /tenants.
const (
	simpleBody   = `<tenant><name>$name</name><type>Simple</type></tenant>`
	completeBody = `<tenant><name>$name</name><type>Complete</type><vKsc><user><name>admin of $name</name>` +
		`<password>` + password64 + `</password></user></vKsc></tenant>`
)

// The password of every tenant's administrator: nothing may tell it, in any form.
const (
	password   = "Never-Stored-4711"
	password64 = "TmV2ZXItU3RvcmVkLTQ3MTE="
)

// Tenants as the documents show them; $t is the id.
func simple(status string) string {
	return `<tenant id="$t" created="$:date" updated="$:date"><name>$name</name><status>` + status + `</status><type>Simple</type></tenant>`
}

// complete has the nil UUID where nothing but our records knows the virtual server.
func complete(status string) string {
	return `<tenant id="$t" created="$:date" updated="$:date"><name>$name</name>` +
		`<vKsc id="00000000-0000-0000-0000-000000000000"><user><name>admin of $name</name></user></vKsc>` +
		`<status>` + status + `</status><type>Complete</type></tenant>`
}

// named is a pattern of a tenant that makes its id known as $t.
func named(tenant string) string { return strings.Replace(tenant, `id="$t"`, `id="$t:uuid"`, 1) }

// aSimple and aComplete create a tenant, $t.
var (
	aSimple   = call("POST /tenants", simpleBody).completes("CreateTenant", named(simple("Inactive")))
	aComplete = call("POST /tenants", completeBody).completes("CreateTenant", named(complete("Inactive")))
)

// activate and deactivate do so to $t.
var (
	activate   = call("POST /tenants/$t/activate").completes("ChangeTenantActivation", "true")
	deactivate = call("POST /tenants/$t/deactivate").completes("ChangeTenantActivation", "true")
)

// register registers a VM for $t.
func register(biosID string) turn {
	return call("POST /tenants/$t/vms/register", `<vm biosId="`+biosID+`"/>`).is(200).nothing()
}

// aVM is a VM in a list.
func aVM(biosID, rest string) string {
	return `<vm id="$vm:uuid" biosId="` + biosID + `" created="$:date" updated="$:date">` + rest + `</vm>`
}

// another makes room for a second tenant: $t becomes $first, and $name is fresh.
var another = do(func(c *client) {
	c.vars["first"] = c.vars["t"]
	delete(c.vars, "name")
	delete(c.vars, "t")
})
