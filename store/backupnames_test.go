package store

import "testing"

// Names that only tenants of the backup have are no obstacle, whoever has them now.
func TestRestoreAsNewOfTradedNames(t *testing.T) {
	row := tenantRow{Name: "one"}
	tests := []struct {
		name  string
		since []string // names that the tenants got after the backup, one after the other
		share bool     // whether the backup has the second by the name of the first
	}{
		{"traded", []string{"spare", "one", "two"}, false},
		{"moved up", []string{"spare", "one"}, false},
		{"shared", nil, true},
		{"shared, and one renamed", []string{"spare"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := open(t, Config{})
			x.must(t, func(tx *Tx) error { return only(tx.PutTenant(Tenant{ID: TenantID{1}, Name: "one"})) })
			x.must(t, func(tx *Tx) error { return only(tx.PutTenant(Tenant{ID: TenantID{2}, Name: "two"})) })
			if tt.share { // as two gateways make them that do not hear each other
				x.apply(t, Record{Key: Key{KindTenant, TenantID{2}}, Value: row.encode()})
			}
			backup, want := x.backup(t), x.lasting().objects()
			for i, name := range tt.since {
				id := TenantID{byte(i%2 + 1)}
				x.must(t, func(tx *Tx) error { return only(tx.PutTenant(Tenant{ID: id, Name: name})) })
			}
			for _, into := range []tester{x, open(t, Config{})} {
				if _, err := into.RestoreAsNew(backup, backup.Size()); err != nil {
					t.Fatal(err)
				}
				if got := into.lasting().objects(); got != want {
					t.Errorf("there is\n%s\nwant\n%s", got, want)
				}
				for _, name := range []string{"one", "two"} {
					_, taken := into.TenantByName(name)
					err := into.Update(func(tx *Tx) error { return only(tx.PutTenant(Tenant{ID: TenantID{3}, Name: name})) })
					if taken && err == nil {
						t.Errorf("the name %q can be taken twice", name)
					}
				}
			}
		})
	}
}
