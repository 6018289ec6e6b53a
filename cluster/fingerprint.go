package cluster

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// groups are runs of 64 buckets, by which digests are compared first.
const groups = Buckets / 64

// sums are a digest in short: a fingerprint for each group.
type sums [groups]uint64

func (d *Digest) sums() (s sums) {
	var buf [64 * 8]byte
	for g := range s {
		for i, fingerprint := range d[g*64 : g*64+64] {
			binary.BigEndian.PutUint64(buf[i*8:], fingerprint)
		}
		s[g] = xxhash.Sum64(buf[:])
	}
	return s
}

// root is a digest in one number.
func (s *sums) root() uint64 {
	var buf [groups * 8]byte
	for g, sum := range s {
		binary.BigEndian.PutUint64(buf[g*8:], sum)
	}
	return xxhash.Sum64(buf[:])
}

func (d *Digest) root() uint64 {
	s := d.sums()
	return s.root()
}

// digests are lent: each is 32 KiB, and needed for a moment, several times a second.
var digests = sync.Pool{New: func() any { return new(Digest) }}

// digestOf returns a table's present digest, on loan until it is done with.
func digestOf(t Table) *Digest {
	d := digests.Get().(*Digest)
	t.Digest(d)
	return d
}

// done gives back what digestOf lent.
func (d *Digest) done() { digests.Put(d) }

// rootOf is the root of a table's present digest.
func rootOf(t Table) uint64 {
	d := digestOf(t)
	defer d.done()
	return d.root()
}

// A set has some of the buckets.
type set [groups]uint64

func (s *set) has(b int) bool { return s[b/64]>>(b%64)&1 != 0 }
func (s *set) add(b int)      { s[b/64] |= 1 << (b % 64) }
func (s *set) drop(b int)     { s[b/64] &^= 1 << (b % 64) }

func (s *set) len() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// and leaves what is in other, too.
func (s *set) and(other *set) {
	for g := range s {
		s[g] &= other[g]
	}
}

// groups returns those with any bucket, one in each bit.
func (s *set) groups() (which uint64) {
	for g, w := range s {
		if w != 0 {
			which |= 1 << g
		}
	}
	return which
}

// each goes through the buckets in order.
func (s *set) each() iter.Seq[int] {
	return func(yield func(int) bool) {
		for g, w := range s {
			for i := range eachBit(w) {
				if !yield(g*64 + i) {
					return
				}
			}
		}
	}
}

func eachBit(w uint64) iter.Seq[int] {
	return func(yield func(int) bool) {
		for ; w != 0; w &= w - 1 {
			if !yield(bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}

// subs is how many parts a bucket has when it is pulled: about as many as it has
// records in a table of a million VMs, so that little comes along that is there
// already. While much is written elsewhere, everything differs a little.
const subs = 1024

// subOf must not depend on the bucket, or all of a bucket would be in one.
func subOf(k *Key) int {
	h := binary.LittleEndian.Uint64(k.ID[:8])*0x9e3779b97f4a7c15 + uint64(k.Kind)
	h = (h ^ binary.LittleEndian.Uint64(k.ID[8:])) * 0xd6e8feb86659fd93
	return int(h >> 54)
}

// prints are a bucket in short: a fingerprint for each sub, 0 where there is nothing.
type prints [subs]uint64

func printsOf(t Table, bucket int) *prints {
	p := new(prints)
	t.Scan(bucket, func(r Record) bool {
		p[subOf(&r.Key)] ^= fingerprint(r)
		return true
	})
	return p
}

// A subset has some of the subs of a bucket.
type subset [subs / 64]uint64

func (s *subset) has(sub int) bool { return s[sub/64]>>(sub%64)&1 != 0 }
func (s *subset) add(sub int)      { s[sub/64] |= 1 << (sub % 64) }

// A part is what is in a bucket, by sub.
type part struct {
	prints  prints
	sizes   [subs]int // in bytes, as they are sent
	records int
}

// add counts a record, and returns its sub. It leaves out the fingerprint, which is
// dear, if nobody needs it.
func (p *part) add(r *Record, printed bool) (sub int) {
	sub = subOf(&r.Key)
	if printed {
		p.prints[sub] ^= fingerprint(*r)
	}
	p.sizes[sub] += recordSize(r)
	p.records++
	return sub
}
