package store

import "fmt"

// Bounds of a table. They follow from the bits that a VM's slot has for each.
const (
	MaxTenants  = 1<<22 - 1 // deleted ones included
	MaxPaths    = 1<<22 - 1 // distinct placements of VMs
	MaxVersions = 1<<14 - 1 // distinct agent versions
	MaxSVMs     = 1 << 16   // forgotten ones included

	maxNames = 1<<22 - 1 // distinct names of path levels, of VMs and SVMs
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

// symbols interns what VMs and SVMs have in common. Symbols are never freed: a
// provider has some thousands of hosts. Methods need the writer's lock; the slices
// are append-only, so that a view may keep a shorter one.
type symbols struct {
	byName    map[string]Symbol
	byPath    map[PathSymbols]uint32
	byVersion map[ProductVersion]uint32
	paths     []PathSymbols
	versions  []ProductVersion
	most      int // names
}

func newSymbols() *symbols {
	return &symbols{
		byName:    map[string]Symbol{"": 0},
		byPath:    map[PathSymbols]uint32{{}: 0},
		byVersion: map[ProductVersion]uint32{{}: 0},
		paths:     make([]PathSymbols, 1),
		versions:  make([]ProductVersion, 1),
		most:      maxNames,
	}
}

func (s *symbols) name(text string) Symbol {
	sym, ok := s.byName[text]
	if !ok {
		sym = Symbol(len(s.byName))
		s.byName[text] = sym
	}
	return sym
}

// room fails if the names of p may be too many.
func (s *symbols) room(p Path) error {
	if len(s.byName)+len(PathSymbols{}) <= s.most {
		return nil
	}
	for _, name := range []string{p.Host, p.Cluster, p.Zone} {
		if _, ok := s.byName[name]; !ok {
			return fmt.Errorf("%w: %d distinct names of path levels", ErrFull, s.most)
		}
	}
	return nil
}

func (s *symbols) path(p Path) PathSymbols {
	return PathSymbols{s.name(p.Host), s.name(p.Cluster), s.name(p.Zone)}
}

// pathIndex returns the number of a placement; 0 is the empty one.
func (s *symbols) pathIndex(p Path) (uint32, error) {
	if err := s.room(p); err != nil {
		return 0, err
	}
	syms := s.path(p)
	i, ok := s.byPath[syms]
	if !ok {
		if len(s.paths) > MaxPaths {
			return 0, fmt.Errorf("%w: %d distinct placements", ErrFull, MaxPaths)
		}
		i = uint32(len(s.paths))
		s.byPath[syms] = i
		s.paths = append(s.paths, syms)
	}
	return i, nil
}

// versionIndex returns the number of an agent version; 0 is unknown.
func (s *symbols) versionIndex(text string) (uint32, error) {
	v, _ := ParseProductVersion(text)
	i, ok := s.byVersion[v]
	if !ok {
		if len(s.versions) > MaxVersions {
			return 0, fmt.Errorf("%w: %d distinct agent versions", ErrFull, MaxVersions)
		}
		i = uint32(len(s.versions))
		s.byVersion[v] = i
		s.versions = append(s.versions, v)
	}
	return i, nil
}
