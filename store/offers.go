package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// A gateway that must start anew, because its peers have forgotten what they deleted
// since they last heard of it, or because its clock was wrong and they refuse what
// it wrote, has records that nobody else has. It writes them to a file, starts with
// an empty table, catches up, and offers them to it.
//
// The file is a header line and frames, of which the first byte says what is in it:
//
//	O  since when they were written (varint, milliseconds)
//	R  a list of records
//	E  the end: how many there were (varint)
const (
	offersLine = "svmgate offers 1\n"

	frameOffers = 'O'
)

// ErrOffers reports what are no offers, or damaged ones.
var ErrOffers = errors.New("the offers can not be read")

// WriteOffers writes to w the records that this gateway wrote after since, and those
// that by the given time are more than [MaxSkew] in the future, whoever wrote them;
// and returns how many there are. Activations count if their newest deactivation is
// such a one, too. SVMs' loads are left out. It looks at the whole table, bucket by
// bucket; writers go on meanwhile.
func (t *Table) WriteOffers(w io.Writer, since, now time.Time) (n int, err error) {
	buffered := bufio.NewWriterSize(w, 1<<16)
	if _, err := buffered.WriteString(offersLine); err != nil {
		return 0, err
	}
	s := &snapshotWriter{w: buffered}
	s.begin(frameOffers)
	s.buf = binary.AppendVarint(s.buf, since.UnixMilli())
	if err := s.end(); err != nil {
		return 0, err
	}
	own := writings{node: t.clock.node, since: since.UnixMilli(), latest: latest(now)}
	s.begin(frameRecords)
	flush := func() {
		if err == nil && len(s.buf) > 1 {
			err = s.end()
		}
		s.begin(frameRecords)
	}
	for i := 0; i < Buckets && err == nil; i++ {
		t.ScanBucket(i, func(r Record) bool {
			if own.has(&r) {
				s.buf = appendRecord(s.buf, &r)
				if n++; len(s.buf) > recordsFrame {
					flush()
				}
			}
			return err == nil
		})
	}
	if flush(); err != nil {
		return 0, err
	}
	s.begin(frameEnd)
	s.buf = binary.AppendVarint(s.buf, int64(n))
	if err := s.end(); err != nil {
		return 0, err
	}
	return n, buffered.Flush()
}

// writings are the records that a node has to offer.
type writings struct {
	node   uint64
	since  int64
	latest uint64 // later clocks are in the future
}

func (o *writings) has(r *Record) bool {
	if o.wrote(r.Version) {
		return true
	}
	row, err := decodeActivation(r.Value)
	return r.Key.Kind == KindActivation && err == nil && o.wrote(row.Off)
}

func (o *writings) wrote(v Version) bool {
	return v.Node == o.node && v.Millis() > o.since || v.Clock > o.latest
}

// Offers tells what became of offers.
type Offers struct {
	Records   int // offered
	Taken     int // written as new; of the others the table knew something newer
	Conflicts []Conflict
}

// TakeOffers brings what [Table.WriteOffers] wrote, the first size bytes of r, into
// this table, as if it were written now, as far as nothing is known here that is
// newer. Call it when the table has caught up with its peers.
//
// Of two writes the one with the later version holds; what is from the future counts
// as later than all. A deactivation stays one, unless the tenant was activated by
// somebody who knew of it. An activation holds only if there was no deactivation
// that it had not seen. Of two registrations of a BIOS ID the earlier holds, as
// always; the one that does not is among the conflicts. What was made before since,
// and is not here any more, was deleted, and stays so; so does what belongs to
// something that is not here. An SVM's configuration does not tell when it was made:
// it comes back.
//
// The offers are read to their end before anything is changed. Writers go on; an
// error may come in the midst of it, and calling it again goes on from there.
func (t *Table) TakeOffers(r io.ReaderAt, size int64) (Offers, error) {
	var o Offers
	since, n, err := readOffers(r, size, nil)
	if err != nil {
		return o, err
	}
	o.Records = n
	// Tenants, SVMs and tasks come before what belongs to them.
	for _, owners := range []bool{true, false} {
		var list []Record
		flush := func() error {
			taken, conflicts := 0, []Conflict(nil)
			err := t.Update(func(tx *Tx) error {
				offer := offer{Tx: tx, since: since}
				taken = offer.take(list)
				conflicts = tx.conflicts
				return nil
			})
			list = list[:0]
			if err == nil {
				o.Taken += taken
				o.Conflicts = append(o.Conflicts, conflicts...)
			}
			return err
		}
		_, _, err := readOffers(r, size, func(r Record) error {
			if r.Key.Kind.isOwner() == owners {
				r.Value = bytes.Clone(r.Value)
				list = append(list, r)
			}
			if len(list) < 4096 {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

// readOffers calls fn, if there is one, with every record of offers, and returns
// since when they were written, and how many there are.
func readOffers(r io.ReaderAt, size int64, fn func(Record) error) (since int64, n int, err error) {
	if err := wal.CheckHeader(r, size, offersLine); err != nil {
		return 0, 0, fmt.Errorf("%w: the file %w", ErrOffers, err)
	}
	frames := wal.ReadFrames(r, size, int64(len(offersLine)))
	for first, ended := true, false; ; first = false {
		offset, payload, err := frames.Next()
		if errors.Is(err, io.EOF) && ended {
			return since, n, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%w: they break off at byte %d: %w", ErrOffers, offset, err)
		}
		if ended || len(payload) == 0 || first != (payload[0] == frameOffers) {
			return 0, 0, fmt.Errorf("%w: the frame at byte %d is none that belongs there", ErrOffers, offset)
		}
		body := strict{b: payload[1:]}
		switch payload[0] {
		case frameOffers:
			since = body.int()
		case frameRecords:
			err = readRecords(body.b, func(r Record) error {
				if err := r.check(); err != nil {
					return fmt.Errorf("%w: record %s: %w", ErrOffers, r.Key, err)
				}
				if n++; fn == nil {
					return nil
				}
				return fn(r)
			})
		case frameEnd:
			if ended = true; body.int() != int64(n) {
				err = fmt.Errorf("%w: some are missing", ErrOffers)
			}
		}
		if err != nil {
			return 0, 0, err
		}
	}
}
