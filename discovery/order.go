package discovery

import "bytes"

// ranked is a member with its place: by first, then cost, then id.
type ranked struct {
	first, cost uint64
	index       uint32
}

// best are the first of those that were inserted, as many as are wanted.
type best struct {
	n, want int
	list    [MaxLimit]ranked
}

// insert places r, if it is one of the best.
func (b *best) insert(c *catalog, r ranked) {
	i := b.n
	for i > 0 && c.before(&r, &b.list[i-1]) {
		i--
	}
	if i >= b.want {
		return
	}
	b.n = min(b.n+1, b.want)
	copy(b.list[i+1:b.n], b.list[i:])
	b.list[i] = r
}

func (c *catalog) before(a, b *ranked) bool {
	if a.first != b.first {
		return a.first < b.first
	}
	if a.cost != b.cost {
		return a.cost < b.cost
	}
	x, y := &c.svms[a.index].entry.ID, &c.svms[b.index].entry.ID
	return bytes.Compare(x[:], y[:]) < 0
}

// takeAll appends the best to the answer.
func (w *walk) takeAll(b *best) {
	for _, r := range b.list[:b.n] {
		w.take(r.index)
	}
}

// rank adds members by cost, until the answer has n.
func (w *walk) rank(members []member, n int) {
	best, bound := best{want: n - w.a.n}, ^uint64(0)
	for i := range members {
		m := &members[i]
		if costFloor(mix(w.agent^m.hash), m.inverse) > bound {
			continue
		}
		r := ranked{cost: cost(w.agent, m.hash, m.inverse), index: m.index}
		if r.cost > bound || w.scan && !w.inGroup(&w.c.svms[m.index]) || !w.usable(m.index) {
			continue
		}
		best.insert(w.c, r)
		if best.n == best.want {
			bound = best.list[best.n-1].cost
		}
	}
	w.takeAll(&best)
}

// probe adds members of a large class in the order in which the agent's probes
// meet them, until the answer has n. It looks up the owners of as many slots as
// SVMs are wanted, before it looks at one: so they are waited for together.
func (w *walk) probe(l *large, n int) {
	var slots [MaxLimit]uint32
	var owners [MaxLimit]uint16
	c := w.c.circle
	for i := 0; i < MaxProbes && w.a.n < n; {
		met, want := 0, n-w.a.n
		for ; i < MaxProbes && met < want; i++ {
			slot := probe(w.agent, i)
			slots[met%MaxLimit] = uint32(slot)
			met += l.slots.at(slot)
		}
		for j, slot := range slots[:met] {
			owners[j] = l.ownerOf(int(slot))
		}
		for j, slot := range slots[:met] {
			if owners[j] == many {
				w.meet(l, c.ownersOf(int(slot), &c.owners[slot]), n)
			} else if w.a.n < n && w.usable(uint32(owners[j])) {
				w.take(uint32(owners[j]))
			}
		}
	}
}

// meet adds those of a slot's owners that are usable members, by cost, until the
// answer has n. Owners are few.
func (w *walk) meet(l *large, owners []uint16, n int) {
	for again := true; again && w.a.n < n; {
		var first *member
		again = false
		for _, index := range owners {
			if !w.meets(l, uint32(index)) {
				continue
			}
			m := &w.c.circle.byIndex[index]
			if again = first != nil; !again || w.cheaper(m, first) {
				first = m
			}
		}
		if first != nil {
			w.take(first.index)
		}
	}
}

// cheaper reports whether a comes before b where the first probe is the same. Of
// SVMs that weigh alike it looks at the premixes, as leaders do.
func (w *walk) cheaper(a, b *member) bool {
	if a.inverse == b.inverse && a.inverse >= inverse(maxAlike) {
		x, y := premix(w.agent^a.hash), premix(w.agent^b.hash)
		if max(x, y)-min(x, y) >= leadGap {
			return x > y
		}
	}
	return w.c.before(&ranked{cost: cost(w.agent, a.hash, a.inverse), index: a.index},
		&ranked{cost: cost(w.agent, b.hash, b.inverse), index: b.index})
}

// meets reports whether an SVM at whose slot a probe came is a usable member.
func (w *walk) meets(l *large, index uint32) bool {
	member := l.has(index)
	if l.indexes == nil {
		member = w.inGroup(&w.c.svms[index])
	}
	return member && w.usable(index)
}
