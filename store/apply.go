package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A Batch is a set of records to apply together.
type Batch struct {
	// Records with a zero version are stamped with a new one; the others are
	// taken as they are and merged.
	Records []Record
	// From names where the records come from, for subscribers that pass news on
	// and must not send it back.
	From string
	// Lenient leaves out, and counts, what is no record: without a version, or with
	// a value that can not be read. It is for what comes from peers.
	Lenient bool
}

// Apply changes the table: all of the batch or, on an error, nothing. It returns
// when the change is in the journal and visible to every reader; changes that are
// made at the same time reach the disk together. Records that merging does not
// prefer are dropped silently, and records from more than [MaxSkew] in the future
// are refused and counted: neither is an error. A record whose value can not be
// read is one, unless the batch is lenient.
//
// Errors wrap [ErrReadOnly], [ErrFull] or [ErrClosed].
func (t *Table) Apply(b Batch) (*News, error) {
	c := &change{from: b.From, told: true, fn: func(tx *Tx) error {
		for _, r := range b.Records {
			if err := tx.merge(r, b.Lenient); err != nil {
				return err
			}
		}
		return nil
	}}
	if t.do(c); c.err != nil {
		return nil, c.err
	}
	return c.news, nil
}

// merge stages a record if the table prefers it to its own.
func (tx *Tx) merge(r Record, lenient bool) error {
	t := tx.table
	switch {
	case r.Version.IsZero() && lenient:
		t.unreadable.Add(1)
		return nil
	case r.Version.IsZero():
		r.Version = t.clock.next()
	case !t.clock.admissible(r.Version):
		t.refuse(&r)
		return nil
	}
	t.clock.observe(r.Version)
	if err := r.check(); err != nil {
		if lenient {
			t.unreadable.Add(1)
			return nil
		}
		return fmt.Errorf("record %s: %w", r.Key, err)
	}
	have := tx.record(r.Key)
	if t.isForgotten(&have, &r) || !t.floors.lift(&r) {
		return nil
	}
	winner, changed := merge(have, r)
	tx.conflicting(&have, &r, &winner)
	if !changed {
		return nil
	}
	if winner.Key.Kind == KindTenant {
		row, _ := decodeTenant(winner.Value) // without a name if it is a tombstone
		tx.rename(winner.Key.ID, row.Name)
	}
	tx.group.put(winner)
	return nil
}

// record returns the record of a key as it is in this change, on top of those
// that are written together with it. The value of a VM's may be valid only until
// the next call, that of a bulk kind until the table changes.
func (tx *Tx) record(key Key) Record {
	if r, ok := tx.group.find(key); ok {
		return r
	}
	r := tx.table.currentIn(&tx.table.packing.mem, key)
	if key.Kind == KindEvent && !tx.table.floors.lift(&r) { // it goes, and another may come in its place
		return Record{}
	}
	return r
}

// current returns the record of a key as it is now.
func (t *Table) current(key Key) Record {
	if key.isBulk() {
		r, _ := t.rowCopy(key)
		return r
	}
	return t.currentIn(&values{}, key)
}

// currentIn is current into memory that was used before.
func (t *Table) currentIn(mem *values, key Key) Record {
	if key.Kind != KindVM && key.Kind != KindPlacement {
		r, _ := t.row(key)
		return r
	}
	e := t.entryIn(mem, key.ID)
	return *e.record(key.Kind)
}

// commit makes the staged records visible. Tenants and SVMs come first, with
// everything that observers derive from them: a VM that refers to a tenant is
// never visible before the tenant is.
func (t *Table) commit(s *stage) error {
	if len(s.rows) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.packing.forget()
	var tenants, svms idSet
	touchedTokens := false
	for i := range s.rows {
		r := &s.rows[i]
		switch r.Key.Kind {
		case KindPlacement:
			continue
		case KindVM: // it may refer to a tenant that nobody has told of
			if id, ok := tenantOfVM(r.Value); ok {
				if _, known := t.symbols.tenantIndex[id]; !known {
					tenants.add(id)
				}
			}
			continue
		case KindTenant, KindActivation:
			tenants.add(r.Key.ID)
		case KindSVMConfig, KindSVMFacts, KindSVMLoad:
			svms.add(r.Key.ID)
		case KindAccount:
			t.commitAccount(r)
		case KindObservation:
			t.commitObservation(r)
		case KindEvent, KindProtection:
			if r.Key.isFloor() {
				t.floors.raise(r)
			}
		case KindTask:
			t.commitTask(r)
		case KindToken:
			touchedTokens = true
			t.tokenRows[r.Key.ID] = *r
		}
		t.setRow(r)
	}
	for _, id := range tenants.list {
		if _, ok := t.symbols.tenantIndex[id]; !ok {
			t.symbols.addTenant(id)
		}
	}
	// Packing numbers what VMs name, and observers are to see it in the view.
	if err := t.packVMs(s); err != nil {
		return err
	}
	t.publish(tenants.list, svms.list, s)
	if touchedTokens {
		t.rebuildTokens(time.Now())
	}
	t.writeVMs()
	t.sink()
	return nil
}

// publish builds the next view with the named tenants and SVMs worked out anew.
func (t *Table) publish(tenants, svms [][16]byte, s *stage) {
	old := t.view.Load()
	if len(tenants)+len(svms) == 0 && len(t.symbols.paths) == len(old.paths) && len(t.symbols.versions) == len(old.versions) {
		return
	}
	next := &View{revision: old.revision + 1, tenants: old.tenants, svms: old.svms}
	change := &ViewChange{View: next}
	if len(tenants) > 0 {
		next.tenants = slices.Clone(old.tenants)
	}
	for _, id := range tenants {
		i := t.symbols.tenantIndex[id]
		for i >= len(next.tenants) {
			next.tenants = append(next.tenants, nil)
		}
		was := next.tenants[i]
		next.tenants[i] = tenantFrom(id, t.rows[Key{KindTenant, id}], t.rows[Key{KindActivation, id}])
		t.rename(was, next.tenants[i])
		change.Tenants = append(change.Tenants, i)
	}
	t.publishSVMs(next, change, svms, s)
	if len(change.Tenants) == 0 && len(change.SVMs) == 0 && len(t.symbols.paths) == len(old.paths) &&
		len(t.symbols.versions) == len(old.versions) {
		return
	}
	next.paths, next.versions = t.symbols.paths, t.symbols.versions
	t.view.Store(next)
	for _, fn := range t.observers.fns {
		fn(change)
	}
}

// rename keeps tenantNames in step; either tenant may be nil.
func (t *Table) rename(was, is *Tenant) {
	if was != nil && is != nil && was.Name == is.Name {
		return
	}
	if was != nil {
		rest := slices.DeleteFunc(t.tenantNames[was.Name], func(id TenantID) bool { return id == was.ID })
		if t.tenantNames[was.Name] = rest; len(rest) == 0 {
			delete(t.tenantNames, was.Name)
		}
	}
	if is != nil {
		t.tenantNames[is.Name] = append(t.tenantNames[is.Name], is.ID)
	}
}

func (t *Table) publishSVMs(next *View, change *ViewChange, svms [][16]byte, s *stage) {
	now := time.Since(t.start)
	cloned := false
	for _, id := range svms {
		i, ok := t.svmIndex[id]
		if !ok {
			i = len(next.svms)
			t.svmIndex[id] = i
		}
		load := &t.loads[i]
		fresh := i >= len(next.svms) || next.svms[i] == nil
		if s.at(Key{KindSVMLoad, id}) >= 0 || fresh {
			r := t.rows[Key{KindSVMLoad, id}]
			if row, err := decodeLoad(r.Value); err == nil {
				load.report(row, t.madeHere(&r, row.Reported), t.picks[i].Load(), now)
			} else {
				load.forget(t.picks[i].Load())
			}
		}
		if !ok || s.at(Key{KindSVMConfig, id}) >= 0 || s.at(Key{KindSVMFacts, id}) >= 0 {
			if !cloned {
				next.svms, cloned = slices.Clone(next.svms), true
			}
			if !ok {
				next.svms = append(next.svms, nil)
			}
			next.svms[i] = t.svmOf(id, i, time.Now())
			change.SVMs = append(change.SVMs, i)
		}
		if e := next.svms[i]; e != nil {
			t.settle(e, now)
		}
	}
}

// madeHere reports whether a record was written by this node just now. After a restart
// peers may bring back what it wrote before.
func (t *Table) madeHere(r *Record, at Time) bool {
	late := t.clock.now.Sub(at.Time)
	return r.Version.Node == t.clock.node && 0 <= late && late < time.Second
}

// tenantFrom works out a tenant from its records; nil if it has no settings.
func tenantFrom(id TenantID, settings, activation Record) *Tenant {
	row, err := decodeTenant(settings.Value)
	if err != nil {
		return nil
	}
	status := Inactive
	if a, err := decodeActivation(activation.Value); err == nil && a.active() {
		status = Active
	}
	return &Tenant{
		ID: id, Name: row.Name, Description: row.Description, Type: row.Type, Status: status,
		UserData: row.UserData, Subnets: notNil(row.Subnets), Discovery: row.Discovery,
		Administration: row.Administration, Created: row.Created,
		Updated:  milliTime(max(settings.Version.Millis(), activation.Version.Millis())),
		Revision: fingerprint(settings.Version, activation.Version),
	}
}

// svmOf works out an SVM from its rows; nil if it has no configuration.
func (t *Table) svmOf(id SVMID, index int, now time.Time) *SVMEntry {
	config, facts := t.rows[Key{KindSVMConfig, id}], t.rows[Key{KindSVMFacts, id}]
	c, err := decodeSVMConfig(config.Value)
	if err != nil {
		return nil
	}
	f, err := decodeFacts(facts.Value)
	if err != nil {
		f = SVMFacts{}
	}
	c.Tags, c.Tenants, f.Kinds = notNil(c.Tags), notNil(c.Tenants), notNil(f.Kinds)
	version, _ := ParseProductVersion(f.Version)
	return &SVMEntry{
		SVM:   SVM{ID: id, SVMConfig: c.SVMConfig, SVMFacts: f, Drain: c.Drain, Revision: fingerprint(config.Version, facts.Version)},
		Index: index, Version: version, Symbols: t.symbols.path(f.Path),
		Licensed: licensed(&f.License, now), wanted: c.Wanted,
	}
}

func licensed(l *License, now time.Time) bool {
	return l.State == LicenseValid && (l.Expires.IsZero() || now.Before(l.Expires.Time))
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// fingerprint makes a number that a JSON reader keeps exactly.
func fingerprint(versions ...Version) uint64 {
	e := newEncoder()
	for _, v := range versions {
		e.version(v)
	}
	return xxhash.Sum64(e) & (1<<53 - 1)
}
