package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	// windowSize is how much Frames reads at once, in bytes.
	windowSize = 1 << 20

	// sector is the part of a file that a crash leaves whole: as it was, or as it
	// was written. Disks promise 512 bytes.
	sector = 512
)

// Frames reads the frames of a file one after the other. It is for one goroutine.
type Frames struct {
	r      io.ReaderAt
	size   int64
	at     int64 // of the frame that comes next
	behind int64 // where Resync begins to look
	err    error // sticks until Resync finds a frame

	// window is what was read from the file, from start on. It is longer than
	// windowSize only for a frame that is.
	window []byte
	start  int64
}

// ReadFrames reads what stands in the first size bytes of r, from offset on.
func ReadFrames(r io.ReaderAt, size, offset int64) *Frames {
	return &Frames{r: r, size: size, at: offset, start: offset}
}

// Next returns the next frame: where it begins, and its payload, which is valid
// until the next call of any method.
//
// The error is io.EOF behind the last frame. It is [ErrTorn] if the rest may be a
// frame that was being written when the machine stopped: the file ends within it,
// or only zeros follow, or the sector of its header was not written yet and no
// other frame follows. It is a [*DamageError] if the frame is not what was
// written. Other errors are those of the reader. After an error the offset is
// where the frame should be, and all later calls return the same.
func (f *Frames) Next() (offset int64, payload []byte, err error) {
	if f.err == nil {
		payload, f.err = f.next()
	}
	if f.err != nil {
		return f.at, nil, f.err
	}
	offset = f.at
	f.at += FrameHeader + int64(len(payload))
	return offset, payload, nil
}

func (f *Frames) next() ([]byte, error) {
	left := f.size - f.at
	f.behind = f.at + 1
	if left == 0 {
		return nil, io.EOF
	}
	if left < FrameHeader {
		return nil, ErrTorn
	}
	head, err := f.bytes(f.at, FrameHeader)
	if err != nil {
		return nil, err
	}
	length, sum, ok := parseHead(head)
	switch {
	case !ok:
		return nil, f.judgeHead(head)
	case length > MaxFrame:
		return nil, &DamageError{f.at, badLength}
	case length > left-FrameHeader:
		return nil, ErrTorn
	}
	frame, err := f.bytes(f.at, FrameHeader+length)
	if err != nil {
		return nil, err
	}
	if payload := frame[FrameHeader:]; crc32.Checksum(payload, castagnoli) == sum {
		return payload, nil
	}
	f.behind = f.at + FrameHeader + length
	zeros, err := f.onlyZeros(f.behind)
	return nil, torn(zeros, badPayload, f.at, err)
}

// judgeHead says what a header means that fails its checksum. It was cut if only
// zeros follow: room that the write took but never filled. It was also cut if its
// sector was not written, while later ones were; then no frame follows, because a
// frame is only written when the one before it is on disk.
func (f *Frames) judgeHead(head []byte) error {
	unwritten := hasBlankSector(head, f.at)
	cut, err := f.onlyZeros(f.at + FrameHeader)
	if err == nil && !cut && unwritten {
		_, cut, err = f.seek(f.at + 1)
		cut = !cut
	}
	return torn(cut, badHead, f.at, err)
}

func torn(cut bool, reason string, offset int64, err error) error {
	switch {
	case err != nil:
		return err
	case cut:
		return ErrTorn
	}
	return &DamageError{offset, reason}
}

// hasBlankSector reports whether all that a sector has of a header is zero.
func hasBlankSector(head []byte, offset int64) bool {
	first := min(sector-offset%sector, FrameHeader)
	return isZero(head[:first]) || first < FrameHeader && isZero(head[first:])
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (f *Frames) onlyZeros(from int64) (bool, error) {
	for from < f.size {
		b, err := f.bytes(from, min(4096, f.size-from))
		if err != nil || !isZero(b) {
			return false, err
		}
		from += int64(len(b))
	}
	return true, nil
}

// Resync looks for the next whole frame after Next has returned an error, so that
// the damage can be measured: it returns where the damage begins and where it
// ends, and Next goes on there. If there is no frame, to is the end of the file.
//
// Payloads are not trusted: bytes within a damaged frame may look like a frame.
// What is found is good for a report, not for being loaded. It reads the file
// once, whatever is in it.
func (f *Frames) Resync() (from, to int64, found bool) {
	from = f.at
	if f.err == nil || errors.Is(f.err, io.EOF) {
		return from, from, f.err == nil
	}
	to, found, err := f.seek(f.behind)
	if err != nil {
		f.err = err
	}
	if !found {
		return from, f.size, false
	}
	f.at, f.err = to, nil
	return from, to, true
}

// seek returns the offset of the first whole frame at or behind from.
func (f *Frames) seek(from int64) (offset int64, found bool, err error) {
	for f.size-from >= FrameHeader {
		b, err := f.bytes(from, min(windowSize, f.size-from))
		if err != nil {
			return 0, false, err
		}
		i := findHead(b, f.size-from)
		from += int64(i)
		if i+FrameHeader > len(b) {
			continue
		}
		length, sum, _ := parseHead(b[i:])
		got, err := f.checksum(from+FrameHeader, length)
		if err != nil {
			return 0, false, err
		}
		if got == sum {
			return from, true, nil
		}
		from += FrameHeader + length
	}
	return 0, false, nil
}

// findHead returns the index of the first header in b that is right and whose
// frame is within the left bytes from the start of b. Without one it is the first
// index at which b has too little for a header.
func findHead(b []byte, left int64) int {
	i := 0
	for ; i+FrameHeader <= len(b); i++ {
		length := int64(binary.LittleEndian.Uint32(b[i:]))
		if length > min(MaxFrame, left-int64(i)-FrameHeader) { // cheaper than the checksum
			continue
		}
		if _, _, ok := parseHead(b[i : i+FrameHeader]); ok {
			break
		}
	}
	return i
}

func (f *Frames) checksum(from, length int64) (sum uint32, err error) {
	for length > 0 {
		b, err := f.bytes(from, min(windowSize, length))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		from, length = from+int64(len(b)), length-int64(len(b))
	}
	return sum, nil
}

// bytes returns n bytes of the file, which has them. They are valid until the
// next call.
func (f *Frames) bytes(from, n int64) ([]byte, error) {
	if from < f.start || from+n > f.start+int64(len(f.window)) {
		if err := f.move(from, n); err != nil {
			return nil, err
		}
	}
	i := from - f.start
	return f.window[i : i+n : i+n], nil
}

// move makes the window begin at from and hold at least n bytes.
func (f *Frames) move(from, n int64) error {
	var kept []byte
	if end := f.start + int64(len(f.window)); from >= f.start && from < end {
		kept = f.window[from-f.start:]
	}
	size := min(f.size-from, max(n, windowSize))
	window := f.window
	if int64(cap(window)) < size {
		window = make([]byte, size)
	}
	window = window[:size]
	have := copy(window, kept)
	f.window, f.start = window[:0], from
	if err := readAt(f.r, window[have:], from+int64(have)); err != nil {
		return err
	}
	f.window = window
	return nil
}
