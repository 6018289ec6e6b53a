package cluster

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// ahead is how far in the future a version may be. What is further would win over
// all that is written until then.
const ahead = 60 * time.Second

// A Map is the simplest [Table]: of each key the newest record, in memory. Its
// methods may be called by any number of goroutines.
type Map struct {
	clock  *Clock
	writer uint64 // Node of the versions made here

	mu      sync.RWMutex
	buckets [Buckets]map[Key]Record // tombstones too
	digest  Digest
	live    int    // records that are not tombstones
	newest  uint64 // no version of this map has a later Clock
	floor   uint64 // tombstones with an earlier Clock are gone
	refused uint64
	tell    func(from string, records []Record)
}

// NewMap returns an empty map. Its versions carry the node's name, and the time of
// a clock that should be the one in the node's [Config].
func NewMap(name string, clock *Clock) *Map {
	return &Map{clock: clock, writer: xxhash.Sum64String(name), tell: func(string, []Record) {}}
}

// OnChange says who is told of every change: [Node.Spread], or what calls it.
func (m *Map) OnChange(tell func(from string, records []Record)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell = tell
}

// Set gives a key a value.
func (m *Map) Set(key Key, value []byte) error {
	if key.Kind == 0 || len(value) == 0 {
		return errors.New("cluster: a map takes no keys of kind 0 and no empty values; to remove a key, use Delete")
	}
	m.write(key, bytes.Clone(value))
	return nil
}

// Delete removes a key, and reports whether there was one.
func (m *Map) Delete(key Key) bool {
	return m.write(key, nil)
}

// Get returns the value of a key. Nobody modifies it.
func (m *Map) Get(key Key) (value []byte, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	value = m.buckets[bucketOf(key)][key].Value
	return value, len(value) > 0
}

// Len returns the number of keys.
func (m *Map) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.live
}

// Refused returns how many records came from too far in the future.
func (m *Map) Refused() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.refused
}

// write reports whether there is something to write: no tombstone, if there is
// nothing to delete.
func (m *Map) write(key Key, value []byte) bool {
	m.mu.Lock()
	if len(value) == 0 && len(m.buckets[bucketOf(key)][key].Value) == 0 {
		m.mu.Unlock()
		return false
	}
	news := append(m.restampLocked(), Record{key, m.stampLocked(), value})
	m.putLocked(news[len(news)-1])
	tell := m.tell
	m.mu.Unlock()
	tell("", news)
	return true
}

// stampLocked returns a version later than all in the map.
func (m *Map) stampLocked() Version {
	m.newest = max(m.newest+1, at(m.clock.Now()))
	return Version{m.newest, m.writer}
}

// restampLocked writes what is too far in the future anew, as of now. A clock that
// was wrong made it, and has been put right: peers refuse it as it is, and nothing
// could replace it here.
func (m *Map) restampLocked() (news []Record) {
	limit := at(m.clock.Now().Add(ahead))
	if m.newest <= limit {
		return nil
	}
	m.newest = 0
	for _, bucket := range m.buckets {
		for _, r := range bucket {
			if r.Version.Clock > limit {
				news = append(news, r)
			} else {
				m.newest = max(m.newest, r.Version.Clock)
			}
		}
	}
	for i := range news {
		m.dropLocked(news[i])
		news[i].Version = m.stampLocked()
		m.putLocked(news[i])
	}
	return news
}

// Merge implements [Table]: of two records of a key the one with the later version
// stays.
func (m *Map) Merge(peer string, records []Record) error {
	m.mu.Lock()
	limit := at(m.clock.Now().Add(ahead))
	var news []Record
	for _, r := range records {
		switch {
		case r.Version.Clock > limit:
			m.refused++
		case len(r.Value) == 0 && r.Version.Clock < m.floor:
		case m.putLocked(r):
			news = append(news, r)
		}
	}
	tell := m.tell
	m.mu.Unlock()
	if len(news) > 0 {
		tell(peer, news)
	}
	return nil
}

// Holds implements [Holder].
func (m *Map) Holds(records []Record) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return !slices.ContainsFunc(records, func(r Record) bool {
		has, ok := m.buckets[bucketOf(r.Key)][r.Key]
		return !ok || newer(r, has)
	})
}

// Load takes records that this node had before it was restarted, whatever their time.
// Nobody is told of them.
func (m *Map) Load(records []Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.putLocked(r)
	}
}

// putLocked reports whether a record is newer than what the map has, and then
// puts it in place of that.
func (m *Map) putLocked(r Record) bool {
	b := bucketOf(r.Key)
	old, had := m.buckets[b][r.Key]
	if had {
		if !newer(r, old) {
			return false
		}
		m.dropLocked(old)
	}
	if m.buckets[b] == nil {
		m.buckets[b] = map[Key]Record{}
	}
	m.buckets[b][r.Key] = r
	m.digest[b] ^= fingerprint(r)
	if len(r.Value) > 0 {
		m.live++
	}
	m.newest = max(m.newest, r.Version.Clock)
	return true
}

func (m *Map) dropLocked(r Record) {
	b := bucketOf(r.Key)
	delete(m.buckets[b], r.Key)
	m.digest[b] ^= fingerprint(r)
	if len(r.Value) > 0 {
		m.live--
	}
}

// newer orders any two records of a key. By their values only if a version was used
// twice: then nodes still agree.
func newer(a, b Record) bool {
	return cmp.Or(
		cmp.Compare(a.Version.Clock, b.Version.Clock),
		cmp.Compare(a.Version.Node, b.Version.Node),
		bytes.Compare(a.Value, b.Value)) > 0
}

// Digest implements [Table].
func (m *Map) Digest(d *Digest) {
	m.mu.Lock()
	news := m.restampLocked() // this map may never be written to again
	*d = m.digest
	tell := m.tell
	m.mu.Unlock()
	if len(news) > 0 {
		tell("", news)
	}
}

// Scan implements [Table].
func (m *Map) Scan(bucket int, fn func(Record) bool) {
	m.mu.RLock()
	records := slices.Collect(maps.Values(m.buckets[bucket]))
	m.mu.RUnlock()
	for _, r := range records {
		if !fn(r) {
			return
		}
	}
}

// Forget implements [Table].
func (m *Map) Forget(floor int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if clock := uint64(max(0, floor)) << 16; clock > m.floor {
		m.floor = clock
		for _, bucket := range m.buckets {
			for _, r := range bucket {
				if len(r.Value) == 0 && r.Version.Clock < clock {
					m.dropLocked(r)
				}
			}
		}
	}
}

// at returns the first Clock of a moment.
func at(t time.Time) uint64 { return uint64(max(0, t.UnixMilli())) << 16 }

func bucketOf(key Key) int {
	b := append(make([]byte, 0, 17), key.Kind)
	return int(xxhash.Sum64(append(b, key.ID[:]...)) % Buckets)
}

func fingerprint(r Record) uint64 {
	var b [41]byte
	b[0] = r.Key.Kind
	copy(b[1:], r.Key.ID[:])
	binary.LittleEndian.PutUint64(b[17:], r.Version.Clock)
	binary.LittleEndian.PutUint64(b[25:], r.Version.Node)
	binary.LittleEndian.PutUint64(b[33:], xxhash.Sum64(r.Value))
	return xxhash.Sum64(b[:])
}
