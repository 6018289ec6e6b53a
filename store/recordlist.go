package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Records on disk are a list: each with its length and its CRC-32C in front, 32
// bits, little-endian. The frame around the list has a checksum, too; those of
// records tell, when it fails, which ones the damage has hurt.
//
// A record is its kind, id and version and then its value. The list of release 1
// has neither lengths nor checksums, but the length of each value.

const (
	recordHead  = 8
	leastRecord = 1 + 16 + 2 // kind, id, version
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendRecord(dst []byte, r *Record) []byte {
	head := len(dst)
	dst = append(dst, make([]byte, recordHead)...)
	dst = append(dst, byte(r.Key.Kind))
	dst = append(dst, r.Key.ID[:]...)
	dst = binary.AppendUvarint(dst, r.Version.Clock)
	dst = binary.AppendUvarint(dst, r.Version.Node)
	dst = append(dst, r.Value...)
	body := dst[head+recordHead:]
	binary.LittleEndian.PutUint32(dst[head:], uint32(len(body)))
	binary.LittleEndian.PutUint32(dst[head+4:], crc32.Checksum(body, castagnoli))
	return dst
}

// A listed is what was found where a record should be.
type listed struct {
	offset int // in the list
	Record     // points into the list; only its key may be known if it is not sound
	sound  bool
}

// eachRecord calls fn with every record of a list, those that are damaged
// included, as far as they can be told apart. It returns the first error of fn.
func eachRecord(list []byte, fn func(listed) error) error {
	budget := 64 * len(list)
	sure := 0 // up to where one record ends where the next begins
	for at := 0; at < len(list); {
		body, end := cutRecord(list, at)
		r := listed{offset: at}
		if len(body) >= leastRecord {
			r.Record, r.sound = parseRecord(body)
			r.sound = r.sound && isWhole(list, at, body)
		} else if len(list)-at > recordHead {
			r.Record, _ = parseRecord(list[at+recordHead:])
		}
		if err := fn(r); err != nil {
			return err
		}
		if !r.sound && end > sure {
			end, sure = behind(list, at, &budget)
		}
		at = end
	}
	return nil
}

func isWhole(list []byte, at int, body []byte) bool {
	return crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(list[at+4:])
}

// isSound reports whether a record begins at a place, all of it as it was written.
func isSound(list []byte, at int) bool {
	body, _ := cutRecord(list, at)
	if len(body) < leastRecord || !isWhole(list, at, body) {
		return false
	}
	_, ok := parseRecord(body)
	return ok
}

// behind returns where to go on behind a record that is not sound, and up to
// where lengths can be relied on. It may be the length that is damaged. So a sound
// record is looked for within what it says is the record, and behind that, too, if
// going on by lengths leads neither to a sound record nor to the end of the list;
// as long as there is some of the budget left: the bytes that may be read in
// search of records of this list.
func behind(list []byte, at int, budget *int) (next, sure int) {
	next, sure = byLengths(list, at, budget)
	for i := at + 1; i < next && *budget > 0; i++ {
		if isSound(list, i) {
			return i, i
		}
		body, _ := cutRecord(list, i)
		*budget -= recordHead + len(body)
	}
	return next, sure
}

// byLengths returns where the record behind the one at a place begins, if lengths
// lead from there to a sound record or to the end, and where that is. Otherwise
// both are the end of the list. Without any budget only the very next is looked at,
// which in all takes no longer than reading the list.
func byLengths(list []byte, at int, budget *int) (next, sure int) {
	body, end := cutRecord(list, at)
	for next = end; body != nil; body, end = cutRecord(list, end) {
		if end == len(list) || isSound(list, end) {
			return next, end
		}
		if *budget -= recordHead + len(body); *budget <= 0 {
			break
		}
	}
	return len(list), len(list)
}

// cutRecord returns the record that begins at a place, without its head, and
// where the next one does. Without a length that can be right, nothing behind
// that place can be told.
func cutRecord(list []byte, at int) (body []byte, end int) {
	if len(list)-at < recordHead {
		return nil, len(list)
	}
	n := uint64(binary.LittleEndian.Uint32(list[at:]))
	if n > uint64(len(list)-at-recordHead) {
		return nil, len(list)
	}
	end = at + recordHead + int(n)
	return list[at+recordHead : end : end], end
}

func parseRecord(b []byte) (r Record, ok bool) {
	if len(b) < leastRecord {
		return Record{}, false
	}
	s := strict{b: b}
	r.Key.Kind = Kind(s.byte())
	r.Key.ID = s.id()
	r.Version = Version{Clock: s.uint(), Node: s.uint()}
	r.Value = s.b
	return r, !s.bad && !r.Version.IsZero()
}

// readRecords calls fn with every record of a list that its frame says is whole.
func readRecords(list []byte, fn func(Record) error) error {
	return eachRecord(list, func(r listed) error {
		if !r.sound {
			return fmt.Errorf("record at byte %d of the frame: %w", r.offset, errCorrupt)
		}
		return fn(r.Record)
	})
}

// readRecords1 is readRecords for lists of release 1.
func readRecords1(list []byte, fn func(Record) error) error {
	for s := (strict{b: list}); len(s.b) > 0; {
		at := len(list) - len(s.b)
		r := Record{Key: Key{Kind: Kind(s.byte()), ID: s.id()}}
		r.Version = Version{Clock: s.uint(), Node: s.uint()}
		r.Value = slices.Clip(s.text())
		if s.bad || r.Version.IsZero() {
			return fmt.Errorf("record at byte %d of the frame: %w", at, errCorrupt)
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}
