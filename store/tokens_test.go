package store

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// Digests that begin alike stand behind one another, also around the end.
func TestTokenIndex(t *testing.T) {
	const n = 300
	x, sums := newTokenIndex(n), make([][32]byte, n)
	for i := range sums {
		sums[i] = sha256.Sum256([]byte(fmt.Sprint(i)))
		if i%3 > 0 { // all in the last slots
			copy(sums[i][:8], "\xff\xff\xff\xff\xff\xff\xff\xff")
		}
		if s := x.slot(&sums[i]); s.used {
			t.Errorf("digest %d is there before it is put in", i)
		}
		x.put(sums[i], TenantID{byte(i), byte(i >> 8)})
	}
	x.put(sums[5], TenantID{7: 7}) // takes the place of the other
	for i := range sums {
		want := TenantID{byte(i), byte(i >> 8)}
		if i == 5 {
			want = TenantID{7: 7}
		}
		if s := x.slot(&sums[i]); !s.used || s.tenant != want {
			t.Errorf("digest %d: %v", i, s)
		}
	}
	if len(x.all()) != n {
		t.Errorf("%d digests, want %d", len(x.all()), n)
	}
}
