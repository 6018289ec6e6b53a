package inventory

import (
	"encoding/json"
)

// Options say how an inventory is applied. The zero value applies record by
// record and leaves statuses and states of what exists alone.
type Options struct {
	// Atomic changes nothing at all if any record is refused. It is one change:
	// other writers wait while the inventory is read.
	Atomic bool

	// WithStatus makes a tenant's status and an SVM's state count for what the
	// table already has, too.
	WithStatus bool

	// DryRun counts and refuses as usual, but changes nothing.
	DryRun bool

	// MaxBytes bounds the input of [Load]; 0 means the package's MaxBytes.
	MaxBytes int64

	// TempDir is where [Load] keeps what is too large for memory while it reads it. If
	// empty it is the system's directory for temporary files.
	TempDir string
}

// A Result says what applying an inventory did, in records of the inventory.
type Result struct {
	Changed   int
	Unchanged int
	Refused   []Refusal // in the order of the file, at most MaxRefused

	// RefusedMore counts the refusals beyond those listed.
	RefusedMore int
}

// A Refusal says why a record was not applied.
type Refusal struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"` // names the field
}

// MarshalJSON writes {"changed", "unchanged", "refused"}, and "refusedMore" if
// there is more.
func (r Result) MarshalJSON() ([]byte, error) {
	refused := r.Refused
	if refused == nil {
		refused = []Refusal{}
	}
	return json.Marshal(struct {
		Changed     int       `json:"changed"`
		Unchanged   int       `json:"unchanged"`
		Refused     []Refusal `json:"refused"`
		RefusedMore int       `json:"refusedMore,omitempty"`
	}{r.Changed, r.Unchanged, refused, r.RefusedMore})
}

// OK reports whether every record was accepted.
func (r Result) OK() bool { return len(r.Refused) == 0 }

func (r *Result) refuse(line int, reason string) {
	if len(r.Refused) == MaxRefused {
		r.RefusedMore++
		return
	}
	r.Refused = append(r.Refused, Refusal{Line: line, Reason: reason})
}
