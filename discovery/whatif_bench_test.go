package discovery_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// What a forecast costs: one SVM of all is lost.
func BenchmarkWhatIf(b *testing.B) {
	for _, size := range []struct{ svms, vms int }{{64, 100_000}, {1000, 1_000_000}} {
		if testing.Short() {
			size.vms = 10_000
		}
		st := newStage(b, rules{dead: "192.0.2.1"}, plainSVMs(size.svms)...)
		for first := 0; first < size.vms; first += 10_000 {
			err := st.table.Update(func(tx *store.Tx) error {
				for i := first; i < first+10_000; i++ {
					id := store.BIOSID{15: 1}
					binary.LittleEndian.PutUint64(id[:], uint64(i))
					if _, err := tx.PutVM(store.VM{BIOS: id, OS: store.GuestOS(i % 3)}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		var a discovery.Answer
		st.table.ScanVMs(func(_ int, bios store.BIOSID, _ store.Slot) bool {
			st.standing.Select(&discovery.Query{BIOS: bios}, &a)
			return true
		})
		b.Run(fmt.Sprintf("svms=%d/vms=%d", size.svms, size.vms), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := st.standing.WhatIf(b.Context(), discovery.Change{Lose: []store.SVMID{plainSVM(3, 0).id}})
				if err != nil || f.Moves.AtOnce == 0 {
					b.Fatal(f.Moves, err)
				}
			}
		})
	}
}
