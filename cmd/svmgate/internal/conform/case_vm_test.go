package conform

import (
	"fmt"
	"strings"
)

// vms is a list of VMs.
func vms(list ...string) string { return "<vms>" + strings.Join(list, "") + "</vms>" }

func vmCases() []test {
	const path = "POST /tenants/$t/vms/"
	return []test{
		{name: "a VM is registered", lines: "register.200 register.empty vms.200 vms.container http.date", talk: talk{
			aSimple,
			call(path+"register", `<vm biosId="$bios1"><name>web</name><userData><![CDATA[rack 7]]></userData></vm>`).is(200).nothing(),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", "<name>web</name><userData>rack 7</userData>"))),
		}},
		{name: "a VM has an id that is not its BIOS ID", lines: "vm.shape", talk: talk{
			aSimple,
			register("$bios1"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			do(func(c *client) {
				if c.vars["vm"] == c.vars["bios1"] {
					c.Errorf("VM and BIOS ID are both %s", c.vars["vm"])
				}
			}),
		}},
		{name: "a VM's user data is written as CDATA", lines: "http.xml vm.shape", talk: talk{
			aSimple,
			call(path+"register", `<vm biosId="$bios1"><userData>rack 7</userData></vm>`).is(200),
			call("GET /tenants/$t/vms").is(200).written("<![CDATA[rack 7]]>"),
		}},
		{name: "a VM's name and user data are left out", lines: "register.body", talk: talk{
			aSimple,
			call(path+"register", `<vm biosId="$bios1"></vm>`).is(200),
			call(path+"register", `<vm biosId="$bios2"><name/><userData/></vm>`).is(200),
			call("GET /tenants/$t/vms").is(200).listing(aVM("$bios1", "")),
			call("GET /tenants/$t/vms").is(200).listing(aVM("$bios2", "")),
		}},
		{name: "a VM without a BIOS ID, or with a malformed one", lines: "register.body http.400", talk: talk{
			aSimple,
			call(path+"register", `<vm><name>web</name></vm>`).is(400, failure(malformed)),
			call(path+"register", `<vm biosId=""/>`).is(400, failure(malformed)),
			call(path+"register", `<vm biosId="17"/>`).is(400, failure(malformed)),
			call(path+"register", `<vm biosId="$bios1-1"/>`).is(400, failure(malformed)),
			call(path+"register", `<vm biosId="00000000-0000-0000-0000-000000000000"/>`).is(400, failure(malformed)),
			call(path+"register", `<vm><biosId>$bios1</biosId></vm>`).is(400, failure(malformed)),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "a VM as it was read", lines: "register.body http.unknown", talk: talk{
			aSimple,
			call(path+"register", `<vm id="$nobody" biosId="$bios1" created="2020-01-01T00:00:00" updated="2020-01-01T00:00:00"><name>web</name></vm>`).is(200),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", "<name>web</name>"))).omitting("$nobody"),
		}},
		{name: "a VM with more than a VM has", lines: "register.body http.unknown", talk: talk{
			aSimple,
			call(path+"register", `<vm biosId="$bios1" colour="red"/>`).is(400, failure(malformed)),
			call(path+"register", `<vm biosId="$bios1"><os>server</os></vm>`).is(400, failure(malformed)),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "a VM whose elements are there twice", lines: "register.body http.400", talk: talk{
			aSimple,
			call(path+"register", `<vm biosId="$bios1"><name>a</name><name>b</name></vm>`).is(400, failure(malformed)),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "a VM of a tenant that is not there", lines: "register.404", talk: talk{
			call("POST /tenants/$nobody/vms/register", `<vm biosId="$bios1"/>`).is(404, failure(noTenant)),
			call("POST /tenants/17/vms/register", `<vm biosId="$bios1"/>`).is(404, failure(noTenant)),
		}},
		{name: "a VM is registered twice", lines: "register.409", talk: talk{
			aSimple,
			call(path+"register", `<vm biosId="$bios1"><name>first</name></vm>`).is(200),
			call(path+"register", `<vm biosId="$bios1"><name>second</name></vm>`).is(409, failure(vmExists)),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", "<name>first</name>"))),
		}},
		{name: "a VM is registered for two tenants", lines: "register.409 register.unique http.behind", talk: talk{
			aSimple,
			register("$bios1"),
			another,
			aComplete,
			call(path+"register", `<vm biosId="$bios1"/>`).is(409, failure(vmExists)),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
			call("GET /tenants/$first/vms").is(200, vms(aVM("$bios1", ""))),
		}},
		{name: "a BIOS ID in other forms is the same", lines: "bios.forms register.unique", talk: talk{
			aSimple,
			register("$bios1.upper"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			call(path+"register", `<vm biosId="$bios1"/>`).is(409, failure(vmExists)),
			call(path+"register", `<vm biosId="$bios1.bare"/>`).is(409, failure(vmExists)),
			call(path+"register", `<vm biosId="$bios1.braces"/>`).is(409, failure(vmExists)),
			hears("$bios1", svmAddress),
		}},
		{name: "a BIOS ID without hyphens, and one in braces", lines: "bios.forms", talk: talk{
			aSimple,
			register("$bios1.bare"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			call(path + "unregister?biosId=$bios1.escaped").is(200),
			register("$bios2.braces"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios2", ""))),
			call(path + "unregister?biosId=$bios2.bare").is(200),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "a BIOS ID in the other byte order is another", lines: "bios.forms register.unique", talk: talk{
			aSimple,
			register("$bios1"),
			register("$bios1.swapped"),
		}},
		{name: "a VM is known to every gateway at once", lines: "register.200 http.behind", talk: talk{
			aSimple,
			register("$bios1"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			call(path+"register", `<vm biosId="$bios1"/>`).is(409, failure(vmExists)),
			call(path + "unregister?biosId=$bios1").is(200),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "a tenant without VMs", lines: "vms.200 vms.container", talk: talk{
			aSimple,
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "the VMs of a tenant that is not there", lines: "vms.404", talk: talk{
			call("GET /tenants/$nobody/vms").is(404, failure(noTenant)),
			call("GET /tenants/17/vms").is(404, failure(noTenant)),
		}},
		{name: "a list of VMs has those of its tenant alone", lines: "vms.200", talk: talk{
			aSimple,
			register("$bios1"),
			another,
			aSimple,
			register("$bios2"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios2", ""))),
			call("GET /tenants/$first/vms").is(200, vms(aVM("$bios1", ""))),
		}},
		{name: "the list of VMs has no pages", lines: "http.pages", talk: talk{aSimple, do(manyVMs)}},

		{name: "a VM is unregistered by its BIOS ID", lines: "unregister.bios unregister.empty", talk: talk{
			aSimple,
			register("$bios1"),
			call(path + "unregister?biosId=$bios1").is(200).nothing(),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
			register("$bios1"),
		}},
		{name: "a VM is unregistered by its id", lines: "unregister.vm unregister.empty", talk: talk{
			aSimple,
			register("$bios1"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			call(path + "unregister?vmId=$vm").is(200).nothing(),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "a BIOS ID is no VM's id, nor the other way round", lines: "unregister.404-vm", talk: talk{
			aSimple,
			register("$bios1"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			call(path+"unregister?vmId=$bios1").is(404, failure(noVM)),
			call(path+"unregister?biosId=$vm").is(404, failure(noVM)),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
		}},
		{name: "a VM that is not there is unregistered", lines: "unregister.404-vm", talk: talk{
			aSimple,
			call(path+"unregister?biosId=$bios1").is(404, failure(noVM)),
			call(path+"unregister?vmId=$nobody").is(404, failure(noVM)),
		}},
		{name: "a VM is unregistered twice", lines: "unregister.404-vm", talk: talk{
			aSimple,
			register("$bios1"),
			call(path + "unregister?biosId=$bios1").is(200),
			call(path+"unregister?biosId=$bios1").is(404, failure(noVM)),
		}},
		{name: "another tenant's VM is unregistered", lines: "unregister.404-vm", talk: talk{
			aSimple,
			register("$bios1"),
			another,
			aSimple,
			call(path+"unregister?biosId=$bios1").is(404, failure(noVM)),
			call("GET /tenants/$first/vms").is(200, vms(aVM("$bios1", ""))),
			call(path+"unregister?vmId=$vm").is(404, failure(noVM)),
			call("GET /tenants/$first/vms").is(200, vms(aVM("$bios1", ""))),
		}},
		{name: "a VM of a tenant that is not there is unregistered", lines: "unregister.404", talk: talk{
			aSimple,
			register("$bios1"),
			call("POST /tenants/$nobody/vms/unregister?biosId=$bios1").is(404, failure(noTenant)),
			call("POST /tenants/$nobody/vms/unregister?vmId=$nobody").is(404, failure(noTenant)),
		}},
		{name: "a VM is unregistered by neither id, or by both", lines: "unregister.one http.400", talk: talk{
			aSimple,
			register("$bios1"),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
			call(path+"unregister").is(400, failure(malformed)),
			call(path+"unregister?biosId=$bios1&vmId=$vm").is(400, failure(malformed)),
			call(path+"unregister?biosId=").is(400, failure(malformed)),
			call(path+"unregister?biosId=17").is(400, failure(malformed)),
			call(path+"unregister?vmId=17").is(400, failure(malformed)),
			call(path+"unregister?biosId=$bios1&biosId=$bios2").is(400, failure(malformed)),
			call("GET /tenants/$t/vms").is(200, vms(aVM("$bios1", ""))),
		}},
	}
}

// manyVMs imports more VMs than any page has, and counts them.
func manyVMs(c *client) {
	const many = 1100
	var b strings.Builder
	for n := range many {
		fmt.Fprintf(&b, `{"vm":{"biosId":%q,"tenant":%q,"name":"one of many"}}`+"\n", manyBIOS(n), c.vars["t"])
	}
	c.manage(c.T, "POST", "/v1/import", b.String())
	c.everywhere(c.T, "/v1/vms/"+manyBIOS(many-1))
	c.listed(c.vars.fill("/tenants/$t/vms"), "<name>one of many</name>", many)
}

func manyBIOS(n int) string { return fmt.Sprintf("b1050000-0000-4000-8000-%012d", n) }
