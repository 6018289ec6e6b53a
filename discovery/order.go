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
	var places [MaxLimit]uint32
	var met [MaxLimit]owners
	for i := 0; i < MaxProbes && w.a.n < n; {
		slots, want := 0, n-w.a.n
		for ; i < MaxProbes && slots < want; i++ {
			at, owned := l.place(probe(w.agent, i))
			places[slots%MaxLimit] = at
			slots += owned
		}
		for j, at := range places[:slots] {
			met[j] = l.owners[at]
		}
		for j := range met[:slots] {
			if o := &met[j]; o[0] == o[1] {
				w.meetOne(l, uint32(o[0]), n)
			} else {
				w.meet(l, l.ownersIn(o), n)
			}
		}
	}
}

// meetOne adds an SVM at whose slot a probe came, if it is a usable member and the answer
// has less than n.
func (w *walk) meetOne(l *large, index uint32, n int) {
	if w.a.n < n && w.meets(l, index) && w.usable(index) {
		w.take(index)
	}
}

// meet adds those of a slot's owners that are usable members, by cost, until the
// answer has n. Owners are few.
func (w *walk) meet(l *large, owners []uint16, n int) {
	if len(owners) == 2 {
		a, b := uint32(owners[0]), uint32(owners[1])
		if w.cheaper(b, a) {
			a, b = b, a
		}
		w.meetOne(l, a, n)
		w.meetOne(l, b, n)
		return
	}
	for again := true; again && w.a.n < n; {
		first, found := uint32(0), false
		again = false
		for _, index := range owners {
			i := uint32(index)
			if !w.meets(l, i) || !w.usable(i) {
				continue
			}
			if again = found; !again || w.cheaper(i, first) {
				first, found = i, true
			}
		}
		if found {
			w.take(first)
		}
	}
}

// meets reports whether an SVM that owns a slot is a member of the group under way.
func (w *walk) meets(l *large, index uint32) bool {
	return w.counts(index) && (l.all || l.has(index))
}

// cheaper reports whether a comes before b where the first probe is the same. Of
// SVMs that weigh alike it looks at the premixes, as leaders do.
func (w *walk) cheaper(a, b uint32) bool {
	m, o := &w.c.lines[a].weighed, &w.c.lines[b].weighed
	if m.inverse == o.inverse && m.inverse >= inverse(maxAlike) {
		x, y := premix(w.agent^m.hash), premix(w.agent^o.hash)
		if max(x, y)-min(x, y) >= leadGap {
			return x > y
		}
	}
	return w.c.before(&ranked{cost: cost(w.agent, m.hash, m.inverse), index: a},
		&ranked{cost: cost(w.agent, o.hash, o.inverse), index: b})
}
