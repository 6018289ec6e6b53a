package cluster

import (
	"bytes"
	"cmp"
	"encoding/binary"
)

// How a pull is asked for and answered, in bytes:
//
//	askPull  the position to go on from, then of each bucket its number, which parts
//	         of it are not empty (which words of a bitmap are not 0, one in each bit,
//	         and these words), and their fingerprints
//	answer   whether there is more, the position to ask on from, records
//
// A position is a bucket, a part, and a key, and says where in that order to go on.

// A position is a place in the order in which records are pulled.
type position struct {
	bucket, sub int
	key         Key
}

func (p position) compare(q position) int {
	// Records are sorted by it: mostly the sub decides.
	if p.bucket != q.bucket {
		return cmp.Compare(p.bucket, q.bucket)
	}
	if p.sub != q.sub {
		return cmp.Compare(p.sub, q.sub)
	}
	return cmp.Or(cmp.Compare(p.key.Kind, q.key.Kind), bytes.Compare(p.key.ID[:], q.key.ID[:]))
}

func (p position) before(q position) bool { return p.compare(q) < 0 }

func appendPosition(buf []byte, p position) []byte {
	buf = binary.BigEndian.AppendUint16(buf, uint16(p.bucket))
	buf = binary.BigEndian.AppendUint16(buf, uint16(p.sub))
	buf = append(buf, p.key.Kind)
	return append(buf, p.key.ID[:]...)
}

func (r *reader) position() (p position) {
	p.bucket, p.sub = r.below(Buckets), r.below(subs)
	p.key.Kind = r.byte()
	copy(p.key.ID[:], r.take(16))
	return p
}

// below reads a number of two bytes.
func (r *reader) below(limit int) int {
	b := r.take(2)
	if b == nil {
		return 0
	}
	n := int(binary.BigEndian.Uint16(b))
	if n >= limit {
		r.fail()
		return 0
	}
	return n
}

// wanted is a bucket that is asked for, and what the asker has of it.
type wanted struct {
	bucket int
	prints *prints // nil if it has nothing
}

func appendWanted(buf []byte, bucket int, prints *prints) []byte {
	buf = binary.BigEndian.AppendUint16(buf, uint16(bucket))
	var mask subset
	words := uint16(0)
	for s, print := range prints {
		if print != 0 {
			mask.add(s)
			words |= 1 << (s / 64)
		}
	}
	buf = binary.BigEndian.AppendUint16(buf, words)
	for w := range eachBit(uint64(words)) {
		buf = binary.BigEndian.AppendUint64(buf, mask[w])
	}
	for _, print := range prints {
		if print != 0 {
			buf = binary.BigEndian.AppendUint64(buf, print)
		}
	}
	return buf
}

func (r *reader) wanted() wanted {
	w := wanted{bucket: r.below(Buckets)}
	words := r.below(1 << len(subset{}))
	if words == 0 {
		return w
	}
	var mask subset
	for i := range eachBit(uint64(words)) {
		mask[i] = r.uint64()
	}
	w.prints = new(prints)
	for i, word := range mask {
		for s := range eachBit(word) {
			w.prints[i*64+s] = r.uint64()
		}
	}
	return w
}

// readPull reads askPull: buckets in order, from the one of the position on.
func readPull(body []byte) (from position, all []wanted, err error) {
	r := reader{rest: body}
	from = r.position()
	for len(r.rest) > 0 && len(all) < maxGroup {
		w := r.wanted()
		if len(all) > 0 && w.bucket <= all[len(all)-1].bucket {
			r.fail()
		}
		all = append(all, w)
	}
	if err := r.end(); err != nil {
		return position{}, nil, err
	}
	if len(all) == 0 || all[0].bucket != from.bucket {
		return position{}, nil, errMalformed
	}
	return from, all, nil
}

// A delivery is the answer to askPull.
type delivery struct {
	more    bool
	next    position // if there is more
	records []Record
	size    int // bytes of the answer
}

const deliveryHead = 1 + 2 + 2 + 17

func putDeliveryHead(buf []byte, more bool, next position) {
	if more {
		buf[0] = 1
	}
	appendPosition(buf[:1], next)
}

func readDelivery(buf []byte) (c delivery, err error) {
	r := reader{rest: buf}
	c.size = len(buf)
	switch r.byte() {
	case 0:
	case 1:
		c.more = true
	default:
		r.fail()
	}
	c.next = r.position()
	c.records = r.records()
	for i := range c.records {
		if c.records[i].Key.Kind == 0 { // the cluster's own
			r.fail()
		}
	}
	if err := r.end(); err != nil {
		return delivery{}, err
	}
	return c, nil
}
