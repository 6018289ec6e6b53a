package firewall

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

func TestTranslation(t *testing.T) {
	others := []store.Tenant{{ID: store.TenantID{15: 1}, Name: "globex", Subnets: []string{"10.1.2.0/24"}}}
	tests := []struct {
		name  string
		to    string
		iface Interface
		zone  Zone
		want  string // the error, or what is said, or the JSON
	}{
		{name: "alone", to: "10.9.0.1/24", want: `CAUTION: replies may go astray: 1 tenant has overlapping subnets; give each an interface and a zone of its own: "globex" (00000000-0000-0000-0000-000000000001, complete, inactive) at 10.1.2.0/24.`},
		{name: "an SVM elsewhere", to: "10.8.0.1/24", iface: "t-a", zone: 7, want: `Note: 1 SVM is not in the network that these rules lead to: "svm-1" at 10.9.0.7.`},
		{name: "the other family", to: "fd09::1/64", iface: "t-a", zone: 7, want: `Note: no address of IPv4 was given, so 1 IPv4 subnet can not reach SVMs there.`},
		{name: "in a zone", to: "10.9.0.1/24", iface: "t-a", zone: 7, want: `"zone":7,"rules":[{"family":"IPv4","interface":"t-a","sources":["10.1.0.0/16"],"network":"10.9.0.0/24","to":"10.9.0.1","action":"snat"}]`},
		{name: "no zone", to: "10.9.0.1/24", iface: "t-a", want: "interface and zone go together"},
		{name: "no interface", to: "10.9.0.1/24", zone: 7, want: "interface and zone go together"},
		{name: "a network", to: "10.9.0.0/24", want: "10.9.0.0/24 is no address of a host"},
		{name: "two of one family", to: "10.9.0.1/24 10.9.0.2/24", want: "two addresses of IPv4"},
		{name: "loopback", to: "127.0.0.1/8", want: "is no address of a host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var to []netip.Prefix
			for text := range strings.FieldsSeq(tt.to) {
				to = append(to, netip.MustParsePrefix(text))
			}
			snat, err := NewTranslation(inactive("10.1.0.0/16"), svmsAt("10.9.0.7"), others, to, tt.iface, tt.zone)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			text, err := json.Marshal(snat)
			check(t, err)
			for _, rules := range []string{snat.Nftables(), snat.Iptables()} {
				if !strings.Contains(rules+string(text), tt.want) {
					t.Errorf("%s\n%s\nwant %s", rules, text, tt.want)
				}
			}
			if (strings.Contains(tt.want, "CAUTION")) != (len(snat.Cautions) > 0) {
				t.Errorf("cautions: %q", snat.Cautions)
			}
			loads(t, snat.Nftables(), snat.Iptables())
		})
	}
}
