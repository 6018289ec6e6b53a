package watch

import (
	"fmt"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// BenchmarkNotices is one notice of an agent whose tenant is inactive, from the feed on, on
// a gateway that is alone and keeps nothing: one that says what was told, as most do, and
// one that is told.
func BenchmarkNotices(b *testing.B) {
	const vms = 100_000
	table, err := store.Open(store.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { table.Close() })
	ids := make([]store.BIOSID, vms)
	for i := range ids {
		ids[i] = bios(i)
	}
	if err := registerIn(table, ids...); err != nil {
		b.Fatal(err)
	}
	w, err := New(Config{Table: table})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.Run(fmt.Sprintf("told=new/vms=%d", vms), func(b *testing.B) {
		for i := range b.N {
			if i%vms == 0 {
				b.StopTimer()
				err := table.Update(func(tx *store.Tx) error {
					if _, err := tx.SetActive(store.TenantID{1}, true); err != nil {
						return err
					}
					_, err := tx.SetActive(store.TenantID{1}, false)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := table.ForgetEvents(store.Time{Time: time.Now()}, 0); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			w.notice(Notice{ids[i%vms], Inactive}, now)
		}
		w.act(now)
	})
	for _, id := range ids {
		w.notice(Notice{id, Inactive}, now)
	}
	w.act(now)
	b.Run(fmt.Sprintf("told=before/vms=%d", vms), func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			w.notice(Notice{ids[i*7919%vms], Inactive}, now)
		}
	})
}
