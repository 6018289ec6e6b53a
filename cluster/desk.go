package cluster

import (
	"sync/atomic"
	"time"
)

// A desk is where questions of peers wait for somebody who answers them.
type desk struct {
	queue   chan waiting
	bytes   atomic.Int64 // in the queue
	room    int64        // for those
	refused atomic.Uint64
	serve   func(waiting)
}

type waiting struct {
	message
	since time.Time
}

func (d *desk) init(questions int, room int64, serve func(waiting)) {
	d.queue, d.room, d.serve = make(chan waiting, questions), room, serve
}

// put lets a question wait, if there is room.
func (d *desk) put(m message) bool {
	if d.bytes.Add(int64(len(m.body))) <= d.room {
		select {
		case d.queue <- waiting{m, time.Now()}:
			return true
		default:
		}
	}
	d.bytes.Add(-int64(len(m.body)))
	return false
}

// take has a question answered that has waited.
func (d *desk) take(w waiting) {
	d.bytes.Add(-int64(len(w.body)))
	d.serve(w)
}
