package journals

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/svmgate/svmgate/store"
)

// errDamaged reports an entry that is not as it was written.
var errDamaged = errors.New("an entry of the log fails its checksum")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumSize is the size of the checksum in front of an entry's records.
const sumSize = 4

// appendEntry appends records with a checksum in front.
func appendEntry(dst []byte, records []store.Record) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, sumSize)...)
	for i := range records {
		r := &records[i]
		dst = append(dst, byte(r.Key.Kind))
		dst = append(dst, r.Key.ID[:]...)
		dst = binary.AppendUvarint(dst, r.Version.Clock)
		dst = binary.AppendUvarint(dst, r.Version.Node)
		dst = binary.AppendUvarint(dst, uint64(len(r.Value)))
		dst = append(dst, r.Value...)
	}
	binary.LittleEndian.PutUint32(dst[start:], crc32.Checksum(dst[start+sumSize:], castagnoli))
	return dst
}

// readEntry calls fn with the records of an entry. Their values point into it.
func readEntry(b []byte, fn func(store.Record) error) error {
	if len(b) < sumSize || crc32.Checksum(b[sumSize:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return errDamaged
	}
	return readRecords(b[sumSize:], fn)
}

func readRecords(b []byte, fn func(store.Record) error) error {
	for len(b) > 0 {
		var r store.Record
		if len(b) < 1+len(r.Key.ID) {
			return errDamaged
		}
		r.Key.Kind = store.Kind(b[0])
		b = b[1+copy(r.Key.ID[:], b[1:]):]
		var size uint64
		for _, number := range []*uint64{&r.Version.Clock, &r.Version.Node, &size} {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errDamaged
			}
			*number, b = v, b[n:]
		}
		if size > uint64(len(b)) {
			return errDamaged
		}
		r.Value, b = b[:size:size], b[size:]
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}
