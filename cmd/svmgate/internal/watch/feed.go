package watch

import (
	"strconv"
	"sync/atomic"

	"github.com/svmgate/svmgate/store"
)

// What is what a notice says of a VM's agent.
type What uint8

// What notices say.
const (
	// Inactive: the agent was given the SVM that does not exist.
	Inactive What = iota + 1
	// NoSVM: no SVM passed the filters.
	NoSVM
	// Regained: it was given an SVM, and was told of to have none.
	Regained
	// UpdateFailed: it says that an update failed.
	UpdateFailed
	// Connected and Disconnected: it says whether it is connected to an SVM.
	Connected
	Disconnected

	whats = Disconnected + 1
)

var whatNames = [whats]string{Inactive: "inactive", NoSVM: "no_svm", Regained: "regained", UpdateFailed: "update_failed",
	Connected: "connected", Disconnected: "disconnected"}

func (w What) String() string {
	if w > 0 && w < whats {
		return whatNames[w]
	}
	return "invalid(" + strconv.Itoa(int(w)) + ")"
}

// A Notice is something that an answer or an agent says of a VM.
type Notice struct {
	VM   store.BIOSID
	What What
}

// FeedSize is how many notices a [Feed] holds: those of two seconds in which a million
// agents without an SVM ask every 30.
const FeedSize = 1 << 16

// A Feed takes notices from any number of goroutines for one that reads them. Its size
// is fixed: what there is no room for is dropped and counted. Create one with [NewFeed];
// a nil Feed takes everything, and nobody reads it.
//
// It is the bounded queue of Dmitry Vyukov: each cell has a number that says whose turn
// it is, so a writer claims a cell with one compare-and-swap and waits for nobody.
type Feed struct {
	cells []cell

	_       [64]byte // so that writers and the reader do not share a cache line
	next    atomic.Uint64
	dropped atomic.Uint64
	_       [64]byte
	first   uint64               // of the reader
	taken   [whats]atomic.Uint64 // by the reader
}

type cell struct {
	turn   atomic.Uint64 // i: free for the ith notice; i+1: has it
	notice Notice
}

// NewFeed returns an empty feed of [FeedSize].
func NewFeed() *Feed { return newFeed(FeedSize) }

// newFeed returns a feed for so many notices, a power of two.
func newFeed(size int) *Feed {
	f := &Feed{cells: make([]cell, size)}
	for i := range f.cells {
		f.cells[i].turn.Store(uint64(i))
	}
	return f
}

// Note puts a notice in, and reports whether there was room. It takes no lock, reads no
// clock and does not allocate.
func (f *Feed) Note(vm store.BIOSID, what What) bool {
	if f == nil {
		return true
	}
	for i := f.next.Load(); ; {
		c := &f.cells[i&uint64(len(f.cells)-1)]
		switch turn := c.turn.Load(); {
		case turn == i:
			if !f.next.CompareAndSwap(i, i+1) {
				i = f.next.Load()
				continue
			}
			c.notice = Notice{vm, what}
			c.turn.Store(i + 1)
			return true
		case turn < i: // it has a notice of the round before
			f.dropped.Add(1)
			return false
		}
		i = f.next.Load()
	}
}

// Take takes notices out, at most as many as list has room for, and returns list with
// them at its end. One goroutine may call it at a time.
func (f *Feed) Take(list []Notice) []Notice {
	for len(list) < cap(list) {
		c := &f.cells[f.first&uint64(len(f.cells)-1)]
		if c.turn.Load() != f.first+1 {
			break
		}
		list = append(list, c.notice)
		f.taken[c.notice.What].Add(1)
		c.turn.Store(f.first + uint64(len(f.cells)))
		f.first++
	}
	return list
}
