package store

import "slices"

// stage holds records that won but are not committed, in order of arrival: those
// of one change after another. The zero stage is empty.
type stage struct {
	rows []Record

	// index has the first row of each id. Further ones, of other kinds, hang on it:
	// next is by row, and 0 at the end.
	index map[[16]byte]int
	next  []int

	// The change in the making: its rows are those from mark on, and undo has
	// those before that it replaced.
	mark int
	undo []replaced
}

type replaced struct {
	at  int
	row Record
}

// maxKept is how many rows a stage may have had for its memory to be used again.
const maxKept = 1 << 13

// reset empties the stage.
func (s *stage) reset() {
	if len(s.rows) > maxKept {
		*s = stage{}
		return
	}
	clear(s.rows)
	clear(s.index)
	s.rows, s.next = s.rows[:0], s.next[:0]
	s.begin()
}

// begin starts a change.
func (s *stage) begin() {
	clear(s.undo)
	s.mark, s.undo = len(s.rows), s.undo[:0]
}

// rollback undoes the change in the making.
func (s *stage) rollback() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.rows[s.undo[i].at] = s.undo[i].row
	}
	for i := len(s.rows) - 1; i >= s.mark; i-- {
		if id := s.rows[i].Key.ID; s.index[id] == i {
			delete(s.index, id)
		} else {
			s.next[s.index[id]] = s.next[i] // what came last hangs first
		}
	}
	s.rows, s.next, s.undo = s.rows[:s.mark], s.next[:s.mark], s.undo[:0]
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

// changes reports whether the change in the making changes anything, and whether
// any of that belongs in the journal.
func (s *stage) changes() (made, lasting bool) {
	lasting = slices.ContainsFunc(s.rows[s.mark:], lasts) ||
		slices.ContainsFunc(s.undo, func(r replaced) bool { return lasts(r.row) })
	return len(s.rows) > s.mark || len(s.undo) > 0, lasting
}

// find returns the staged record of a key.
func (s *stage) find(key Key) (Record, bool) {
	if i := s.at(key); i >= 0 {
		return s.rows[i], true
	}
	return Record{}, false
}

// at returns where the record of a key is; -1 if it is not staged.
func (s *stage) at(key Key) int {
	first, ok := s.index[key.ID]
	if !ok {
		return -1
	}
	return s.along(first, key.Kind)
}

// along returns the row of a kind among those of an id.
func (s *stage) along(first int, kind Kind) int {
	for i := first; ; i = s.next[i] {
		if s.rows[i].Key.Kind == kind {
			return i
		}
		if s.next[i] == 0 {
			return -1
		}
	}
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
	if s.index == nil {
		s.index = map[[16]byte]int{}
	}
	i = len(s.rows)
	s.rows, s.next = append(s.rows, r), append(s.next, 0)
	if first, ok := s.index[r.Key.ID]; ok {
		s.next[i], s.next[first] = s.next[first], i
	} else {
		s.index[r.Key.ID] = i
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
