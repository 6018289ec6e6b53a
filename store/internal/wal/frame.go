package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

const (
	// FrameHeader is the length in bytes of what stands in front of a payload.
	FrameHeader = 12

	// MaxFrame is the length in bytes of the longest payload.
	MaxFrame = 1 << 30
)

// ErrTorn reports a file whose rest may be a frame that a crash cut before it was
// acknowledged.
var ErrTorn = errors.New("the last frame is cut")

// A DamageError reports a frame that can not be what was written.
type DamageError struct {
	Offset int64  // of the frame, in bytes from the start of the file
	Reason string // what is wrong with it, such as "fails its checksum"
}

// Error implements error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("the frame at byte %d %s", e.Offset, e.Reason)
}

const (
	badHead    = "fails the checksum of its header"
	badPayload = "fails its checksum"
	badLength  = "is longer than frames are"
	badEnd     = "is cut by the end of the file"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendFrame appends the frame of payload, which has at most [MaxFrame] bytes.
func AppendFrame(dst, payload []byte) []byte {
	head := FrameHead(payload)
	dst = append(dst, head[:]...)
	return append(dst, payload...)
}

// FrameHead returns what stands in front of payload in its frame.
func FrameHead(payload []byte) (head [FrameHeader]byte) {
	return FrameHeadOf(len(payload), crc32.Checksum(payload, castagnoli))
}

// FrameHeadOf is [FrameHead] for a payload of which the caller knows the length and the
// CRC-32C.
func FrameHeadOf(length int, sum uint32) (head [FrameHeader]byte) {
	binary.LittleEndian.PutUint32(head[:], uint32(length))
	binary.LittleEndian.PutUint32(head[4:], sum)
	binary.LittleEndian.PutUint32(head[8:], crc32.Checksum(head[:8], castagnoli))
	return head
}

// parseHead returns the length of a payload and its checksum. It is not ok if
// they fail theirs.
func parseHead(head []byte) (length int64, sum uint32, ok bool) {
	ok = crc32.Checksum(head[:8], castagnoli) == binary.LittleEndian.Uint32(head[8:])
	return int64(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint32(head[4:]), ok
}

// ReadFrameAt reads the frame at offset. It returns its payload, in the memory
// of payload if that is large enough. A frame that is not whole is a
// [*DamageError]. It may be called by many goroutines, if r allows that.
func ReadFrameAt(r io.ReaderAt, offset int64, payload []byte) ([]byte, error) {
	payload = slices.Grow(payload[:0], FrameHeader)
	head := payload[:FrameHeader] // an array would be allocated: r is an interface
	if err := readAt(r, head, offset); err != nil {
		return nil, endsWithin(err, offset)
	}
	length, sum, ok := parseHead(head)
	switch {
	case !ok:
		return nil, &DamageError{offset, badHead}
	case length > MaxFrame:
		return nil, &DamageError{offset, badLength}
	}
	// In steps, so that a length that lies takes no more than twice what is there.
	for have := int64(0); have < length; have = int64(len(payload)) {
		step := min(length-have, max(have, windowSize))
		payload = slices.Grow(payload, int(step))[:have+step]
		if err := readAt(r, payload[have:], offset+FrameHeader+have); err != nil {
			return nil, endsWithin(err, offset)
		}
	}
	if crc32.Checksum(payload, castagnoli) != sum {
		return nil, &DamageError{offset, badPayload}
	}
	return payload, nil
}

func endsWithin(err error, offset int64) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamageError{offset, badEnd}
	}
	return err
}

// readAt fills p. io.ErrUnexpectedEOF means that r ends before.
func readAt(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read at byte %d: %w", offset, err)
}
