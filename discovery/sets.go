package discovery

import (
	"math/bits"
	"slices"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A setKey names a candidate set: the SVMs that agents of the same interned
// settings may use. Tenants with equal settings share their sets.
//
//	traits  tag (16 bits) version class (16) protection (1) guest (2) kind (2) part (3)
//	tenant  the tenant's index if an SVM is dedicated to it, else 0
//	paths   the symbols that part compares: host or level (32 bits), level (32 bits)
type setKey struct {
	traits uint64
	tenant uint64
	paths  uint64
}

// A part is which SVMs of the infrastructure a set has.
type part uint8

const (
	everywhere part = iota // whatever the path
	local                  // those local to the VM, for the standard algorithm
	scoped                 // those equal to the VM at a level: scoped + level
)

func makeKey(tag, version uint16, protection bool, os store.GuestOS, kind store.AgentKind, dedication uint32) setKey {
	return setKey{
		traits: uint64(tag)<<32 | uint64(version)<<16 | b2u(protection)<<8 | uint64(os&3)<<6 | uint64(kind&3)<<4,
		tenant: uint64(dedication),
	}
}

// in returns the key of the same settings for a part of the infrastructure.
func (k setKey) in(p part, first, second store.Symbol) setKey {
	k.traits |= uint64(p)
	k.paths = uint64(first)<<32 | uint64(second)
	return k
}

func (k setKey) tag() uint16           { return uint16(k.traits >> 32) }
func (k setKey) version() uint16       { return uint16(k.traits >> 16) }
func (k setKey) protection() bool      { return k.traits>>8&1 == 1 }
func (k setKey) os() store.GuestOS     { return store.GuestOS(k.traits >> 6 & 3) }
func (k setKey) kind() store.AgentKind { return store.AgentKind(k.traits >> 4 & 3) }
func (k setKey) part() part            { return part(k.traits & 7) }
func (k setKey) first() store.Symbol   { return store.Symbol(k.paths >> 32) }
func (k setKey) second() store.Symbol  { return store.Symbol(k.paths) }

func (k setKey) hash() uint64 {
	return mix(k.traits ^ bits.RotateLeft64(k.tenant*golden, 32) ^ k.paths*probeSalt)
}

// A rule is a filter of the package comment.
type rule uint8

const (
	passes rule = iota
	ruleVersion
	ruleProtection
	ruleTag
	ruleUpdates
	ruleScope
	ruleState
	ruleDedication
)

// admits applies the filters that do not change from moment to moment, and
// returns the first that removes the SVM. The explanation and the candidate sets
// use this one function.
func (f *svmFacts) admits(k setKey, w *words) rule {
	switch {
	case !f.fitsVersion(k.version(), w):
		return ruleVersion
	case k.protection() && !f.encryption, !k.protection() && !f.open:
		return ruleProtection
	case !f.fitsTag(k.tag()):
		return ruleTag
	case f.kinds != 0 && k.kind() != store.AgentUnknown && f.kinds>>k.kind()&1 == 0:
		return ruleUpdates
	case !f.inPart(k):
		return ruleScope
	case len(f.tenants) > 0 && !slices.Contains(f.tenants, uint32(k.tenant)):
		return ruleDedication
	}
	return passes
}

func (f *svmFacts) fitsVersion(class uint16, w *words) bool {
	if class == versionAny {
		return true
	}
	row := w.fits[class]
	return int(f.version/64) < len(row) && row[f.version/64]>>(f.version%64)&1 == 1
}

func (f *svmFacts) fitsTag(tag uint16) bool {
	if tag == noTag {
		return len(f.tags) == 0
	}
	return slices.Contains(f.tags, tag)
}

func (f *svmFacts) inPart(k setKey) bool {
	switch p := k.part(); p {
	case everywhere:
		return true
	case local:
		return f.place.localTo(k.first(), k.second())
	default:
		level := store.PathLevel(p - scoped)
		return k.first() != 0 && f.entry.Symbols.At(level) == k.first()
	}
}

// localTo reports whether the SVM is local to a VM on the given host, and with
// the given value at the level that counts on OpenStack platforms.
func (p place) localTo(host, wide store.Symbol) bool {
	return host != 0 && p.host == host || wide != 0 && p.wide == wide
}

// touches reports whether the SVM is in the set of a key.
func (f *svmFacts) touches(k setKey, w *words) bool {
	return f.entry != nil && f.admits(k, w) == passes
}

// classOf is the rank of an SVM by P1 and P2: 0 is best.
func (f *svmFacts) classOf(os store.GuestOS) int {
	class := 0
	if !f.licensed {
		class = 2
	}
	if !keyMatches(f.key, os) {
		class++
	}
	return class
}

const classes = 4

func keyMatches(key store.KeyType, os store.GuestOS) bool {
	switch os {
	case store.OSServer:
		return key != store.KeyDesktop
	case store.OSDesktop:
		return key != store.KeyServer
	default:
		return false
	}
}

// A set is the SVMs that pass the filters of a key, by class.
type set struct {
	classes [classes]group
	bytes   int

	shares [classes]sharedShare // of the classes
}

// buildSet works out the set of a key. Large classes use one of the rings if it is theirs.
func (c *catalog) buildSet(k setKey, rings []*ring) *set {
	s := new(set)
	for _, m := range c.within(k) {
		class := c.classIn(k, int(m.index))
		if class == outside {
			continue
		}
		s.classes[class].members = append(s.classes[class].members, m)
	}
	for i := range s.classes {
		g := &s.classes[i]
		g.members = slices.Clip(g.members)
		if len(g.members) > SmallClass {
			g.large = c.largeOf(g.members, rings)
		} else {
			g.alike = alikeOf(g.members)
		}
	}
	s.bytes = s.size()
	return s
}

// largeOf returns the large class of some members, on one of the rings if it is theirs: there
// are many kinds of agents, and mostly all SVMs are for all of them.
func (c *catalog) largeOf(members []member, rings []*ring) *large {
	of := bitsOf(members)
	if slices.Equal(of, c.circle.all.of) {
		return c.circle.all
	}
	for _, r := range rings {
		if slices.Equal(of, r.of) {
			return r.whole()
		}
	}
	return c.circle.all.only(of).whole()
}

const outside = -1

// classIn returns the class of an SVM in the set of a key, or outside.
func (c *catalog) classIn(k setKey, index int) int {
	if f := &c.svms[index]; f.touches(k, c.words) {
		return f.classOf(k.os())
	}
	return outside
}

// size is the memory that s takes, in bytes, without rings.
func (s *set) size() int {
	size := 256
	for i := range s.classes {
		g := &s.classes[i]
		size += len(g.members)*24 + len(g.hashes)*8
		if g.large != nil {
			size += len(g.large.indexes) * 8
		}
	}
	return size
}

// Bounds of the candidate sets of a selector. When one is reached all sets are
// dropped, and those in use are built again.
const (
	maxSets     = 1 << 16
	maxSetBytes = 256 << 20
)

// A setTable is an immutable hash table of sets: open addressing, at most half
// full.
type setTable struct {
	slots []setSlot
	count int
	rings []*ring // of large classes
	bytes int     // of sets and rings
}

type setSlot struct {
	key setKey
	set *set
}

func newSetTable(count int) *setTable {
	size := 16
	for size < 2*count {
		size *= 2
	}
	return &setTable{slots: make([]setSlot, size)}
}

func (t *setTable) find(k setKey) *set {
	mask := uint64(len(t.slots) - 1)
	for i := k.hash() & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.set == nil || s.key == k {
			return s.set
		}
	}
}

func (t *setTable) add(k setKey, s *set) {
	mask := uint64(len(t.slots) - 1)
	i := k.hash() & mask
	for t.slots[i].set != nil {
		if t.slots[i].key == k {
			return
		}
		i = (i + 1) & mask
	}
	t.slots[i] = setSlot{key: k, set: s}
	t.note(s)
}

// note counts a set that is in the table.
func (t *setTable) note(s *set) {
	t.count++
	t.bytes += s.bytes
	for i := range s.classes {
		if l := s.classes[i].large; l != nil && !slices.Contains(t.rings, l.ring) {
			t.rings = append(t.rings, l.ring)
			t.bytes += l.ring.bytes()
		}
	}
}

// with returns a table that has further sets, and whether all others had to go.
func (t *setTable) with(more []setSlot) (next *setTable, reset bool) {
	next = newSetTable(t.count + len(more))
	for _, slots := range [...][]setSlot{t.slots, more} {
		for _, s := range slots {
			if s.set != nil {
				next.add(s.key, s.set)
			}
		}
	}
	if t.count > 0 && (next.count > maxSets || next.bytes > maxSetBytes) {
		next, _ = newSetTable(0).with(more)
		return next, true
	}
	return next, false
}

// A miss is a set that a question found missing, and the catalog it asked: the
// numbers of a key mean something only there.
type miss struct {
	key     setKey
	catalog *catalog
}

// work is the selector's goroutine: it builds the sets that questions missed, and brings
// the ledger up to date.
func (s *Selector) work(misses <-chan miss) {
	pulse := time.NewTicker(PulseEvery)
	defer pulse.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-pulse.C:
			s.beat()
		case m := <-misses:
			s.buildMissed(m)
		case done := <-s.idle:
			select {
			case m := <-misses:
				s.buildMissed(m)
			default:
			}
			s.beat()
			close(done)
		}
	}
}

// buildMissed builds a missing set and those behind it in the mailbox, and
// publishes them together. What was asked of a catalog with other SVMs is
// dropped; questions of the present one ask again.
func (s *Selector) buildMissed(m miss) {
	target := s.catalog.Load().sets
	sets := target.Load()
	draft := setTable{rings: slices.Clip(sets.rings)}
	var fresh []setSlot
	for more := true; more && len(fresh) < cap(s.misses); {
		if m.catalog.sets == target && sets.find(m.key) == nil &&
			!slices.ContainsFunc(fresh, func(f setSlot) bool { return f.key == m.key }) {
			built := m.catalog.buildSet(m.key, draft.rings)
			draft.note(built)
			fresh = append(fresh, setSlot{key: m.key, set: built})
			s.counts.builds.Add(1)
		}
		select {
		case m = <-s.misses:
		default:
			more = false
		}
	}
	next, reset := sets.with(fresh)
	if reset {
		s.counts.resets.Add(1)
		s.log.Info("all candidate sets dropped: they were too many", "sets", sets.count, "bytes", sets.bytes)
	}
	target.Store(next)
}
