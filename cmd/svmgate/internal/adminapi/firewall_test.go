package adminapi

import (
	"strings"
	"testing"
)

// The rules of a tenant, in every format; each answer is held against the document.
func TestFirewall(t *testing.T) {
	w := newWorld(t)
	path := "/v1/tenants/" + w.tenant.String()
	w.must(200, "PATCH", path, `{"subnets":["10.1.0.0/16"]}`)
	w.must(200, "POST", path+"/deactivate", "")
	for query, want := range map[string]string{
		"":                              "\tchain forward {\n",
		"?format=nftables":              "\tchain forward {\n",
		"?format=nftables&interface=t0": `iifname "t0" tcp dport { 80, 9876, 9877, 11111, 11112 } ip saddr @subnets4 ip daddr @svms4 counter drop`,
		"?format=iptables":              "\n*filter\n",
		"?format=json":                  `"due":true,`,
		"?snat=10.9.0.1/24":             "ip saddr @subnets4 ip daddr 10.9.0.0/24 snat ip to 10.9.0.1\n",
		"?snat=10.9.0.1/24,fd09::1/64&interface=t0&zone=7": "ct original zone set 7",
		"?format=json&snat=10.9.0.1/24":                    `"to":"10.9.0.1"`,
	} {
		a := w.must(200, "GET", path+"/firewall"+query, "")
		if !strings.Contains(a.body, want) {
			t.Errorf("%s: want %q in\n%s", query, want, a.body)
		}
		kind := "text/plain; charset=utf-8"
		if strings.Contains(query, "json") {
			kind = "application/json"
		}
		if got := a.header.Get("Content-Type"); got != kind {
			t.Errorf("%s: Content-Type %s, want %s", query, got, kind)
		}
	}
	w.must(200, "POST", path+"/activate", "")
	if a := w.must(200, "GET", path+"/firewall", ""); strings.Contains(a.body, "chain") || !strings.Contains(a.body, "it is active, so nothing is to be blocked") || !strings.Contains(a.body, "delete table inet svmgate-"+w.tenant.String()) {
		t.Errorf("active:\n%s", a.body)
	}
}

func TestFirewallRefuses(t *testing.T) {
	w := newWorld(t)
	path := "/v1/tenants/" + w.tenant.String() + "/firewall"
	for query, want := range map[string]string{
		"format=ufw":                             `"ufw" is not one of nftables, iptables, json`,
		"interface=":                             "is not the name of an interface",
		"interface=a%22%20b":                     "is not the name of an interface",
		"snat=":                                  "query parameter snat",
		"snat=10.9.0.1":                          "10.9.0.1/24",
		"snat=10.9.0.1/24,fd09::1/64,10.9.0.2/8": "query parameter snat",
		"snat=10.9.0.0/24":                       "is no address of a host",
		"zone=1":                                 "zone needs snat",
		"snat=10.9.0.1/24&zone=0&interface=a":    "from 1 to 65535",
		"snat=10.9.0.1/24&zone=65536":            "from 1 to 65535",
		"snat=10.9.0.1/24&zone=1":                "interface and zone go together",
		"dry=true":                               "it takes format, interface, snat, zone",
	} {
		if a := w.do("GET", path+"?"+query, ""); a.status != 400 || !strings.Contains(a.body, strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%s: %d %s, want %s", query, a.status, a.body, want)
		}
	}
	if a := w.do("GET", "/v1/tenants/00000000-0000-0000-0000-0000000000a9/firewall", ""); a.status != 404 || a.code() != "tenant_not_found" {
		t.Errorf("no such tenant: %d %s", a.status, a.body)
	}
}
