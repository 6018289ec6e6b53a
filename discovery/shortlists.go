package discovery

import (
	"slices"

	"github.com/svmgate/svmgate/store"
)

// shortlists list SVMs by what leaves few of them: where they are, and their tags. On a host
// there are one or two, as a rule, and some tenants have one of their own. Whoever asks for
// those need not look through all SVMs, nor have a candidate set.
type shortlists struct {
	hosts, wides shortlist                   // those local to VMs there, see place
	levels       [store.PathIgnore]shortlist // by each level of their paths
	tags         shortlist
}

// A shortlist has the members with each key: those with k are members[starts[k]:starts[k+1]],
// in the order of their indexes. There are none with key 0.
type shortlist struct {
	starts  []uint32
	members []member
}

func (l *shortlist) of(key uint32) []member {
	if int(key)+1 >= len(l.starts) {
		return nil
	}
	return l.members[l.starts[key]:l.starts[key+1]]
}

// few is how many SVMs are looked at one by one, and have no candidate set. If they had, there
// would be a set for each host and kind of agent: with ten thousand hosts more than a selector
// keeps.
const few = 4

// hasSet reports whether there are candidate sets for a key, of which the shortest list is given.
func (k setKey) hasSet(list []member) bool {
	return len(list) > few || k.part() == everywhere && k.tag() == noTag
}

func listSVMs(svms []svmFacts, members []member) *shortlists {
	l := new(shortlists)
	l.hosts.fill(members, func(i uint32, add func(uint32)) { add(uint32(svms[i].place.host)) })
	l.wides.fill(members, func(i uint32, add func(uint32)) { add(uint32(svms[i].place.wide)) })
	for level := range l.levels {
		l.levels[level].fill(members, func(i uint32, add func(uint32)) { add(uint32(svms[i].entry.Symbols[level])) })
	}
	l.tags.fill(members, func(i uint32, add func(uint32)) {
		for _, tag := range svms[i].tags {
			add(uint32(tag))
		}
	})
	return l
}

// fill lists members by their keys: keysOf adds those of an index.
func (l *shortlist) fill(members []member, keysOf func(index uint32, add func(key uint32))) {
	last, n := uint32(0), 0
	for _, m := range members {
		keysOf(m.index, func(key uint32) { last, n = max(last, key), n+1 })
	}
	l.starts = make([]uint32, last+2)
	for _, m := range members {
		keysOf(m.index, func(key uint32) { l.starts[key]++ })
	}
	n -= int(l.starts[0])
	l.starts[0] = 0
	for k := range last + 1 { // now they are ends
		l.starts[k+1] += l.starts[k]
	}
	l.members = make([]member, n)
	for _, m := range slices.Backward(members) {
		keysOf(m.index, func(key uint32) {
			if key != 0 {
				l.starts[key]--
				l.members[l.starts[key]] = m
			}
		})
	}
}

// sameLists reports whether all that shortlists are made from is as it was.
func (c *catalog) sameLists(old *catalog, changed []int) bool {
	return old.lists != nil && c.circle == old.circle && !slices.ContainsFunc(changed, func(i int) bool {
		f := &c.svms[i]
		if f.entry == nil {
			return false
		}
		was := &old.svms[i]
		return f.place != was.place || f.entry.Symbols != was.entry.Symbols || !slices.Equal(f.tags, was.tags)
	})
}

// within returns the shortest list that has all SVMs that a key admits, and maybe others.
func (c *catalog) within(k setKey) []member {
	list := c.members
	switch p := k.part(); p {
	case everywhere:
	case local:
		hosts, wides := c.lists.hosts.of(uint32(k.first())), c.lists.wides.of(uint32(k.second()))
		switch {
		case len(wides) == 0:
			list = hosts
		case len(hosts) == 0:
			list = wides
		}
	default:
		list = c.lists.levels[p-scoped].of(uint32(k.first()))
	}
	if tag := k.tag(); tag != noTag {
		if tagged := c.lists.tags.of(uint32(tag)); len(tagged) < len(list) {
			list = tagged
		}
	}
	return list
}
