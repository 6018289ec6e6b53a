package store

import "slices"

// stage holds records that won but are not committed, in order of arrival.
type stage struct {
	rows  map[Key]Record
	order []Key
}

func newStage(n int) *stage { return &stage{rows: make(map[Key]Record, n)} }

func (s *stage) put(r Record) {
	if _, ok := s.rows[r.Key]; !ok {
		s.order = append(s.order, r.Key)
	}
	s.rows[r.Key] = r
}

// records returns the staged records; lasting those that belong in the journal.
func (s *stage) records() []Record {
	out := make([]Record, len(s.order))
	for i, key := range s.order {
		out[i] = s.rows[key]
	}
	return out
}

func (s *stage) lasting() []Record {
	return slices.DeleteFunc(s.records(), func(r Record) bool { return r.Key.Kind == KindSVMLoad })
}

// An idSet is a set of ids in order of arrival.
type idSet struct {
	list [][16]byte
	seen map[[16]byte]bool
}

func (s *idSet) add(id [16]byte) {
	if s.seen[id] {
		return
	}
	if s.seen == nil {
		s.seen = map[[16]byte]bool{}
	}
	s.seen[id] = true
	s.list = append(s.list, id)
}
