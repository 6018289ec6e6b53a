package adminapi

import (
	"slices"
	"sync"

	"github.com/svmgate/svmgate/store"
)

// feedSize is how many events a feed remembers. A stream that falls further behind is
// ended; a client that comes back after fewer misses nothing, in whatever order they
// came.
const feedSize = 4096

// A feed remembers the newest events in the order in which they came to this gateway,
// for all that follow them. It holds up nobody: who writes puts a record into a ring and
// goes on, and each reader keeps up or does not.
type feed struct {
	mu   sync.Mutex
	ring []store.Record // grows to feedSize
	head uint64         // how many came, ever
	more chan struct{}  // closed when another comes; nil while nobody waits
}

// note takes the events of news. It is told of every change, under the writers' lock.
func (f *feed) note(news *store.News) {
	var events []store.Record
	for i := range news.Records {
		if r := &news.Records[i]; r.Key.Kind == store.KindEvent && !r.Deleted() && r.Key.ID != [16]byte{} {
			events = append(events, *r)
		}
	}
	if events == nil {
		return
	}
	slices.SortFunc(events, func(a, b store.Record) int { return a.Version.Compare(b.Version) })
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range events {
		if len(f.ring) < feedSize {
			f.ring = append(f.ring, r)
		} else {
			f.ring[f.head%feedSize] = r
		}
		f.head++
	}
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
}

// next returns up to most records that came after the first n, and a channel that is
// closed when there are others. It reports false if some are not remembered any more.
func (f *feed) next(n uint64, most int) (records []store.Record, more <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head-n > uint64(len(f.ring)) {
		return nil, nil, false
	}
	for ; n < f.head && len(records) < most; n++ {
		records = append(records, f.ring[n%feedSize])
	}
	if f.more == nil {
		f.more = make(chan struct{})
	}
	return records, f.more, true
}

// end returns how many events came, and the version of the last; zero if there is none.
func (f *feed) end() (uint64, store.Version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == 0 {
		return 0, store.Version{}
	}
	return f.head, f.ring[(f.head-1)%feedSize].Version
}

// find returns how many events came up to that with a version, if it is remembered.
func (f *feed) find(v store.Version) (uint64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := f.head; n > f.head-uint64(len(f.ring)); n-- {
		if f.ring[(n-1)%feedSize].Version == v {
			return n, true
		}
	}
	return 0, false
}
