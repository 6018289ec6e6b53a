package wal

import "io"

// ReadDamagedFrameAt reads the payload of a frame that fails its checksum, for
// whoever can tell what of it is whole. It is not ok if not even the length of
// the frame can be relied on, or if the file, of size bytes, ends before.
func ReadDamagedFrameAt(r io.ReaderAt, size, offset int64) (payload []byte, ok bool) {
	head := make([]byte, FrameHeader)
	if offset > size-FrameHeader || readAt(r, head, offset) != nil {
		return nil, false
	}
	length, _, ok := parseHead(head)
	if !ok || length > size-FrameHeader-offset {
		return nil, false
	}
	payload = make([]byte, length)
	return payload, readAt(r, payload, offset+FrameHeader) == nil
}

// SegmentName returns the name of the file of a segment.
func SegmentName(number uint64) string { return segmentName(number) }

// SegmentNumber is the way back from [SegmentName].
func SegmentNumber(name string) (number uint64, ok bool) { return segmentNumber(name) }

// Written returns how much stands between two offsets of a file, less the zeros
// at its end.
func Written(r io.ReaderAt, from, to int64) (int64, error) { return written(r, from, to) }
