package store

import (
	"cmp"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// checkBounds fails if the staged records would exceed a bound of the table. It
// runs before the journal, so that what is journalled can always be committed.
func (t *Table) checkBounds(s *stage) error {
	if t.roomy(len(s.rows)) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var tenants, svms idSet // that have no index yet
	bulk := t.bulkStats
	tenant := func(id TenantID) {
		if _, ok := t.symbols.tenantIndex[id]; !ok {
			tenants.add(id)
		}
	}
	for i := range s.rows {
		var err error
		switch r := &s.rows[i]; r.Key.Kind {
		case KindTenant, KindActivation:
			tenant(r.Key.ID)
		case KindVM:
			if id, ok := tenantOfVM(r.Value); ok {
				tenant(id)
			}
			err = t.vms.room(r.Key.ID)
		case KindSVMConfig, KindSVMFacts, KindSVMLoad:
			if _, ok := t.svmIndex[r.Key.ID]; !ok {
				svms.add(r.Key.ID)
			}
			err = t.internFacts(r)
		case KindPlacement:
			err = cmp.Or(t.vms.room(r.Key.ID), t.internPlacement(r))
		case KindEvent, KindObservation, KindProtection:
			err = bulk.admit(t, r)
		}
		if err != nil {
			return err
		}
	}
	if len(t.symbols.tenantIndex)+len(tenants.list) > MaxTenants {
		return fmt.Errorf("%w: %d tenants, deleted ones included", ErrFull, MaxTenants)
	}
	if len(t.svmIndex)+len(svms.list) > MaxSVMs {
		return fmt.Errorf("%w: %d SVMs, forgotten ones included", ErrFull, MaxSVMs)
	}
	return nil
}

// roomy reports whether no bound is near: whatever n records may be, there is
// room for them.
func (t *Table) roomy(n int) bool {
	s := t.symbols
	return len(t.symbols.tenantIndex)+n <= MaxTenants && len(t.svmIndex)+n <= MaxSVMs &&
		len(s.byName)+len(PathSymbols{})*n <= s.most && len(s.paths)+n <= MaxPaths && len(s.versions)+n <= MaxVersions &&
		t.vms.largest.Load() < maxArena && t.bulkStats.roomy(n)
}

func (t *Table) internFacts(r *Record) error {
	f, err := decodeFacts(r.Value)
	if r.Key.Kind != KindSVMFacts || err != nil {
		return nil
	}
	if err := t.symbols.room(f.Path); err != nil {
		return err
	}
	t.symbols.path(f.Path)
	return nil
}

func (t *Table) internPlacement(r *Record) error {
	row, err := readPlacement(borrow(r.Value))
	if err != nil { // a tombstone
		return nil
	}
	if _, err := t.symbols.pathIndex(row.Path); err != nil {
		return err
	}
	_, err = t.symbols.versionIndex(row.Version)
	return err
}

// Bounds of bulk kinds.
const (
	MaxEvents  = 4 << 20  // of which retention leaves far fewer
	MaxHistory = 64 << 20 // observations, and VMs of tenants with days of protection
	maxBulk    = 16 << 30 // bytes of all of them

	maxBulkValue = 1 << 20 // bytes of one
	maxBulkPart  = 1 << 29 // bytes of a bucket, which is one frame of a snapshot
	bulkSpare    = 1 << 28 // bytes that changes have on which nobody looks closely
)

// bulkStats are the records of bulk kinds that there are.
type bulkStats struct {
	events, observations, protections int

	bytes, largest int // of all, and of the bucket that has most or had
}

func (s *bulkStats) add(r *Record, n int) {
	switch r.Key.Kind {
	case KindEvent:
		s.events += n
	case KindObservation:
		s.observations += n
	case KindProtection:
		s.protections += n
	}
	s.bytes += n * (bulkHead + len(r.Value))
}

// roomy reports whether no bound is near: there is room for n records, whatever they are.
func (s *bulkStats) roomy(n int) bool {
	return s.events+n <= MaxEvents && s.observations+s.protections+n <= MaxHistory &&
		s.bytes+bulkSpare <= maxBulk && s.largest+bulkSpare <= maxBulkPart
}

// admit counts a staged record, and fails if it exceeds a bound.
func (s *bulkStats) admit(t *Table, r *Record) error {
	if !r.Key.isBulk() {
		return nil
	}
	have, ok := t.row(r.Key)
	if ok {
		s.add(&have, -1)
	}
	s.add(r, +1)
	part := len(t.buckets[bucketOf(xxhash.Sum64(r.Key.ID[:]))].bulk.data)
	switch {
	case !ok && r.Key.Kind == KindEvent && s.events > MaxEvents:
		return fmt.Errorf("%w: %d events", ErrFull, MaxEvents)
	case !ok && r.Key.Kind != KindEvent && s.observations+s.protections > MaxHistory:
		return fmt.Errorf("%w: %d observations and VMs with days of protection", ErrFull, MaxHistory)
	case len(r.Value) > len(have.Value) && s.bytes > maxBulk:
		return fmt.Errorf("%w: %d bytes of events, observations and days of protection", ErrFull, maxBulk)
	case len(r.Value) > len(have.Value) && part+bulkHead+len(r.Value) > maxBulkPart:
		return fmt.Errorf("%w: %d bytes of events, observations and days of protection in a part of the table", ErrFull, maxBulkPart)
	}
	return nil
}
