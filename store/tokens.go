package store

import (
	"encoding/binary"
	"time"
)

// tokenIndex finds tenants by the digests of their tokens. It is not changed once it is
// published. A digest is as good as a hash: it says where it stands, or shortly behind.
// At least a quarter of the slots are empty, and each is a cache line: so it takes one load.
type tokenIndex struct {
	mask  uint64 // the number of slots is a power of two, less one
	slots []tokenSlot
}

type tokenSlot struct {
	sum    [32]byte
	tenant TenantID
	used   bool
	_      [15]byte
}

// newTokenIndex returns an index with room for n digests.
func newTokenIndex(n int) *tokenIndex {
	size := 2
	for size*3 < n*4 {
		size *= 2
	}
	x := &tokenIndex{mask: uint64(size - 1), slots: make([]tokenSlot, size)}
	askHugePages(x.slots)
	return x
}

// slot returns the slot that has a digest, or the empty one where it belongs.
func (x *tokenIndex) slot(sum *[32]byte) *tokenSlot {
	for i := binary.LittleEndian.Uint64(sum[:]); ; i++ {
		if s := &x.slots[i&x.mask]; !s.used || s.sum == *sum {
			return s
		}
	}
}

func (x *tokenIndex) put(sum [32]byte, tenant TenantID) {
	*x.slot(&sum) = tokenSlot{sum: sum, tenant: tenant, used: true}
}

// sweepTokens drops tokens whose overlap has ended.
func (t *Table) sweepTokens(now time.Time) {
	if !t.tokenEnd.IsZero() && !now.Before(t.tokenEnd) {
		t.rebuildTokens(now)
	}
}

// rebuildTokens publishes the digests that are valid at a moment, and notes when
// the next of them ends.
func (t *Table) rebuildTokens(now time.Time) {
	list := make([]Token, 0, len(t.tokenRows))
	sums := 0
	t.tokenEnd = time.Time{}
	for id, r := range t.tokenRows {
		token, err := decodeToken(id, r.Value)
		if err != nil {
			continue
		}
		if sums++; now.Before(token.PreviousUntil) {
			sums++
		}
		list = append(list, token)
	}
	tokens := newTokenIndex(sums)
	for i := range list {
		token := &list[i]
		if now.Before(token.PreviousUntil) {
			tokens.put(token.Previous, token.Tenant)
			if t.tokenEnd.IsZero() || token.PreviousUntil.Before(t.tokenEnd) {
				t.tokenEnd = token.PreviousUntil
			}
		}
		tokens.put(token.Current, token.Tenant)
	}
	t.tokens.Store(tokens)
}
