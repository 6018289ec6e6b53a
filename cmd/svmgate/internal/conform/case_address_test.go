package conform

import (
	"encoding/json"
	"strings"
)

// addressCases are about the address at which a tenant's agents find the Integration
// Server. No answer of this API has it; the management plane shows what was kept.
func addressCases() []test {
	keeps := func(want string) turn {
		return do(func(c *client) {
			c.Helper()
			if want == "" {
				want = strings.TrimPrefix(c.url, "https://")
			}
			var kept struct {
				Administration struct{ IntegrationServer string }
			}
			text := c.manage(c.T, "GET", c.vars.fill("/v1/tenants/$t"), nil)
			if err := json.Unmarshal(text, &kept); err != nil || kept.Administration.IntegrationServer != want {
				c.Errorf("the address is %q (%v), want %q", kept.Administration.IntegrationServer, err, want)
			}
		})
	}
	given := func(address string) *exchange {
		return call("POST /tenants", tenantBody("<preferredViisAddress>"+address+"</preferredViisAddress>", ofComplete, account(adminName, adminPassword)))
	}
	made := named(complete("Inactive"))
	return []test{
		{name: "an address that is preferred", lines: "create.address create.body", talk: talk{
			given("192.0.2.77").completes("CreateTenant", made), keeps("192.0.2.77"),
			another,
			given("viis.example.org").completes("CreateTenant", made), keeps("viis.example.org"),
			another,
			given("2001:db8::1").completes("CreateTenant", made), keeps("2001:db8::1"),
		}},
		{name: "no address is preferred", lines: "create.address create.forwarded", talk: talk{
			aComplete, keeps(""),
			another,
			given("").completes("CreateTenant", made), keeps(""),
		}},
		{name: "a client that says which host was asked", lines: "create.forwarded", talk: talk{
			call("POST /tenants", completeBody).with("X-Forwarded-Host: elsewhere.example").completes("CreateTenant", made), keeps(""),
		}},
		{name: "an address that is none", lines: "create.address http.400", talk: refused(
			tenantBody(ofSimple, "<preferredViisAddress>not an address</preferredViisAddress>"),
			tenantBody(ofSimple, "<preferredViisAddress>https://192.0.2.77/</preferredViisAddress>"),
		)},
	}
}
