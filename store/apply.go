package store

import (
	"bytes"
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
}

// Apply changes the table: all of the batch or, on an error, nothing. It returns
// when the change is in the journal and visible to every reader. Records that
// merging does not prefer are dropped silently, and records from more than
// [MaxSkew] in the future are refused and counted: neither is an error. A record
// whose value can not be read is one.
//
// Errors wrap [ErrReadOnly], [ErrFull] or [ErrClosed].
func (t *Table) Apply(b Batch) (*News, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.applyLocked(b)
}

func (t *Table) applyLocked(b Batch) (*News, error) {
	if t.closed {
		return nil, ErrClosed
	}
	staged := newStage(len(b.Records))
	for _, r := range b.Records {
		if r.Version.IsZero() {
			r.Version = t.clock.next()
		} else if !t.clock.admissible(r.Version) {
			t.refused.Add(1)
			t.log.Warn("record from the future refused: check the clocks of the gateways", "key", r.Key)
			continue
		}
		t.clock.observe(r.Version)
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Key, err)
		}
		if winner, changed := merge(t.current(staged, r.Key), r); changed {
			staged.put(winner)
		}
	}
	if len(staged.order) == 0 {
		return &News{View: t.view.Load(), From: b.From}, nil
	}
	if err := t.checkBounds(staged); err != nil {
		return nil, err
	}
	// What need not last must not fail for want of a journal: an SVM's reports
	// keep it up while the disk is full.
	if lasting := staged.lasting(); len(lasting) > 0 {
		if err := t.journal.Append(lasting); err != nil {
			return nil, err
		}
	}
	news, err := t.commit(staged, b.From)
	if err != nil {
		return nil, err
	}
	for _, fn := range t.listeners.fns {
		fn(news)
	}
	return news, nil
}

// current returns the record of a key as it is now, staged changes included.
func (t *Table) current(s *stage, key Key) Record {
	if s != nil {
		if r, ok := s.rows[key]; ok {
			return r
		}
	}
	if key.Kind != KindVM && key.Kind != KindPlacement {
		return t.rows[key]
	}
	e := t.entryOf(key.ID)
	return *e.record(key.Kind)
}

// checkBounds fails if the staged records would exceed a bound of the table. It
// runs before the journal, so that what is journalled can always be committed.
func (t *Table) checkBounds(s *stage) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	tenants, svms := map[TenantID]bool{}, map[SVMID]bool{} // that have no index yet
	for _, key := range s.order {
		switch key.Kind {
		case KindTenant, KindActivation:
			if _, ok := t.symbols.tenantIndex[key.ID]; !ok {
				tenants[key.ID] = true
			}
		case KindVM:
			row, err := decodeVM(s.rows[key].Value)
			if _, ok := t.symbols.tenantIndex[row.Tenant]; err == nil && !ok {
				tenants[row.Tenant] = true
			}
		case KindSVMConfig, KindSVMFacts, KindSVMLoad:
			if _, ok := t.svmIndex[key.ID]; !ok {
				svms[key.ID] = true
			}
			if err := t.internFacts(s.rows[key]); err != nil {
				return err
			}
		case KindPlacement:
			if err := t.internPlacement(s.rows[key]); err != nil {
				return err
			}
		}
	}
	if len(t.symbols.tenantIndex)+len(tenants) > MaxTenants {
		return fmt.Errorf("%w: %d tenants, deleted ones included", ErrFull, MaxTenants)
	}
	if len(t.svmIndex)+len(svms) > MaxSVMs {
		return fmt.Errorf("%w: %d SVMs, forgotten ones included", ErrFull, MaxSVMs)
	}
	return nil
}

func (t *Table) internFacts(r Record) error {
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

func (t *Table) internPlacement(r Record) error {
	row, err := decodePlacement(r.Value)
	if err != nil { // a tombstone
		return nil
	}
	if _, err := t.symbols.pathIndex(row.Path); err != nil {
		return err
	}
	_, err = t.symbols.versionIndex(row.Version)
	return err
}

// commit makes the staged records visible. Tenants and SVMs come first, with
// everything that observers derive from them: a VM that refers to a tenant is
// never visible before the tenant is.
func (t *Table) commit(s *stage, from string) (*News, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var tenants, svms idSet
	var vms [][16]byte
	touchedAccounts, touchedTokens := false, false
	for _, key := range s.order {
		switch key.Kind {
		case KindVM:
			vms = append(vms, key.ID)
			continue
		case KindPlacement:
			if err := t.internPlacement(s.rows[key]); err != nil {
				return nil, err
			}
			if _, ok := s.rows[Key{KindVM, key.ID}]; !ok {
				vms = append(vms, key.ID)
			}
			continue
		case KindTenant, KindActivation:
			tenants.add(key.ID)
		case KindSVMConfig, KindSVMFacts, KindSVMLoad:
			svms.add(key.ID)
		case KindAccount:
			touchedAccounts = true
		case KindToken:
			touchedTokens = true
		}
		t.rows[key] = s.rows[key]
	}
	for _, id := range vms { // VMs may refer to tenants that nobody has told of
		if row, err := decodeVM(s.rows[Key{KindVM, id}].Value); err == nil {
			if _, ok := t.symbols.tenantIndex[row.Tenant]; !ok {
				tenants.add(row.Tenant)
			}
		}
	}
	t.publish(tenants.list, svms.list, s)
	if touchedAccounts {
		t.rebuildAccounts(s)
	}
	if touchedTokens {
		t.rebuildTokens(time.Now())
	}
	for _, id := range vms {
		if err := t.commitVM(id, s); err != nil {
			return nil, err
		}
	}
	return &News{Records: s.records(), From: from, View: t.view.Load()}, nil
}

// publish builds the next view with the named tenants and SVMs worked out anew.
func (t *Table) publish(tenants, svms [][16]byte, s *stage) {
	old := t.view.Load()
	next := &View{revision: old.revision + 1, tenants: old.tenants, svms: old.svms}
	change := &ViewChange{View: next}
	if len(tenants) > 0 {
		next.tenants = slices.Clone(old.tenants)
	}
	for _, id := range tenants {
		i, ok := t.symbols.tenantIndex[id]
		if !ok {
			i = t.symbols.addTenant(id)
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
		if _, reported := s.rows[Key{KindSVMLoad, id}]; reported || fresh {
			if row, err := decodeLoad(t.rows[Key{KindSVMLoad, id}].Value); err == nil {
				load.report(row, now)
			} else {
				load.forget()
			}
		}
		_, config := s.rows[Key{KindSVMConfig, id}]
		_, facts := s.rows[Key{KindSVMFacts, id}]
		if !ok || config || facts {
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
			load.settle(e, now, t.ttl)
		}
	}
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
		SVM:   SVM{ID: id, SVMConfig: c.SVMConfig, SVMFacts: f, Revision: fingerprint(config.Version, facts.Version)},
		Index: index, Version: version, Symbols: t.symbols.path(f.Path),
		Licensed: licensed(&f.License, now), wanted: c.Wanted,
	}
}

func licensed(l *License, now time.Time) bool {
	return l.State == LicenseValid && (l.Expires.IsZero() || now.Before(l.Expires.Time))
}

func (t *Table) rebuildAccounts(s *stage) {
	for _, key := range s.order {
		if key.Kind != KindAccount {
			continue
		}
		if a, err := decodeAccount(t.rows[key].Value); err == nil {
			a.SVMs = notNil(a.SVMs)
			t.accounts[key] = a
		} else {
			delete(t.accounts, key)
		}
	}
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

// sameValue reports whether a record already says what value says.
func sameValue(r Record, value []byte) bool {
	return !r.Version.IsZero() && bytes.Equal(r.Value, value)
}
