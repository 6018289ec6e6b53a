package replica

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// What gateways tell each other of SVMs' agents goes the way of fleeting records: in
// packets, dropped first, never repaired. No table keeps it. A record of it has no
// version, because a record without one is left out by releases that do not know its
// kind, too: they would keep it otherwise, on disk and in their digests, and pass it on.
//
// The value of such a record is a format byte, the gateway's name, its epoch and the
// number of the telling (big-endian), and then of each SVM its id, its picks (a signed
// varint) and its flags.
const (
	sightingFormat = 1
	sightingRoom   = 1000 // bytes of a value: with what is around it, one packet
	sightingMost   = 16 + binary.MaxVarintLen32 + 1

	maxGateways   = 256  // that are listened to
	maxName       = 128  // bytes of a gateway's name
	maxSaid       = 2048 // records of a telling: as many SVMs as a table has fit in
	flagSuspect   = 1 << 0
	flagSilent    = 1 << 1
	sightingsHead = 1 + 1 + 8 + 8 // bytes before the SVMs, without the name
)

var errSightings = errors.New("replica: sightings of another release, or damaged")

// A telling is what one record says: some of what a gateway saw at a time.
type telling struct {
	gateway string
	epoch   uint64
	number  uint64 // of the telling, counted from the start of the gateway
	list    []discovery.Sighting
}

// appendTelling appends to value as much of a telling's list, from first on, as one
// record holds, and returns where the rest begins.
func appendTelling(value []byte, t *telling, first int) (_ []byte, next int) {
	value = append(value, sightingFormat, byte(len(t.gateway)))
	value = append(value, t.gateway...)
	value = binary.BigEndian.AppendUint64(value, t.epoch)
	value = binary.BigEndian.AppendUint64(value, t.number)
	for next = first; next < len(t.list) && len(value)+sightingMost <= sightingRoom; next++ {
		s := &t.list[next]
		var flags byte
		if s.Suspect {
			flags |= flagSuspect
		}
		if s.Silent {
			flags |= flagSilent
		}
		value = append(value, s.SVM[:]...)
		value = append(binary.AppendVarint(value, int64(s.Picks)), flags)
	}
	return value, next
}

// records packs a telling.
func (t *telling) records() (list []cluster.Record) {
	for next := 0; next < len(t.list) && len(list) < maxSaid; {
		r := cluster.Record{Key: sightingKey(t.gateway, len(list))} // and no version
		r.Value, next = appendTelling(make([]byte, 0, sightingRoom), t, next)
		list = append(list, r)
	}
	return list
}

// readTelling reads what a peer sent. Flags of a newer release are passed over.
func readTelling(value []byte) (t telling, err error) {
	if len(value) < sightingsHead || len(value) > sightingRoom || value[0] != sightingFormat {
		return t, errSightings
	}
	n := int(value[1])
	if n == 0 || n > maxName || len(value) < sightingsHead+n || !utf8.Valid(value[2:2+n]) {
		return t, errSightings
	}
	t.gateway, value = string(value[2:2+n]), value[2+n:]
	t.epoch, t.number, value = binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:]), value[16:]
	for len(value) > 0 {
		if len(value) < 16+2 {
			return telling{}, errSightings
		}
		s := discovery.Sighting{SVM: store.SVMID(value[:16])}
		picks, n := binary.Varint(value[16:])
		if n <= 0 || int64(int32(picks)) != picks || len(value) < 16+n+1 {
			return telling{}, errSightings
		}
		flags := value[16+n]
		s.Picks, s.Suspect, s.Silent = int32(picks), flags&flagSuspect != 0, flags&flagSilent != 0
		t.list, value = append(t.list, s), value[16+n+1:]
	}
	return t, nil
}

// sightingKey is the key of a part of a gateway's tellings: what waits to be sent is
// replaced by what is told later.
func sightingKey(gateway string, part int) cluster.Key {
	key := cluster.Key{Kind: uint8(store.KindSighting)}
	binary.BigEndian.PutUint64(key.ID[:], xxhash.Sum64String(gateway))
	binary.BigEndian.PutUint64(key.ID[8:], uint64(part))
	return key
}

// SightingStats are counts of SVMs that gateways told each other of.
type SightingStats struct {
	Told, Heard uint64
	Unreadable  uint64 // records of another release, or damaged
}

// sightings takes what peers saw out of what comes for the table.
type sightings struct {
	table
	name   string // of this gateway
	hear   func(gateway string, epoch uint64, list []discovery.Sighting)
	node   atomic.Pointer[cluster.Node] // nil while it starts
	number atomic.Uint64                // of this gateway's tellings

	told, heard, unreadable atomic.Uint64

	mu   sync.Mutex
	last map[string]*said // by gateway
}

// said is what was heard of a gateway's latest telling.
type said struct {
	epoch, number uint64
	parts         [maxSaid / 64]uint64
}

func (s *sightings) init(t table, cfg *Config) {
	s.table, s.name, s.hear, s.last = t, cfg.Name, cfg.Hear, map[string]*said{}
	if s.hear == nil {
		s.hear = func(string, uint64, []discovery.Sighting) {}
	}
}

func isSighting(r cluster.Record) bool { return store.Kind(r.Key.Kind) == store.KindSighting }

// Merge implements [cluster.Table].
func (s *sightings) Merge(peer string, records []cluster.Record) error {
	if !slices.ContainsFunc(records, isSighting) {
		return s.table.Merge(peer, records)
	}
	var news, rest []cluster.Record
	for _, r := range records {
		if !isSighting(r) {
			rest = append(rest, r)
		} else if s.take(&r) {
			news = append(news, r)
		}
	}
	if node := s.node.Load(); node != nil {
		node.Spread(peer, news) // which tells nobody unless there are many
	}
	if len(rest) == 0 {
		return nil
	}
	return s.table.Merge(peer, rest)
}

// take hears a record, and reports whether it is the first time.
func (s *sightings) take(r *cluster.Record) bool {
	t, err := readTelling(r.Value)
	if err != nil {
		s.unreadable.Add(1)
		return false
	}
	if !s.isNews(&t, binary.BigEndian.Uint64(r.Key.ID[8:])) {
		return false
	}
	s.heard.Add(uint64(len(t.list)))
	s.hear(t.gateway, t.epoch, t.list)
	return true
}

// isNews reports whether a part of a telling was not heard before, nor a later telling
// of its gateway: counts that come late are old.
func (s *sightings) isNews(t *telling, part uint64) bool {
	if t.gateway == s.name {
		return false
	}
	if part >= maxSaid {
		s.unreadable.Add(1)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last[t.gateway]
	if last == nil {
		if len(s.last) >= maxGateways {
			clear(s.last) // names that come and go: those that are there tell again
		}
		last = new(said)
		s.last[t.gateway] = last
	}
	if last.epoch != t.epoch || last.number < t.number {
		*last = said{epoch: t.epoch, number: t.number}
	}
	word, bit := &last.parts[part/64], uint64(1)<<(part%64)
	if last.number > t.number || *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// Tell tells the other gateways what this one has seen. It does not wait.
func (r *Replica) Tell(epoch uint64, list []discovery.Sighting) {
	t := telling{gateway: r.sightings.name, epoch: epoch, number: r.sightings.number.Add(1), list: list}
	r.sightings.told.Add(uint64(len(list)))
	r.Spread("", t.records())
}

// Sightings returns the counts since the start.
func (r *Replica) Sightings() SightingStats {
	return SightingStats{r.sightings.told.Load(), r.sightings.heard.Load(), r.sightings.unreadable.Load()}
}

// Gateways returns how many gateways are there, this one included. It costs next to
// nothing.
func (r *Replica) Gateways() int { return r.Alive() }

// Live returns the names of the gateways that are there, this one included, in order.
func (r *Replica) Live() (names []string) {
	for _, m := range r.Members() {
		if m.State != "dead" {
			names = append(names, m.Name)
		}
	}
	return names
}
