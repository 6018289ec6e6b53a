package store

import (
	"encoding/binary"
	"testing"
	"time"
)

// A list that was made to keep its reader busy takes time in proportion to its
// length: every other record is damaged, and all of it looks like lengths.
func TestHostileListTakesNotLong(t *testing.T) {
	const size = 1 << 20
	sound := appendRecord(nil, &Record{Key: Key{KindObservation, [16]byte{1}}, Version: Version{Clock: 1, Node: 1}})
	damaged := make([]byte, recordHead+24)
	for i := 0; i < len(damaged); i += 4 {
		binary.LittleEndian.PutUint32(damaged[i:], size/4)
	}
	binary.LittleEndian.PutUint32(damaged, 24)
	var list []byte
	for len(list) < size {
		list = append(append(list, damaged...), sound...)
	}
	least := time.Hour // of some runs: the machine may be busy
	for run := 0; run < 10 && least > time.Second; run++ {
		began, found := time.Now(), 0
		_ = eachRecord(list, func(r listed) error {
			if r.sound {
				found++
			}
			return nil
		})
		if least = min(least, time.Since(began)); found != len(list)/(len(damaged)+len(sound)) {
			t.Fatalf("%d sound records, want all", found)
		}
	}
	if least > time.Second {
		t.Errorf("to read the list took %v, want a second at most", least)
	}
}
