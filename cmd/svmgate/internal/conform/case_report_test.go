package conform

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// periodCases are about reports with something in them.
func periodCases() []test {
	const ofTenant = "POST /reports/tenants?tenantId=$t"
	made := call(ofTenant).with("Accept: application/csv").completes("CreateTenantReport", "$report:text")
	vmNamed := func(bios, name string) talk {
		return talk{
			call("POST /tenants/$t/vms/register", `<vm biosId="`+bios+`"><name>`+name+`</name></vm>`).is(200),
			call("GET /tenants/$t/vms").is(200).listing(`<vm id="$vm:uuid" biosId="` + bios + `" created="$:date" updated="$:date"><name>$:text</name></vm>`),
		}
	}
	return []test{
		{name: "a report has a line for each period of a VM", lines: "report.line report.several report.day report.ends report.csv", on: collecting, talk: talk{
			aSimple, vmNamed("$bios1", "web"),
			connected("$bios1", 9, 7), connected("$bios1", 3, 0),
			made,
			lines6("$t;$name;$vm;web;-9;-7", "$t;$name;$vm;web;-3;0"),
		}},
		{name: "sessions that overlap are one period", lines: "report.line report.day", on: collecting, talk: talk{
			aSimple, vmNamed("$bios1", "web"),
			connected("$bios1", 9, 7), connected("$bios1", 8, 5), connected("$bios1", 4, 4), connected("$bios1", 7, 7),
			made,
			lines6("$t;$name;$vm;web;-9;-4"),
		}},
		{name: "a report from then to then has what was in between", lines: "report.optional report.day", on: collecting, talk: talk{
			aSimple, vmNamed("$bios1", "web"),
			connected("$bios1", 9, 2),
			do(func(c *client) { c.vars["from"], c.vars["to"] = dayAgo(6)+"T12:00:00", dayAgo(3)+"T00:00:00" }),
			call(ofTenant+"&from=$from&to=$to").completes("CreateTenantReport", "$report:text"),
			lines6("$t;$name;$vm;web;-6;-4"),
			call(ofTenant+"&from=$to").completes("CreateTenantReport", "$report:text"),
			lines6("$t;$name;$vm;web;-3;-2"),
			call(ofTenant+"&to=$from").completes("CreateTenantReport", "$report:text"),
			lines6("$t;$name;$vm;web;-9;-6"),
		}},
		{name: "a VM that was in no tenant", lines: "report.none", on: collecting, talk: talk{
			do(func(c *client) {
				c.manage(c.T, "PUT", c.vars.fill("/v1/vms/$bios1"), map[string]any{"name": "lonely"})
				c.everywhere(c.T, c.vars.fill("/v1/vms/$bios1"))
			}),
			connected("$bios1", 2, 1),
			call("POST /reports/tenants").completes("CreateTenantReport", "$report:text"),
			do(func(c *client) {
				_, text := c.send(call("GET /reports/tenants/$report"))
				if want := ";lonely;" + periodOf(-2, -1) + "\n"; !strings.Contains("\n"+text, "\n;;") || !strings.Contains(text, want) {
					c.Errorf("the report of all is\n%s\nwant a line that begins with ;; and one that ends with %s", text, want)
				}
			}),
		}},
		{name: "what needs quotes has them", lines: "report.quotes", on: collecting, talk: talk{
			aSimple, vmNamed("$bios1", `a;"b" =1`),
			connected("$bios1", 1, 1),
			made,
			lines6(`$t;$name;$vm;"a;""b"" =1";-1;-1`),
		}},
		{name: "a VM and a tenant that are gone are reported", lines: "report.deleted", on: collecting, talk: talk{
			aSimple, vmNamed("$bios1", "web"),
			connected("$bios1", 2, 1),
			call("POST /tenants/$t/vms/unregister?biosId=$bios1").is(200),
			made,
			lines6("$t;$name;$vm;web;-2;-1"),
			call("DELETE /tenants/$t").completes("DeleteTenant", "$:any"),
			made,
			lines6("$t;$name;$vm;web;-2;-1"),
		}},
		{name: "parts of a report make up the whole", lines: "report.range report.anywhere", on: collecting, talk: talk{
			aSimple, vmNamed("$bios1", "web"),
			connected("$bios1", 5, 5), connected("$bios1", 3, 3), connected("$bios1", 1, 1),
			made,
			do(inParts),
		}},
		{name: "a tenant nothing of which was protected", lines: "report.line", on: collecting, talk: talk{
			aSimple, vmNamed("$bios1", "web"),
			made,
			call("GET /reports/tenants/$report").is(200).notXML().nothing(),
		}},
	}
}

// dayAgo is the date of so many days ago.
func dayAgo(n int) string { return time.Now().UTC().AddDate(0, 0, -n).Format(time.DateOnly) }

// connected has an SVM tell that the agent of a VM was connected from one day to another,
// so many days ago, and waits until every gateway reports it.
func connected(bios string, from, to int) do {
	return func(c *client) {
		c.Helper()
		bios, end := c.vars.fill(bios), time.Now().UTC().AddDate(0, 0, -to)
		session := fmt.Sprintf(`{"biosId":"%s","from":"%sT00:00:00Z","to":"%s"}`, bios, dayAgo(from), end.Format(time.RFC3339))
		if text := c.manage(c.T, "POST", "/v1/svms/"+svmID+"/sessions", session); !strings.Contains(string(text), `"refused":[]`) {
			c.Fatalf("the session %s: %s", session, text)
		}
		for _, g := range c.gateways {
			poll(c.T, func() error {
				status, text := c.ask(c.T, "GET", g.admin+"/v1/reports/protection?from="+dayAgo(from)+"&to="+dayAgo(to), "viewer", nil)
				var report struct {
					Items []struct {
						BIOS string `json:"biosId"`
						Days int
					}
				}
				if err := json.Unmarshal(text, &report); err != nil {
					return err
				}
				for _, item := range report.Items {
					if item.BIOS == bios && item.Days == from-to+1 {
						return nil
					}
				}
				return fmt.Errorf("%s reports %d %s", g.name, status, text)
			})
		}
	}
}

// periodOf is how a period is written, from one day to another.
func periodOf(from, to int) string {
	return dayAgo(-from) + "T00:00:00;" + dayAgo(-to) + "T23:59:59"
}

// lines6 says that $report has exactly these lines of six fields; the last two are days,
// counted from today.
func lines6(want ...string) do {
	return func(c *client) {
		c.Helper()
		var all strings.Builder
		for _, line := range want {
			line = c.vars.fill(line)
			end := strings.LastIndex(line, ";")
			begin := strings.LastIndex(line[:end], ";")
			var from, to int
			if _, err := fmt.Sscanf(line[begin:], ";%d;%d", &from, &to); err != nil {
				c.Fatal(err)
			}
			all.WriteString(line[:begin+1] + periodOf(from, to) + "\n")
		}
		if resp, got := c.send(call("GET /reports/tenants/$report")); resp.StatusCode != 200 || got != all.String() {
			c.Errorf("the report is %s\n%swant\n%s", resp.Status, got, all.String())
		}
	}
}

// inParts reads $report piece by piece, of whichever gateway's turn it is.
func inParts(c *client) {
	_, whole := c.send(call("GET /reports/tenants/$report").is(200))
	var got strings.Builder
	for got.Len() < len(whole) {
		from := got.Len()
		resp, part := c.send(call("GET /reports/tenants/$report").with(fmt.Sprintf("Range: bytes=%d-%d", from, from+99)))
		want := fmt.Sprintf("bytes %d-%d/%d", from, min(from+100, len(whole))-1, len(whole))
		if resp.StatusCode != 206 || resp.Header.Get("Content-Range") != want || part == "" {
			c.Fatalf("%s, Content-Range %q, want 206 and %q", resp.Status, resp.Header.Get("Content-Range"), want)
		}
		got.WriteString(part)
	}
	if got.String() != whole || whole == "" {
		c.Errorf("the parts make up\n%s\nwant\n%s", got.String(), whole)
	}
	call("GET /reports/tenants/$report").with("Range: bytes=99999999-").is(416).take(c)
}
