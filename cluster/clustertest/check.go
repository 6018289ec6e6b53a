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

// A ledger is what nodes have written, and what they had.
type ledger struct {
	mu      sync.Mutex
	written map[cluster.Key]map[cluster.Version][]byte // ever

	// had is what each node has of a key, as it told.
	had map[string]map[cluster.Key]cluster.Version

	// kept are the newest of those that were acknowledged, those aside that only a lost disk
	// had: they may be there, if they were on their way to another node.
	kept map[cluster.Key]cluster.Version
}

func newLedger() *ledger {
	return &ledger{
		written: map[cluster.Key]map[cluster.Version][]byte{},
		had:     map[string]map[cluster.Key]cluster.Version{},
		kept:    map[cluster.Key]cluster.Version{},
	}
}

// change notes what a node tells of its table.
func (l *ledger) change(node string, records []cluster.Record, written, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := l.had[node]
	if had == nil {
		had = map[cluster.Key]cluster.Version{}
		l.had[node] = had
	}
	for _, r := range records {
		before, some := had[r.Key]
		if written {
			l.writeLocked(r, before, acknowledged)
		} else if some && later(before, r.Version) {
			continue // of what was written to it since, it was quicker to tell
		}
		had[r.Key] = r.Version
	}
}

// writeLocked notes a write by a node that had another version before, or the zero one. A
// write that is older than what is kept replaces it nonetheless if the writer had that: it
// wrote anew what a clock had stamped that was ahead and is right again. Values do not
// tell this from a write of one that knew of nothing: those of deletions are all alike.
func (l *ledger) writeLocked(r cluster.Record, before cluster.Version, acknowledged bool) {
	if l.written[r.Key] == nil {
		l.written[r.Key] = map[cluster.Version][]byte{}
	}
	l.written[r.Key][r.Version] = r.Value
	kept, ok := l.kept[r.Key]
	if ok && !later(kept, before) || acknowledged && (!ok || later(r.Version, kept)) {
		l.kept[r.Key] = r.Version
	}
}

// lose says that a node has nothing any more, and that these tables are all that is left.
func (l *ledger) lose(node string, tables []cluster.Table) {
	left := map[cluster.Key]cluster.Version{}
	for _, table := range tables {
		for _, r := range records(table) {
			if v, ok := left[r.Key]; !ok || later(r.Version, v) {
				left[r.Key] = r.Version
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.had, node)
	for key, kept := range l.kept {
		newest, some := left[key]
		switch {
		case !some:
			delete(l.kept, key)
		case later(kept, newest):
			l.kept[key] = newest
		}
	}
}

func (l *ledger) check(table cluster.Table) (problems []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := maps.Clone(l.kept)
	for _, r := range records(table) {
		delete(missing, r.Key)
		kept, ok := l.kept[r.Key]
		value, written := l.written[r.Key][r.Version]
		switch {
		case !written || !bytes.Equal(value, r.Value):
			problems = append(problems, fmt.Sprintf("has %v of %v with %q, which nobody wrote", r.Version, r.Key, r.Value))
		case ok && later(kept, r.Version) && len(l.written[r.Key][kept]) == 0:
			problems = append(problems, fmt.Sprintf("has %v again, deleted by %v", r.Key, kept))
		case ok && later(kept, r.Version):
			problems = append(problems, fmt.Sprintf("has %v of %v, and lost %v", r.Version, r.Key, kept))
		}
	}
	for key, kept := range missing {
		if len(l.written[key][kept]) > 0 {
			problems = append(problems, fmt.Sprintf("has lost %v", key))
		}
	}
	return problems
}

func later(a, b cluster.Version) bool {
	return cmp.Or(cmp.Compare(a.Clock, b.Clock), cmp.Compare(a.Node, b.Node)) > 0
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
