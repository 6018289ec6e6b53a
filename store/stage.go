package store

import "slices"

// stage holds records that won but are not committed, in order of arrival: those
// of one change after another.
type stage struct {
	rows  []Record
	index map[Key]int // of rows; nil while there are few

	// The change in the making: its rows are those from mark on, and undo has
	// those before that it replaced.
	mark int
	undo []replaced
}

type replaced struct {
	at  int
	row Record
}

// fewRows are searched as fast as a map finds its way.
const fewRows = 8

// begin starts a change.
func (s *stage) begin() { s.mark, s.undo = len(s.rows), s.undo[:0] }

// rollback undoes the change in the making.
func (s *stage) rollback() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.rows[s.undo[i].at] = s.undo[i].row
	}
	for i := s.mark; i < len(s.rows); i++ {
		delete(s.index, s.rows[i].Key)
	}
	s.rows, s.undo = s.rows[:s.mark], s.undo[:0]
}

// change returns the records of the change in the making.
func (s *stage) change() []Record {
	out := slices.Clone(s.rows[s.mark:])
	for i := range s.undo {
		row := s.rows[s.undo[i].at]
		if !slices.ContainsFunc(s.undo[:i], func(r replaced) bool { return r.at == s.undo[i].at }) {
			out = append(out, row)
		}
	}
	return out
}

// find returns the staged record of a key.
func (s *stage) find(key Key) (Record, bool) {
	if i := s.at(key); i >= 0 {
		return s.rows[i], true
	}
	return Record{}, false
}

func (s *stage) at(key Key) int {
	if s.index != nil {
		if i, ok := s.index[key]; ok {
			return i
		}
		return -1
	}
	for i := range s.rows {
		if s.rows[i].Key == key {
			return i
		}
	}
	return -1
}

// beside is at for a key that is probably that of row i.
func (s *stage) beside(i int, key Key) int {
	if i >= 0 && i < len(s.rows) && s.rows[i].Key == key {
		return i
	}
	return s.at(key)
}

func (s *stage) put(r Record) { s.putAt(s.at(r.Key), r) }

// putAt is put for a record whose key is at i; -1 if it is not staged.
func (s *stage) putAt(i int, r Record) {
	if i >= 0 {
		if i < s.mark {
			s.undo = append(s.undo, replaced{i, s.rows[i]})
		}
		s.rows[i] = r
		return
	}
	s.rows = append(s.rows, r)
	switch {
	case s.index != nil:
		s.index[r.Key] = len(s.rows) - 1
	case len(s.rows) > fewRows:
		s.index = make(map[Key]int, 8*fewRows)
		for i := range s.rows {
			s.index[s.rows[i].Key] = i
		}
	}
}

// lasts reports whether a record belongs in the journal: what an SVM says of its
// load does not.
func lasts(r Record) bool { return r.Key.Kind != KindSVMLoad }

func passes(r Record) bool { return !lasts(r) }

// lasting returns the records that belong in the journal. The result may be rows
// itself.
func lasting(rows []Record) []Record {
	if !slices.ContainsFunc(rows, passes) {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), passes)
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
