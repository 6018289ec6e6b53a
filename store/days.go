package store

import (
	"iter"
	"math/bits"
	"slices"
)

// MaxDays is how many days of a VM are kept: those before fall away as later ones come.
const MaxDays = 400

// Days is a set of days, none of them [MaxDays] or more before the latest. The zero value
// is empty.
type Days struct {
	first Day    // a multiple of 8; 0 if the set is empty
	bits  []byte // of first and the days behind it, the lowest bit first; neither begins nor ends with a zero byte
}

// Add adds the days from first to last.
func (d *Days) Add(first, last Day) {
	if last < first {
		return
	}
	from := max(int(first), int(last)-MaxDays+1)
	base := from &^ 7
	o := Days{first: Day(base), bits: make([]byte, (int(last)-base)/8+1)}
	for day := from; day <= int(last); day++ {
		o.bits[(day-base)/8] |= 1 << (day & 7)
	}
	*d = d.Union(o)
}

// Union returns the days that are in d or in o, without those that are too old beside the
// latest. It depends neither on their order nor on how often days are told.
func (d Days) Union(o Days) Days {
	if len(d.bits) == 0 || len(o.bits) == 0 {
		if len(o.bits) == 0 {
			o = d
		}
		return Days{first: o.first, bits: slices.Clone(o.bits)}
	}
	oldest := max(d.last(), o.last()) - MaxDays + 1
	first := max(min(int(d.first), int(o.first)), oldest&^7)
	end := max(d.end(), o.end())
	out := Days{first: Day(first), bits: make([]byte, (end-first)/8)}
	for _, set := range []Days{d, o} {
		for i, b := range set.bits {
			if at := int(set.first) + 8*i; at >= first {
				out.bits[(at-first)/8] |= b
			}
		}
	}
	out.cut(Day(oldest))
	return out
}

// end is the first multiple of 8 behind the days, and last the latest day; -1 if there
// is none.
func (d Days) end() int { return int(d.first) + 8*len(d.bits) }

func (d Days) last() int {
	if len(d.bits) == 0 {
		return -1
	}
	return d.end() - 1 - bits.LeadingZeros8(d.bits[len(d.bits)-1])
}

// cut takes out the days before a given one, and reports whether there were any. It
// changes the bits.
func (d *Days) cut(before Day) bool {
	had := d.Len()
	for i := range d.bits {
		switch at := int(d.first) + 8*i; {
		case at+8 <= int(before):
			d.bits[i] = 0
		case at < int(before):
			d.bits[i] &= 0xff << (int(before) - at)
		}
	}
	d.trim()
	return d.Len() != had
}

// cutAfter takes out the days after a given one. It changes the bits.
func (d *Days) cutAfter(last Day) {
	for i := range d.bits {
		switch at := int(d.first) + 8*i; {
		case at > int(last):
			d.bits[i] = 0
		case at+7 > int(last):
			d.bits[i] &= 0xff >> (at + 7 - int(last))
		}
	}
	d.trim()
}

// trim drops zero bytes at either end.
func (d *Days) trim() {
	for len(d.bits) > 0 && d.bits[len(d.bits)-1] == 0 {
		d.bits = d.bits[:len(d.bits)-1]
	}
	for len(d.bits) > 0 && d.bits[0] == 0 {
		d.first, d.bits = d.first+8, d.bits[1:]
	}
	if len(d.bits) == 0 {
		*d = Days{}
	}
}

// canonical reports whether d is as its type says: equal sets are equal bytes.
func (d Days) canonical() bool {
	if len(d.bits) == 0 {
		return d.first == 0
	}
	return d.first&7 == 0 && d.bits[0] != 0 && d.bits[len(d.bits)-1] != 0 &&
		d.last()-int(d.first)-bits.TrailingZeros8(d.bits[0]) < MaxDays
}

// Equal reports whether d and o are the same days.
func (d Days) Equal(o Days) bool { return d.first == o.first && slices.Equal(d.bits, o.bits) }

// Has reports whether a day is in the set.
func (d Days) Has(day Day) bool {
	i := int(day) - int(d.first)
	return i >= 0 && i < 8*len(d.bits) && d.bits[i/8]&(1<<(i%8)) != 0
}

// Len returns how many days there are.
func (d Days) Len() (n int) {
	for _, b := range d.bits {
		n += bits.OnesCount8(b)
	}
	return n
}

// Runs returns the first and the last of the days in a row, the oldest first.
func (d Days) Runs() iter.Seq2[Day, Day] {
	return func(yield func(Day, Day) bool) {
		for day := int(d.first); day < d.end(); day++ {
			if !d.Has(Day(day)) {
				continue
			}
			first := day
			for day+1 < d.end() && d.Has(Day(day+1)) {
				day++
			}
			if !yield(Day(first), Day(day)) {
				return
			}
		}
	}
}
