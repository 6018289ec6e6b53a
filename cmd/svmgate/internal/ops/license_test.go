package ops

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/store"
)

func TestLicenseFamilies(t *testing.T) {
	table, selector := world(t, store.Config{}) // with an SVM that has no licence, and a VM of no tenant
	put := func(fn func(*store.Tx) error) {
		t.Helper()
		if err := table.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	r := prometheus.NewRegistry()
	r.MustRegister(NewSource(LicenseFamilies(t.Context(), &license.Surveyor{Table: table, Selector: selector, Warning: 48 * time.Hour})...))
	if n, err := testutil.GatherAndCount(r, "svmgate_license_next_expiry_days"); n != 0 || err != nil {
		t.Errorf("%d ends of licences, where none ends (%v)", n, err)
	}
	put(func(tx *store.Tx) error {
		s := store.SVM{ID: store.NewSVMID()}
		s.Address, s.Tags = "10.9.0.8", []string{"gold"}
		s.License = store.License{State: store.LicenseValid, Key: store.KeyServer, Expires: store.Time{Time: time.Now().Add(36 * time.Hour)}}
		_, err := tx.PutSVM(s)
		return err
	})
	want := `# HELP svmgate_licenses_expiring SVMs whose valid licence ends within the time of the setting license-warning.
# TYPE svmgate_licenses_expiring gauge
svmgate_licenses_expiring 1
# HELP svmgate_license_vms VMs by the best licence among the SVMs that the filters admit for them, and whether their agents are given SVMs; at most a minute old.
# TYPE svmgate_license_vms gauge
svmgate_license_vms{cover="covered",protected="false"} 0
svmgate_license_vms{cover="covered",protected="true"} 0
svmgate_license_vms{cover="none",protected="false"} 0
svmgate_license_vms{cover="none",protected="true"} 0
svmgate_license_vms{cover="other_key",protected="false"} 0
svmgate_license_vms{cover="other_key",protected="true"} 0
svmgate_license_vms{cover="unlicensed",protected="false"} 0
svmgate_license_vms{cover="unlicensed",protected="true"} 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "svmgate_licenses_expiring", "svmgate_license_vms"); err != nil {
		t.Error(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	svms := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			switch f.GetName() {
			case "svmgate_licenses":
				svms[m.Label[1].GetValue()+" "+m.Label[0].GetValue()] = m.Gauge.GetValue() // state, key
			case "svmgate_license_next_expiry_days":
				if days := m.Gauge.GetValue(); days < 1.4 || days > 1.5 {
					t.Errorf("%v days, want 1.5", days)
				}
			}
		}
	}
	if len(svms) != 12 || svms["valid server"] != 1 || svms["none core"] != 1 || svms["valid core"] != 0 {
		t.Errorf("SVMs by state and key: %v", svms)
	}
}
