package discovery

import "github.com/svmgate/svmgate/store"

// locals says where VMs have an SVM that is local to them, whatever else it is.
// Most hosts of a large infrastructure have none, and a question from there need
// not look for a candidate set that is empty.
type locals struct{ hosts, wides symbolBits }

// symbolBits has a bit for every symbol that is in it.
type symbolBits []uint64

func localsOf(svms []svmFacts) *locals {
	l := new(locals)
	for i := range svms {
		switch p := svms[i].place; {
		case svms[i].entry == nil || p.large:
		case p.openstack:
			l.wides.set(p.wide)
		default:
			l.hosts.set(p.host)
		}
	}
	return l
}

// near reports whether some SVM is local to a VM on the given host, and with the
// given value at the level that counts on OpenStack platforms.
func (l *locals) near(host, wide store.Symbol) bool { return l.hosts.has(host) || l.wides.has(wide) }

func (b symbolBits) has(s store.Symbol) bool {
	i := int(s / 64)
	return i < len(b) && b[i]>>(s%64)&1 == 1
}

// set adds a symbol; 0 is none.
func (b *symbolBits) set(s store.Symbol) {
	if s == 0 {
		return
	}
	if n := int(s/64) + 1 - len(*b); n > 0 {
		*b = append(*b, make([]uint64, n)...)
	}
	(*b)[s/64] |= 1 << (s % 64)
}
