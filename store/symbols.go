package store

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of a table. They follow from the bits that a VM's slot has for each.
const (
	MaxTenants  = 1<<22 - 1 // deleted ones included
	MaxPaths    = 1<<22 - 1 // distinct placements of VMs
	MaxVersions = 1<<14 - 1 // distinct agent versions
	MaxSVMs     = 1 << 16   // forgotten ones included

	maxNames = 1<<22 - 1 // distinct names of path levels, of VMs and SVMs
	maxNodes = 1<<16 - 1 // nodes that entries of VMs refer to by number
)

// A Symbol stands for a string: equal symbols of one table are equal strings.
// The zero Symbol is the empty string.
type Symbol uint32

// PathSymbols is a [Path] in symbols.
type PathSymbols [3]Symbol

// At returns the symbol of a level; [PathIgnore] has none.
func (p PathSymbols) At(level PathLevel) Symbol {
	if int(level) < len(p) {
		return p[level]
	}
	return 0
}

// A dictionary numbers what VMs and SVMs have in common, so that a VM's slot and
// its entry hold small numbers. Numbers are never freed: a provider has some
// thousands of hosts. In every list number 0 is the empty one.
//
// Methods that add need the writer's lock and exclude readers of the maps. The
// slices are append-only, so that a view may keep a shorter one.
type dictionary struct {
	tenants  []TenantID       // by index of the tenant
	names    []string         // of path levels, by Symbol
	paths    []PathSymbols    // by index of the path
	versions []ProductVersion // by index of the agent version
	texts    []string         // of agent versions, as they were written
	textOf   []uint32         // index of the version, by number of the text
	nodes    []uint64         // that wrote; 0 stands for one that found no room

	tenantIndex map[TenantID]int
	byName      map[string]Symbol
	byPath      map[PathSymbols]uint32
	byVersion   map[ProductVersion]uint32
	byText      map[string]uint32
	byNode      map[uint64]uint32

	// lastPath has for each name the number of a path that begins with it, or 0: a
	// host is in one cluster and one zone, as a rule.
	lastPath []uint32

	most int // names

	// While the dictionary is frozen nothing is added to it, and lacks notes that
	// something should have been.
	frozen, lacks bool

	scratch []byte   // of pack
	last    parsedVM // of pack: what it packed
	again   []byte   // of pack: a value encoded again
}

func newDictionary() *dictionary {
	return &dictionary{
		tenants:  make([]TenantID, 1),
		names:    make([]string, 1),
		paths:    make([]PathSymbols, 1),
		versions: make([]ProductVersion, 1),
		texts:    make([]string, 1),
		textOf:   make([]uint32, 1),
		nodes:    make([]uint64, 1),

		tenantIndex: map[TenantID]int{{}: 0},
		byName:      map[string]Symbol{"": 0},
		byPath:      map[PathSymbols]uint32{{}: 0},
		byVersion:   map[ProductVersion]uint32{{}: 0},
		byText:      map[string]uint32{"": 0},
		byNode:      map[uint64]uint32{},

		lastPath: make([]uint32, 1),

		most: maxNames,
	}
}

// addTenant gives a tenant that has no index the next one.
func (d *dictionary) addTenant(id TenantID) int {
	i := len(d.tenants)
	d.tenantIndex[id] = i
	d.tenants = append(d.tenants, id)
	return i
}

// mayAdd reports whether something new may be added.
func (d *dictionary) mayAdd() bool {
	d.lacks = d.lacks || d.frozen
	return !d.frozen
}

func (d *dictionary) name(text string) Symbol {
	sym, ok := d.byName[text]
	if !ok && d.mayAdd() {
		text = strings.Clone(text) // it may be a part of something larger
		sym = Symbol(len(d.names))
		d.byName[text] = sym
		d.names = append(d.names, text)
		d.lastPath = append(d.lastPath, 0)
	}
	return sym
}

// room fails if the names of p may be too many.
func (d *dictionary) room(p Path) error {
	if len(d.names)+len(PathSymbols{}) <= d.most {
		return nil
	}
	for _, name := range []string{p.Host, p.Cluster, p.Zone} {
		if _, ok := d.byName[name]; !ok {
			return fmt.Errorf("%w: %d distinct names of path levels", ErrFull, d.most)
		}
	}
	return nil
}

func (d *dictionary) path(p Path) PathSymbols {
	return PathSymbols{d.name(p.Host), d.name(p.Cluster), d.name(p.Zone)}
}

// pathIndex returns the number of a placement; 0 is the empty one.
func (d *dictionary) pathIndex(p Path) (uint32, error) {
	if i := d.lastPath[d.byName[p.Host]]; i != 0 && d.pathOf(uint64(i)) == p {
		return i, nil
	}
	if err := d.room(p); err != nil {
		return 0, err
	}
	syms := d.path(p)
	i, ok := d.byPath[syms]
	if !ok {
		if !d.mayAdd() {
			return 0, nil
		}
		if len(d.paths) > MaxPaths {
			return 0, fmt.Errorf("%w: %d distinct placements", ErrFull, MaxPaths)
		}
		i = uint32(len(d.paths))
		d.byPath[syms] = i
		d.paths = append(d.paths, syms)
	}
	d.lastPath[syms[0]] = i
	return i, nil
}

// knownPath returns the number of a placement that has one.
func (d *dictionary) knownPath(p Path) (uint32, bool) {
	host, a := d.byName[p.Host]
	cluster, b := d.byName[p.Cluster]
	zone, c := d.byName[p.Zone]
	i, ok := d.byPath[PathSymbols{host, cluster, zone}]
	return i, ok && a && b && c
}

// pathOf is the way back from pathIndex.
func (d *dictionary) pathOf(i uint64) Path {
	syms := d.paths[i]
	return Path{Host: d.names[syms[0]], Cluster: d.names[syms[1]], Zone: d.names[syms[2]]}
}

// versionIndex returns the number of an agent version; 0 is unknown.
func (d *dictionary) versionIndex(text string) (uint32, error) {
	v, _ := ParseProductVersion(text)
	i, ok := d.byVersion[v]
	if !ok {
		if !d.mayAdd() {
			return 0, nil
		}
		if len(d.versions) > MaxVersions {
			return 0, fmt.Errorf("%w: %d distinct agent versions", ErrFull, MaxVersions)
		}
		i = uint32(len(d.versions))
		d.byVersion[v] = i
		d.versions = append(d.versions, v)
	}
	return i, nil
}

// textIndex returns the number of an agent version as it was written; false if
// there is no room for another.
func (d *dictionary) textIndex(text string) (uint32, bool) {
	i, ok := d.byText[text]
	if ok || !d.mayAdd() {
		return i, ok
	}
	version, err := d.versionIndex(text)
	if err != nil || len(d.texts) > MaxVersions {
		return 0, false
	}
	text = strings.Clone(text)
	i = uint32(len(d.texts))
	d.byText[text] = i
	d.texts = append(d.texts, text)
	d.textOf = append(d.textOf, version)
	return i, true
}

// nodeIndex returns the number of a node, or 0 if there is no room for another.
func (d *dictionary) nodeIndex(node uint64) uint32 {
	i, ok := d.byNode[node]
	if !ok && len(d.nodes) <= maxNodes && d.mayAdd() {
		i = uint32(len(d.nodes))
		d.byNode[node] = i
		d.nodes = append(d.nodes, node)
	}
	return i
}

const dictionaryFormat = 1

var errDictionary = errors.New("store: dictionary is damaged")

// append writes the dictionary to dst. Reading it back gives every number again.
func (d *dictionary) append(dst []byte) []byte {
	e := encoder(append(dst, dictionaryFormat))
	encodeList(&e, d.tenants[1:], func(id TenantID) { e.id(id) })
	e.strs(d.names[1:])
	encodeList(&e, d.paths[1:], func(p PathSymbols) {
		for _, sym := range p {
			e.uint(uint64(sym))
		}
	})
	encodeList(&e, d.versions[1:], func(v ProductVersion) { e.uint(uint64(v.Major)<<16 | uint64(v.Minor)) })
	e.strs(d.texts[1:])
	encodeList(&e, d.nodes[1:], e.uint)
	return e
}

// readDictionary reads what append wrote, whatever the bytes are: every list is
// within its bound and has nothing twice.
func readDictionary(b []byte) (*dictionary, error) {
	if len(b) == 0 || b[0] != dictionaryFormat {
		return nil, fmt.Errorf("%w: it is not of format %d", errDictionary, dictionaryFormat)
	}
	d, s := newDictionary(), strict{b: b[1:]}
	readList(&s, MaxTenants, func() int {
		return d.addTenant(s.id())
	})
	readList(&s, maxNames, func() int { return int(d.name(string(s.text()))) })
	readList(&s, MaxPaths, func() int {
		var p PathSymbols
		for level := range p {
			p[level] = Symbol(s.number(len(d.names)))
		}
		i := len(d.paths)
		d.byPath[p] = uint32(i)
		d.paths = append(d.paths, p)
		return i
	})
	readList(&s, MaxVersions, func() int {
		v := s.uint()
		i := len(d.versions)
		d.versions = append(d.versions, ProductVersion{Major: uint16(v >> 16), Minor: uint16(v)})
		d.byVersion[d.versions[i]] = uint32(i)
		return i
	})
	versions := len(d.versions)
	readList(&s, MaxVersions, func() int { i, _ := d.textIndex(string(s.text())); return int(i) })
	readList(&s, maxNodes, func() int { return int(d.nodeIndex(s.uint())) })
	// What was in a list twice is in its map once.
	if s.bad || len(s.b) > 0 || len(d.tenantIndex) != len(d.tenants) || len(d.byPath) != len(d.paths) ||
		len(d.byVersion) != len(d.versions) || versions != len(d.versions) {
		return nil, errDictionary
	}
	return d, nil
}

// readList reads up to most elements. one reads and adds an element and returns
// its number, which follows that of the one before.
func readList(s *strict, most uint64, one func() int) {
	n := s.uint()
	if n > most || n > uint64(len(s.b)) { // every element takes at least a byte
		s.fail()
		return
	}
	for i := range int(n) {
		if one() != i+1 || s.bad {
			s.fail()
			return
		}
	}
}
