package clustertest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// Settle waits until the tables of all running nodes are equal, and returns how
// long that took. If it takes longer than within, the test has failed.
func (w *World[T]) Settle(within time.Duration) time.Duration {
	w.t.Helper()
	start := time.Now()
	for !w.Equal() {
		if time.Since(start) >= within {
			w.t.Errorf("tables differ %v after all was well:\n%s", within, w.Describe())
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(start)
}

// Equal reports whether the tables of all running nodes are equal.
func (w *World[T]) Equal() bool {
	first, d := (*cluster.Digest)(nil), new(cluster.Digest)
	for i := range w.nodes {
		table, running := w.Table(i)
		if !running {
			continue
		}
		table.Digest(d)
		if first == nil {
			first, d = d, new(cluster.Digest)
		} else if *first != *d {
			return false
		}
	}
	return true
}

// Describe says how nodes stand, for who reads why a test failed: how each differs
// from the first, and what it counted.
func (w *World[T]) Describe() string {
	var b strings.Builder
	var first map[cluster.Key]cluster.Record
	for i, n := range w.nodes {
		table, running := w.Table(i)
		if !running {
			fmt.Fprintf(&b, "%s does not run\n", n.name)
			continue
		}
		own := map[cluster.Key]cluster.Record{}
		for _, r := range records(table) {
			own[r.Key] = r
		}
		if first == nil {
			first = own
		}
		node := w.Node(i)
		ready, why := node.Ready()
		fmt.Fprintf(&b, "%s: %d records; ready: %t %s; its clock is %v ahead\n\t%+v\n", n.name, len(own),
			ready, why, time.Until(node.Clock().Now()).Round(time.Millisecond), node.Stats())
		describeDifference(&b, own, first)
	}
	return b.String()
}

// describeDifference names some keys of which two tables have different records.
func describeDifference(b *strings.Builder, own, first map[cluster.Key]cluster.Record) {
	all := maps.Clone(first)
	maps.Copy(all, own)
	maps.DeleteFunc(all, func(key cluster.Key, _ cluster.Record) bool {
		return own[key].Version == first[key].Version && bytes.Equal(own[key].Value, first[key].Value)
	})
	for key := range all {
		if len(all) <= 10 {
			fmt.Fprintf(b, "\t%v: %s, the first node has %s\n", key, describe(own[key]), describe(first[key]))
		}
	}
	if len(all) > 10 {
		fmt.Fprintf(b, "\t%d keys differ from the first node's\n", len(all))
	}
}

func describe(r cluster.Record) string {
	if r.Version == (cluster.Version{}) {
		return "nothing"
	}
	at := time.UnixMilli(int64(r.Version.Clock >> 16)).UTC().Format("15:04:05.000")
	return fmt.Sprintf("%q of %s+%d by %x", r.Value, at, r.Version.Clock&0xffff, r.Version.Node)
}

// Check fails the test if a running node does not have what was acknowledged, or
// has what never was. It is for tables where of each key the newest record
// stays, and for when they are equal.
func (w *World[T]) Check() {
	w.t.Helper()
	for i, n := range w.nodes {
		if table, running := w.Table(i); running {
			for _, problem := range w.ledger.check(table) {
				w.t.Errorf("%s %s", n.name, problem)
			}
		}
	}
}

// A ledger is what nodes have written.
type ledger struct {
	mu      sync.Mutex
	written map[cluster.Key]map[cluster.Version][]byte // ever

	// kept are the newest of those that were acknowledged, those aside that only a
	// lost disk had: they may be there, if they were on their way to another node.
	kept map[cluster.Key]cluster.Record
}

func newLedger() *ledger {
	return &ledger{written: map[cluster.Key]map[cluster.Version][]byte{}, kept: map[cluster.Key]cluster.Record{}}
}

func (l *ledger) write(records []cluster.Record, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		if l.written[r.Key] == nil {
			l.written[r.Key] = map[cluster.Version][]byte{}
		}
		l.written[r.Key][r.Version] = r.Value
		if !acknowledged {
			continue
		}
		// A write that goes back in time is an old one, made anew when a clock was
		// right again.
		kept, ok := l.kept[r.Key]
		anew := r.Version.Node == kept.Version.Node || bytes.Equal(r.Value, kept.Value)
		if !ok || later(r, kept) || anew {
			l.kept[r.Key] = r
		}
	}
}

// onlyIn says that these tables are all that is left.
func (l *ledger) onlyIn(tables []cluster.Table) {
	newest := map[cluster.Key]cluster.Record{}
	for _, table := range tables {
		for _, r := range records(table) {
			if had, ok := newest[r.Key]; !ok || later(r, had) {
				newest[r.Key] = r
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, kept := range l.kept {
		left, ok := newest[key]
		switch {
		case !ok:
			delete(l.kept, key)
		case later(kept, left):
			l.kept[key] = left
		}
	}
}

func (l *ledger) check(table cluster.Table) (problems []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := maps.Clone(l.kept)
	for _, r := range records(table) {
		kept, ok := l.kept[r.Key]
		delete(missing, r.Key)
		value, written := l.written[r.Key][r.Version]
		switch {
		case !written || !bytes.Equal(value, r.Value):
			problems = append(problems, fmt.Sprintf("has %v of %v with %q, which nobody wrote", r.Version, r.Key, r.Value))
		case ok && later(kept, r) && len(kept.Value) == 0:
			problems = append(problems, fmt.Sprintf("has %v again, deleted by %v", r.Key, kept.Version))
		case ok && later(kept, r):
			problems = append(problems, fmt.Sprintf("has %v of %v, and lost %v", r.Version, r.Key, kept.Version))
		}
	}
	for key, kept := range missing {
		if len(kept.Value) > 0 {
			problems = append(problems, fmt.Sprintf("has lost %v", key))
		}
	}
	return problems
}

func later(a, b cluster.Record) bool {
	return cmp.Or(cmp.Compare(a.Version.Clock, b.Version.Clock), cmp.Compare(a.Version.Node, b.Version.Node)) > 0
}

// records returns all records of a table.
func records(table cluster.Table) (all []cluster.Record) {
	for b := range cluster.Buckets {
		table.Scan(b, func(r cluster.Record) bool {
			r.Value = bytes.Clone(r.Value)
			all = append(all, r)
			return true
		})
	}
	return all
}
