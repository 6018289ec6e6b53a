package cluster

import "sync"

// Messages that carry much are made in buffers that are used again: a million records
// would leave hundreds of megabytes, and those must be collected while others wait.
const (
	bufferSize = maxChunk + 4<<10
	smallest   = bufferSize / 8 // less is made anew
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// buffer returns an empty buffer with room for n bytes.
func buffer(n int) []byte {
	if n < smallest || n > bufferSize {
		return make([]byte, 0, n)
	}
	return buffers.Get().(*[bufferSize]byte)[:0]
}

// reuse takes a buffer that nobody uses any more, wherever it is from.
func reuse(buf []byte) {
	if cap(buf) == bufferSize {
		buffers.Put((*[bufferSize]byte)(buf[:bufferSize]))
	}
}
