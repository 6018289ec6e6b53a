package store

import "encoding/binary"

// strict reads what must be there: unlike a decoder of values it takes nothing
// that is missing for zero. After damage every method returns zero values.
type strict struct {
	b   []byte
	bad bool
}

func (s *strict) fail() { s.b, s.bad = nil, true }

func (s *strict) take(n uint64) []byte {
	if n > uint64(len(s.b)) {
		s.fail()
		return nil
	}
	out := s.b[:n:n]
	s.b = s.b[n:]
	return out
}

func (s *strict) byte() byte {
	if b := s.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (s *strict) word() uint64 {
	if b := s.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (s *strict) uint() uint64 {
	if len(s.b) > 0 && s.b[0] < 0x80 { // as most are
		v := s.b[0]
		s.b = s.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(s.b)
	if n <= 0 {
		s.fail()
		return 0
	}
	s.b = s.b[n:]
	return v
}

func (s *strict) int() int64 {
	v := s.uint()
	return int64(v>>1) ^ -int64(v&1)
}

// number reads the number of one of n things.
func (s *strict) number(n int) uint64 {
	v := s.uint()
	if v >= uint64(n) {
		s.fail()
		return 0
	}
	return v
}

func (s *strict) id() (id [16]byte) { copy(id[:], s.take(16)); return id }
func (s *strict) text() []byte      { return s.take(s.uint()) }
