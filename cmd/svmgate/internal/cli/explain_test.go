package cli

import (
	"fmt"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// What people see of an explanation: the sentence, what it was decided from, those that
// are ranked, the others.
func TestExplainShows(t *testing.T) {
	g := newCrowd(t)
	check(t, g.table.Update(func(tx *store.Tx) error {
		for i, edit := range []func(*store.SVM){
			func(s *store.SVM) { s.Version = "5.2" },
			func(s *store.SVM) { s.Tags = []string{"gold"} },
			func(s *store.SVM) { s.State = store.Draining },
			func(s *store.SVM) { s.License.State = store.LicenseNone },
			func(s *store.SVM) { s.Path.Host = "esx-01" },
		} {
			svm := store.SVM{ID: store.SVMID{15: byte(i + 11)}}
			svm.Name, svm.Address, svm.Version = fmt.Sprint("svm-", i+11), fmt.Sprint("10.9.1.", i), "6.0"
			svm.License.State = store.LicenseValid
			edit(&svm)
			if _, err := tx.PutSVM(svm); err != nil {
				return err
			}
		}
		_, err := tx.PutVM(store.VM{
			BIOS: store.BIOSID{15: 9}, Tenant: store.TenantID{15: 1}, OS: store.OSServer, Kind: store.AgentLinux,
			Version: "12.0", Path: store.Path{Host: "esx-01", Zone: "ams1"},
		})
		return err
	}))
	bios := store.BIOSID{15: 9}.String()
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{nil, []string{
			"svm-15 at 10.9.1.4: the only one of its class\n\nAgent   version 12.0, server, linux, host esx-01, zone ams1\n" +
				"Rule    standard, balanced\nTenant  acme (complete, active)\n\nRANK  SVM",
			"   1  svm-15  10.9.1.4  ready", "licensed, key fits, local",
			"of a lower class: it is not local", "no licence, key fits", "of a lower class: no valid licence",
			"NOT RANKED", "draining 0 %", "it takes no new agents", "F1 version", "F3 tag",
		}},
		{[]string{"--current", store.SVMID{15: 2}.String()}, []string{"Has     svm-2, as it says", "kept: it is healthy; svm-15 is nearer"}},
		{[]string{"--failed", store.SVMID{15: 15}.String()}, []string{"the agent could not reach it", "first in its order of 4 alike"}},
	} {
		out := g.must(append([]string{"explain", bios}, tt.args...)...)
		wantAll(t, fmt.Sprint("explain ", tt.args), out, tt.want...)
		t.Logf("explain %v\n%s", tt.args, out)
	}
}
