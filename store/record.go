package store

import (
	"cmp"
	"fmt"
)

// Kind says what a record holds and who writes it. Values are part of the wire
// and disk formats and never change; a kind that this release does not know is
// kept and passed on.
type Kind uint8

// Kinds of records.
const (
	KindTenant      Kind = 1  // a tenant's settings; written by administrators
	KindActivation  Kind = 2  // a tenant's activation; merged as a flag that deactivation wins
	KindSVMConfig   Kind = 3  // an SVM's configuration; written by administrators
	KindSVMFacts    Kind = 4  // what an SVM reports, when it changes
	KindSVMLoad     Kind = 5  // an SVM's count of agents and time of report; not journalled
	KindVM          Kind = 6  // a VM's registration; of two, the earlier holds
	KindPlacement   Kind = 7  // where a VM runs and what it is; written by inventories
	KindObservation Kind = 8  // what was told of a VM's agent or an SVM; written by whoever watches it
	KindAccount     Kind = 9  // an account of the management planes
	KindTask        Kind = 10 // long work; written by the gateway that runs it
	KindToken       Kind = 11 // a tenant's agent token
	KindSighting    Kind = 12 // what a gateway sees of SVMs' agents; no table takes it
	KindTaskCancel  Kind = 13 // the wish to end a task; written by whichever gateway was asked
	KindEvent       Kind = 14 // what happened; of two, the earlier holds
	KindProtection  Kind = 15 // on which days a VM was protected; days are only ever added
)

func (k Kind) String() string {
	names := [...]string{"", "tenant", "activation", "svm-config", "svm-facts", "svm-load",
		"vm", "placement", "observation", "account", "task", "token", "sighting", "task-cancel", "event", "protection"}
	if k > 0 && int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// isOfThings reports whether records of the kind are of something that has an id, which
// is never zero.
func (k Kind) isOfThings() bool {
	return k <= KindObservation || k == KindTask || k == KindToken || k == KindTaskCancel
}

// isOwner reports whether there are records of other kinds that belong to those of the kind.
func (k Kind) isOwner() bool { return k == KindTenant || k == KindSVMConfig || k == KindTask }

// isOfTasks reports whether records of the kind are of work that is under way or was.
func (k Kind) isOfTasks() bool { return k == KindTask || k == KindTaskCancel }

// MarshalText writes the name of the kind.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// A Key identifies a record. ID is the id of the tenant, SVM or VM (by its BIOS
// ID); for an account it is a hash of the name.
type Key struct {
	Kind Kind
	ID   [16]byte
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), compareID(k.ID, o.ID))
}

func (k Key) String() string { return k.Kind.String() + "/" + BIOSID(k.ID).String() }

// A Version orders the writes of all nodes: a hybrid logical clock (48 bits of
// milliseconds since 1970, 16 bits of counter), then the node that wrote. The
// zero Version is older than every other and marks a record to be stamped.
type Version struct {
	Clock uint64
	Node  uint64
}

// Compare returns -1, 0 or +1 as v is older than, equal to or newer than o.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Clock, o.Clock), cmp.Compare(v.Node, o.Node))
}

// IsZero reports whether v is the zero Version.
func (v Version) IsZero() bool { return v == Version{} }

// Millis returns the physical part of v, in milliseconds since 1970.
func (v Version) Millis() int64 { return int64(v.Clock >> 16) }

// A Record is the unit of change, of merging, of journal and replication: what
// one kind of writer says of one thing. Value is never modified; an empty Value
// is a tombstone.
type Record struct {
	Key     Key
	Version Version
	Value   []byte
}

// Deleted reports whether r is a tombstone.
func (r Record) Deleted() bool { return len(r.Value) == 0 }
