package cluster

import "fmt"

// Buckets is how many parts a digest tells apart.
const Buckets = 4096

// A Key identifies a record. Kind 0 is the cluster's own: no table gets one.
type Key struct {
	Kind uint8
	ID   [16]byte
}

func (k Key) String() string { return fmt.Sprintf("%d/%x", k.Kind, k.ID) }

// A Version tells records of one key apart. It must never be used twice for
// different contents. Clock is a hybrid logical clock: 48 bits of milliseconds
// since 1970, then 16 bits of counter. Node is who wrote.
type Version struct{ Clock, Node uint64 }

// A Record is what one node says of a key; an empty Value says that it was deleted.
// Nobody modifies a Value.
type Record struct {
	Key     Key
	Version Version
	Value   []byte
}

// A Digest is a table in short: for each bucket a fingerprint of the records in it,
// in whatever order they came. The fingerprint of an empty bucket is 0. Which
// bucket a key is in, and how records are fingerprinted, is the table's choice;
// all nodes must choose alike. Fleeting records are in no bucket.
type Digest [Buckets]uint64

// A Table is what a [Node] keeps alike. Its methods are called by several goroutines
// at a time.
type Table interface {
	// Merge takes records that a peer sent, in any order, any number of times, and
	// returns once they last. Records that it refuses (as too far in the future, say)
	// it counts itself, and takes the others. An error means that nothing was
	// taken; it is repeated later. It may keep the records and their values; but
	// these are parts of the message they came in, and all of it stays in memory for
	// as long as one is kept: copy what is kept for long. A table that refuses some should
	// say so, as a [Holder].
	//
	// Whatever a table learns, from peers too, it tells by [Node.Spread].
	Merge(peer string, records []Record) error

	// Digest writes the present digest to d, all of it, and does not keep d. It is
	// called several times a second.
	Digest(d *Digest)

	// Scan calls fn with every record of a bucket, tombstones included, until fn
	// returns false. fn does not keep the value, and may take its time: nobody else
	// waits for it.
	Scan(bucket int, fn func(Record) bool)

	// Forget drops tombstones with versions whose time is before floor, in
	// milliseconds since 1970. They are in no digest any more, and never taken again.
	Forget(floor int64)
}

// A Holder is a [Table] that says what of a Merge it took. One that is not is thought
// to have taken everything.
type Holder interface {
	// Holds reports whether the table has each of the records, or a later one of its
	// key.
	Holds(records []Record) bool
}
