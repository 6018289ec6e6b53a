package store

import (
	"cmp"
	"slices"
	"sync"
)

// VMs are listed in the order of (hash, id), the hash being the first 32 bits of
// hashBIOS: shards and slots already stand in it, but for the few VMs between one
// free slot and the next. It does not change while a shard grows, so a walk by
// pages returns a VM that is there throughout exactly once.

// hash32 is what VMs are listed by, before their ids.
func hash32(id *BIOSID) uint32 { return uint32(hashBIOS(id) >> 32) }

// A vmPlace is where a VM stands in a listing; before the first is the zero one.
type vmPlace struct {
	hash uint32
	id   BIOSID
}

func placeOf(id BIOSID) vmPlace {
	if id.IsZero() {
		return vmPlace{}
	}
	return vmPlace{hash: hash32(&id), id: id}
}

func (p vmPlace) compare(o vmPlace) int {
	return cmp.Or(cmp.Compare(p.hash, o.hash), compareID(p.id, o.id))
}

// page returns up to limit ids of registered VMs that come after the given one;
// the zero id starts. It takes time for what it returns.
func (t *vmTable) page(after BIOSID, limit int) []BIOSID {
	from := placeOf(after)
	var out []vmPlace
	for i := int(from.hash >> 24); i < vmShards && len(out) < limit; i++ {
		out = t.appendPlaces(out, i, from, limit)
	}
	return idsOf(out, limit)
}

// appendPlaces adds a shard's VMs that come after from, in order, until dst has
// limit of them or a few more.
func (t *vmTable) appendPlaces(dst []vmPlace, shard int, from vmPlace, limit int) []vmPlace {
	arr := t.shards[shard].slots.Load()
	if arr == nil {
		return dst
	}
	first := 0
	if shard == int(from.hash>>24) {
		first = arr.home(uint64(from.hash) << 32)
	}
	run := len(dst)
	for i := first; i < len(arr.slots); i++ {
		slot := &arr.slots[i]
		facts := vmFacts(slot.facts.Load())
		if facts == 0 { // all that comes later has a greater hash
			slices.SortFunc(dst[run:], vmPlace.compare)
			if run = len(dst); run >= limit {
				return dst
			}
		}
		if facts&factsLive == 0 {
			continue
		}
		if p := placeOf(slot.id()); p.compare(from) > 0 {
			dst = append(dst, p)
		}
	}
	slices.SortFunc(dst[run:], vmPlace.compare)
	return dst
}

func idsOf(places []vmPlace, limit int) []BIOSID {
	ids := make([]BIOSID, min(len(places), max(limit, 0)))
	for i := range ids {
		ids[i] = places[i].id
	}
	return ids
}

// vmLists are the VMs of each tenant: hashes of all of them, and of some that
// are gone or have moved on. They are made when somebody first asks, at about
// five bytes a VM, and kept from then on.
type vmLists struct {
	mu sync.Mutex // for those that list; a writer excludes them by the table's lock
	of []vmList   // by index of the tenant; nil until somebody asks
}

type vmList struct {
	hints  []uint32
	sorted int // so many of them are in order, each once
	live   int // VMs of the tenant
}

// pageOf is page for the VMs of one tenant. It takes time for what it returns,
// and at most for the tenant's VMs if some of them have changed.
func (t *vmTable) pageOf(tenant uint32, after BIOSID, limit int) []BIOSID {
	t.lists.mu.Lock()
	defer t.lists.mu.Unlock()
	if t.lists.of == nil {
		t.makeLists()
	}
	if int(tenant) >= len(t.lists.of) {
		return nil
	}
	list := &t.lists.of[tenant]
	list.sort()
	from := placeOf(after)
	first, _ := slices.BinarySearch(list.hints, from.hash)
	var out []vmPlace
	for _, hint := range list.hints[first:] {
		if len(out) >= limit {
			break
		}
		out = t.appendHinted(out, hint, tenant, from)
	}
	return idsOf(out, limit)
}

// appendHinted adds the tenant's VMs with a hash that come after from, in order.
func (t *vmTable) appendHinted(dst []vmPlace, hint, tenant uint32, from vmPlace) []vmPlace {
	found := len(dst)
	t.eachHinted(hint, tenant, func(id BIOSID) {
		if p := (vmPlace{hint, id}); p.compare(from) > 0 {
			dst = append(dst, p)
		}
	})
	slices.SortFunc(dst[found:], vmPlace.compare)
	return dst
}

func (t *vmTable) eachHinted(hint, tenant uint32, fn func(BIOSID)) {
	hash := uint64(hint) << 32
	arr := t.shard(hash).slots.Load()
	if arr == nil {
		return
	}
	for i := arr.home(hash); i < len(arr.slots); i++ {
		facts := vmFacts(arr.slots[i].facts.Load())
		if facts == 0 {
			return
		}
		if facts&factsLive == 0 || facts.tenant() != tenant {
			continue
		}
		if id := arr.slots[i].id(); hash32(&id) == hint {
			fn(id)
		}
	}
}

// makeLists goes through all slots.
func (t *vmTable) makeLists() {
	t.lists.of = []vmList{}
	t.each(func(_ *vmSlot, facts vmFacts) {
		t.lists.at(facts.tenant()).live++
	})
	for i := range t.lists.of {
		list := &t.lists.of[i]
		list.hints = make([]uint32, 0, list.live)
	}
	t.each(func(slot *vmSlot, facts vmFacts) {
		id := slot.id()
		list := &t.lists.of[facts.tenant()]
		list.hints = append(list.hints, hash32(&id))
	})
}

// each calls fn with every registered VM.
func (t *vmTable) each(fn func(*vmSlot, vmFacts)) {
	for i := range t.shards {
		t.shards[i].each(func(slot *vmSlot, facts vmFacts) {
			if facts&factsLive != 0 {
				fn(slot, facts)
			}
		})
	}
}

// at returns the list of a tenant, which may be a new one.
func (l *vmLists) at(tenant uint32) *vmList {
	if n := int(tenant) + 1; n > len(l.of) {
		l.of = append(l.of, make([]vmList, n-len(l.of))...)
	}
	return &l.of[tenant]
}

// relist keeps the lists in step with a slot whose facts have changed.
func (t *vmTable) relist(slot *vmSlot, was, is vmFacts) {
	had, has := was&factsLive != 0, is&factsLive != 0
	if t.lists.of == nil || had && has && was.tenant() == is.tenant() {
		return
	}
	if had {
		list := t.lists.at(was.tenant())
		list.live--
		t.tidy(list, was.tenant())
	}
	if has {
		id := slot.id()
		list := t.lists.at(is.tenant())
		list.live++
		list.hints = append(list.hints, hash32(&id))
		t.tidy(list, is.tenant())
	}
}

// tidy drops stale hints and doubles when they are more than the others.
func (t *vmTable) tidy(list *vmList, tenant uint32) {
	if len(list.hints) <= 2*list.live+64 {
		return
	}
	list.sort()
	kept := slices.DeleteFunc(list.hints, func(hint uint32) bool {
		stale := true
		t.eachHinted(hint, tenant, func(BIOSID) { stale = false })
		return stale
	})
	list.hints, list.sorted = slices.Clone(kept), len(kept)
}

// sort brings the hints in order, and drops doubles. It takes time for the whole
// list if any were added.
func (l *vmList) sort() {
	if l.sorted == len(l.hints) {
		return
	}
	slices.Sort(l.hints[l.sorted:])
	var late []uint32
	if l.sorted > 0 {
		late = slices.Clone(l.hints[l.sorted:])
	}
	i, j := l.sorted-1, len(late)-1
	for to := len(l.hints) - 1; j >= 0; to-- { // merge from behind
		if i >= 0 && l.hints[i] > late[j] {
			l.hints[to] = l.hints[i]
			i--
		} else {
			l.hints[to] = late[j]
			j--
		}
	}
	l.hints = slices.Compact(l.hints)
	l.sorted = len(l.hints)
}
