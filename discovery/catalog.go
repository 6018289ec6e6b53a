package discovery

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/store"
)

// A catalog is a view of the table with everything worked out that does not
// depend on the question. It is immutable but for its candidate sets, which are
// added as questions ask for them. A question loads it once.
type catalog struct {
	view    *store.View
	tenants []tenantFacts
	ids     []store.TenantID // of the tenants
	svms    []svmFacts       // by index
	lines   []svmLine        // the same
	members []member         // all SVMs
	circle  *circle
	lists   *shortlists
	byID    map[store.SVMID]int

	words    *words
	versions []uint16 // class by the table's index of agent versions
	turns    turns

	// sets is shared by the catalogs that have the same SVMs.
	sets *atomic.Pointer[setTable]
}

// tenantFacts are a tenant's settings, compiled: 24 bytes, so that the processor
// keeps those of ten thousand tenants at hand. Index 0 is "no tenant".
type tenantFacts struct {
	settings   uint64 // fingerprint
	dedication uint32 // own index if some SVM is dedicated to the tenant, else 0
	tag        uint16
	version    uint16 // class of the agents' default version
	gone       bool   // deleted, or not heard of yet
	inactive   bool   // agents are given the SVM that does not exist
	locked     bool
	protection bool
	algorithm  store.Algorithm
	path       store.PathLevel
	load       store.Load
}

// svmFacts are what filters and preferences ask of an SVM.
type svmFacts struct {
	entry      *store.SVMEntry // nil: forgotten
	place      place
	version    uint16 // in words.svmVersions; 0 unknown
	kinds      uint8  // bit per kind; 0 means all
	key        store.KeyType
	licensed   bool
	encryption bool
	open       bool // takes agents without connection protection
	tags       []uint16
	tenants    []uint32
}

// A place says which VMs an SVM is local to: those on a host or, on OpenStack platforms, those
// with a value at the level that counts there. 0 is none.
type place struct{ host, wide store.Symbol }

func (s *Selector) placeOf(e *store.SVMEntry) place {
	switch {
	case e.LargeInfra:
		return place{}
	case e.Platform == store.OpenStack:
		return place{wide: e.Symbols.At(s.level)}
	default:
		return place{host: e.Symbols.At(store.PathHost)}
	}
}

// svmLine is what an answer says of an SVM, and what its place in the order comes from:
// one cache line, because every answer looks at some of them, and they lie wherever they
// lie.
type svmLine struct {
	svm      *store.SVM
	fragment string // JSON, see appendFragment
	print    uint64 // fingerprint of id and address
	weighed
	place place
}

// words number the strings that settings and SVMs share, so that candidate sets
// can be keyed by small numbers. What comes from questions is only looked up,
// never added.
type words struct {
	tags        map[string]uint16
	tenants     map[store.TenantID]uint32       // that SVMs are or were dedicated to, from 1
	classes     map[store.ProductVersion]uint16 // of agent versions
	svmVersions map[store.ProductVersion]uint16
	fits        [][]uint64  // by class: bits of SVM versions
	common      [256]uint16 // classes of versions of two numbers under 16
}

const (
	noTag        = 0         // untagged
	strangeTag   = 1<<16 - 1 // no SVM lists it
	versionAny   = 0         // unknown: fits every SVM
	versionAlien = 1         // known, but no SVM fits it
	firstClass   = 2
)

// follow is called by the table with every new view, before the change is
// acknowledged.
func (s *Selector) follow(change *store.ViewChange) {
	old := s.catalog.Load()
	next := &catalog{view: change.View}
	if old == nil || len(change.SVMs) > 0 {
		s.compileSVMs(next, old, change.SVMs)
	} else {
		next.svms, next.lines, next.members, next.circle, next.byID = old.svms, old.lines, old.members, old.circle, old.byID
		next.lists, next.words, next.sets = old.lists, old.words, old.sets
	}
	if old != nil {
		next.versions, next.tenants, next.ids = old.versions, old.tenants, old.ids
	}
	if old == nil || next.words != old.words || len(next.versions) != next.view.NumVersions() {
		next.compileVersions()
	}
	if old == nil || next.words != old.words {
		next.tenants = make([]tenantFacts, next.view.NumTenants())
		next.ids = make([]store.TenantID, next.view.NumTenants())
		for i := range next.tenants {
			next.tenants[i], next.ids[i] = next.compileTenant(i)
		}
	} else if len(change.Tenants) > 0 {
		more := next.view.NumTenants() - len(old.tenants)
		next.tenants = append(slices.Clone(old.tenants), make([]tenantFacts, more)...)
		next.ids = append(slices.Clone(old.ids), make([]store.TenantID, more)...)
		for _, i := range change.Tenants {
			next.tenants[i], next.ids[i] = next.compileTenant(i)
		}
	}
	if old != nil {
		next.turns = old.turns
	}
	if s.admission.rate > 0 {
		next.turns = next.turns.grown(len(next.tenants))
	}
	s.keepBooks(change.View, change.SVMs)
	s.catalog.Store(next)
}

// compileSVMs works out the changed SVMs, and what becomes of the candidate sets.
func (s *Selector) compileSVMs(next, old *catalog, changed []int) {
	view := next.view
	next.svms, next.lines = make([]svmFacts, view.NumSVMs()), make([]svmLine, view.NumSVMs())
	if old == nil {
		old = &catalog{words: &words{}, circle: &circle{}, sets: new(atomic.Pointer[setTable])}
		old.sets.Store(newSetTable(0))
	}
	copy(next.svms, old.svms)
	copy(next.lines, old.lines)
	renumbered := false
	if next.words, renumbered = old.words.follow(view, changed, s.matrix); renumbered {
		changed = indexes(view.NumSVMs())
	}
	for _, i := range changed {
		next.svms[i], next.lines[i] = s.compileSVM(view.SVM(i), next.words)
	}
	if next.sameMembers(old, changed) {
		next.byID, next.members, next.circle = old.byID, old.members, old.circle
	} else {
		next.compileMembers(old.circle)
	}
	if next.lists = old.lists; !next.sameLists(old, changed) {
		next.lists = listSVMs(next.svms, next.members)
	}
	next.sets = new(atomic.Pointer[setTable])
	// Keys mean something else now, or every large class has other slots.
	if renumbered || next.circle.scale != old.circle.scale {
		next.sets.Store(newSetTable(0))
		return
	}
	next.sets.Store(old.sets.Load().patched(old, next, changed))
}

// sameMembers reports whether no SVM came or went, or has another weight.
func (c *catalog) sameMembers(old *catalog, changed []int) bool {
	return len(c.svms) == len(old.svms) && !slices.ContainsFunc(changed, func(i int) bool {
		a, b := old.svms[i].entry, c.svms[i].entry
		return a == nil || b == nil || a.ID != b.ID || a.Weight() != b.Weight()
	})
}

func (c *catalog) compileMembers(before *circle) {
	c.byID = make(map[store.SVMID]int, len(c.svms))
	for i := range c.svms {
		f := &c.svms[i]
		if f.entry == nil {
			continue
		}
		c.byID[f.entry.ID] = i
		c.members = append(c.members, memberOf(f.entry))
	}
	c.circle = before.follow(c.members)
}

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func (c *catalog) compileVersions() {
	c.versions = make([]uint16, c.view.NumVersions())
	for i := range c.versions {
		c.versions[i] = c.words.class(c.view.Version(i))
	}
}

func (c *catalog) compileTenant(i int) (f tenantFacts, id store.TenantID) {
	d := store.DefaultDiscovery()
	if i > 0 {
		t := c.view.Tenant(i)
		if t == nil {
			return tenantFacts{gone: true}, id
		}
		d = t.Discovery
		id, f.inactive = t.ID, t.Type == store.Complete && t.Status == store.Inactive
	}
	version, _ := store.ParseProductVersion(d.AgentVersion)
	f.locked, f.protection, f.algorithm, f.path, f.load = d.Locked, d.Protection, d.Algorithm, d.Path, d.Load
	f.tag, f.version = c.words.tag([]byte(d.Tag)), c.words.class(version)
	f.dedication = c.words.tenants[id]
	f.settings = fingerprint(&d)
	return f, id
}

// fingerprint is equal on every gateway for equal settings.
func fingerprint(d *store.Discovery) uint64 {
	b := make([]byte, 0, 64)
	b = append(b, byte(d.Algorithm), byte(d.Path), byte(d.Load), byte(b2u(d.Protection)), byte(b2u(d.Locked)))
	b = append(append(b, d.Tag...), 0)
	b = append(b, d.AgentVersion...)
	return xxhash.Sum64(b)
}

func (s *Selector) compileSVM(e *store.SVMEntry, w *words) (svmFacts, svmLine) {
	if e == nil {
		return svmFacts{}, svmLine{}
	}
	f := svmFacts{
		entry: e, version: w.svmVersions[e.Version], encryption: e.Encryption, open: !e.Encryption || e.AllowUnprotected,
		licensed: e.Licensed, key: e.License.Key, place: s.placeOf(e),
	}
	for _, tag := range e.Tags {
		if n := w.tags[tag]; !slices.Contains(f.tags, n) {
			f.tags = append(f.tags, n)
		}
	}
	for _, id := range e.Tenants {
		f.tenants = append(f.tenants, w.tenants[id])
	}
	for _, kind := range e.Kinds {
		f.kinds |= 1 << kind
	}
	return f, svmLine{
		svm: &e.SVM, fragment: string(appendFragment(nil, &e.SVM)),
		print: xxhash.Sum64String(string(e.ID[:]) + e.Address), weighed: memberOf(e).weighed, place: f.place,
	}
}

// tag returns the number of a tag; text that no SVM lists is strangeTag.
func (w *words) tag(text []byte) uint16 {
	if len(text) == 0 {
		return noTag
	}
	if n, ok := w.tags[string(text)]; ok {
		return n
	}
	return strangeTag
}

// class returns the class of an agent version.
func (w *words) class(v store.ProductVersion) uint16 {
	if v.Major < 16 && v.Minor < 16 {
		return w.common[v.Major<<4|v.Minor]
	}
	return w.classOf(v)
}

func (w *words) classOf(v store.ProductVersion) uint16 {
	if v.IsZero() {
		return versionAny
	}
	if n, ok := w.classes[v]; ok {
		return n
	}
	return versionAlien
}

// follow returns words that have a number for all that the view's SVMs use, of which those
// at some indexes have changed: w itself if it has them all. SVMs report their versions, so w
// must not grow with every one that was ever heard of: when most of it is out of use, all is
// numbered afresh, and what was numbered by w means nothing any more.
func (w *words) follow(view *store.View, changed []int, matrix Matrix) (next *words, renumbered bool) {
	if w.tags == nil {
		w, renumbered, changed = emptyWords(matrix), true, indexes(view.NumSVMs())
	}
	next = w.with(view, changed)
	if next != w && !renumbered && next.size() > 2*usedWords(view)+len(matrix)+64 {
		w, renumbered = emptyWords(matrix), true
		next = w.with(view, indexes(view.NumSVMs()))
	}
	if next != w || renumbered {
		next.fitAll(matrix)
	}
	return next, renumbered
}

func emptyWords(matrix Matrix) *words {
	w := &words{
		tags: map[string]uint16{}, tenants: map[store.TenantID]uint32{}, classes: map[store.ProductVersion]uint16{},
		svmVersions: map[store.ProductVersion]uint16{{}: 0},
	}
	for agent := range matrix {
		w.classes[agent] = uint16(firstClass + len(w.classes))
	}
	return w
}

func (w *words) size() int {
	return len(w.tags) + len(w.tenants) + len(w.classes) + len(w.svmVersions)
}

// usedWords returns about how many words the view's SVMs use: at least as many as
// words that follow the view from empty would have.
func usedWords(view *store.View) int {
	n, versions := 0, map[store.ProductVersion]bool{}
	for i := range view.NumSVMs() {
		if e := view.SVM(i); e != nil {
			n += len(e.Tags) + len(e.Tenants)
			versions[e.Version] = true
		}
	}
	return n + 2*len(versions)
}

// with adds what SVMs at some indexes use and w misses, to a copy: questions read w.
func (w *words) with(view *store.View, indexes []int) *words {
	next := w
	own := func() {
		if next == w {
			next = &words{
				tags: maps.Clone(w.tags), tenants: maps.Clone(w.tenants),
				classes: maps.Clone(w.classes), svmVersions: maps.Clone(w.svmVersions),
			}
		}
	}
	for _, i := range indexes {
		e := view.SVM(i)
		if e == nil {
			continue
		}
		for _, tag := range e.Tags {
			if _, ok := next.tags[tag]; !ok && len(next.tags) < strangeTag-1 {
				own()
				next.tags[tag] = uint16(len(next.tags) + 1)
			}
		}
		for _, id := range e.Tenants {
			if _, ok := next.tenants[id]; !ok {
				own()
				next.tenants[id] = uint32(len(next.tenants) + 1)
			}
		}
		if _, ok := next.svmVersions[e.Version]; !ok && len(next.svmVersions) < 1<<16 {
			own()
			next.svmVersions[e.Version] = uint16(len(next.svmVersions))
		}
		if _, ok := next.classes[e.Version]; !ok && !e.Version.IsZero() && len(next.classes) < 1<<15 {
			own()
			next.classes[e.Version] = uint16(firstClass + len(next.classes))
		}
	}
	return next
}

// fitAll works out which classes of agent versions fit which SVM versions, and the
// classes of common versions.
func (w *words) fitAll(matrix Matrix) {
	for i := range w.common {
		w.common[i] = w.classOf(store.ProductVersion{Major: uint16(i >> 4), Minor: uint16(i & 15)})
	}
	w.fits = make([][]uint64, firstClass+len(w.classes))
	for agent, class := range w.classes {
		row := make([]uint64, len(w.svmVersions)/64+1)
		for svm, n := range w.svmVersions {
			if !svm.IsZero() && matrix.fits(agent, svm) {
				row[n/64] |= 1 << (n % 64)
			}
		}
		w.fits[class] = row
	}
}
