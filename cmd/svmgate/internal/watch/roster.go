package watch

import (
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A Member is another gateway, or this one.
type Member struct {
	Name  string
	Alive bool // it can be reached
}

// Settle is how long the new owner of something waits: for the records of the owner before
// it, and for the others to see what it sees.
const Settle = 10 * time.Second

// A roster is the gateways that watch, and those that did until a short time ago: of those
// that are alive the ones that said so, see [Watch.greet]. It does not change.
type roster struct {
	self   string
	names  []hashed
	before []former // the latest first
}

// hashed is a name with its hash.
type hashed struct {
	name string
	hash uint64
}

// former are the gateways that watched until a moment.
type former struct {
	names []hashed
	until time.Time
}

// newRoster returns the roster of a gateway that starts. If there are others, whoever was
// there before it is unknown: it waits with everything.
func newRoster(self string, alone bool, now time.Time) *roster {
	r := &roster{self: self, names: hash([]string{self})}
	if !alone {
		r.before = []former{{until: now}}
	}
	return r
}

func hash(names []string) []hashed {
	list := make([]hashed, len(names))
	for i, name := range names {
		list[i] = hashed{name, xxhash.Sum64String(name)}
	}
	return list
}

// next returns the roster of those who watch now, this gateway and others; r itself if
// nothing is different.
func (r *roster) next(others []string, now time.Time) *roster {
	names := append([]string{r.self}, others...)
	slices.Sort(names)
	before := r.before
	for len(before) > 0 && now.Sub(before[len(before)-1].until) >= Settle {
		before = before[:len(before)-1]
	}
	if slices.EqualFunc(names, r.names, func(name string, h hashed) bool { return name == h.name }) {
		if len(before) == len(r.before) {
			return r
		}
		return &roster{r.self, r.names, before}
	}
	return &roster{r.self, hash(names), append([]former{{r.names, now}}, before...)}
}

// owner returns who watches something; but, if it is named, not that gateway.
func (r *roster) owner(id [16]byte, but string) string { return owner(r.names, id, but) }

func owner(names []hashed, id [16]byte, but string) (name string) {
	what, most := xxhash.Sum64(id[:]), uint64(0)
	for _, h := range names {
		if h.name == but {
			continue
		}
		if weight := mix(what ^ h.hash); name == "" || weight > most {
			name, most = h.name, weight
		}
	}
	return name
}

// settled reports whether what this gateway owns now it has owned for [Settle].
func (r *roster) settled(id [16]byte, but string, now time.Time) bool {
	for _, f := range r.before {
		if now.Sub(f.until) < Settle && owner(f.names, id, but) != r.self {
			return false
		}
	}
	return true
}

// mine reports whether this gateway owns something, and may act.
func (r *roster) mine(id [16]byte, but string, now time.Time) bool {
	return r.owner(id, but) == r.self && r.settled(id, but, now)
}

// mix is the finalizer of MurmurHash3.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
