package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// framed returns the frames of payloads behind some other bytes, and the offsets
// at which they begin and the last one ends.
func framed(front string, payloads ...string) (file []byte, at []int64) {
	file = []byte(front)
	for _, p := range payloads {
		at = append(at, int64(len(file)))
		file = AppendFrame(file, []byte(p))
	}
	return file, append(at, int64(len(file)))
}

func readAll(file []byte, offset int64) (payloads []string, at int64, err error) {
	f := ReadFrames(bytes.NewReader(file), int64(len(file)), offset)
	for {
		at, payload, err := f.Next()
		if err != nil {
			return payloads, at, err
		}
		payloads = append(payloads, string(payload))
	}
}

func TestFramesComeBack(t *testing.T) {
	noise, lengths := make([]byte, 4*windowSize), []int{0, 1, 11, 500, 4096, windowSize - FrameHeader, windowSize, 3 * windowSize}
	rand.NewChaCha8([32]byte{}).Read(noise)
	rapid.Check(t, func(t *rapid.T) {
		var payloads []string
		for i, n := range rapid.SliceOfN(rapid.SampledFrom(lengths), 0, 5).Draw(t, "lengths") {
			payloads = append(payloads, string(noise[i:i+n]))
		}
		front := rapid.SampledFrom([]string{"", "svmgate log 1\n"}).Draw(t, "front")
		file, at := framed(front, payloads...)
		got, end, err := readAll(file, int64(len(front)))
		if !errors.Is(err, io.EOF) || !slices.Equal(got, payloads) || end != at[len(payloads)] {
			t.Fatalf("%d frames up to byte %d, %v; want %d up to %d", len(got), end, err, len(payloads), at[len(payloads)])
		}
		var memory []byte
		for i, want := range payloads {
			if memory, err = ReadFrameAt(bytes.NewReader(file), at[i], memory); err != nil || string(memory) != want {
				t.Fatalf("frame %d alone: %d bytes, %v", i, len(memory), err)
			}
		}
	})
}

// A crash may leave any part of the last frame, and zeros for the rest.
func TestCutFrameIsTorn(t *testing.T) {
	front, payloads := strings.Repeat("-", 491), []string{"first", "second", strings.Repeat("third ", 300)}
	file, at := framed(front, payloads...)
	for cut := at[2]; cut < at[3]; cut += int64(stride()) {
		zeros := slices.Concat(file[:cut], make([]byte, at[3]-cut))
		for _, torn := range [][]byte{file[:cut], zeros, append(zeros, make([]byte, 5000)...)} {
			got, end, err := readAll(torn, int64(len(front)))
			want := ErrTorn
			if int64(len(torn)) == at[2] {
				want = io.EOF
			}
			if !errors.Is(err, want) || !slices.Equal(got, payloads[:2]) || end != at[2] {
				t.Fatalf("cut at byte %d, %d long: %q up to %d, %v", cut, len(torn), got, end, err)
			}
		}
	}
}

// A power failure may keep any of the sectors that the last frame spans, wherever
// its header lies in them.
func TestMissingSectorsOfTheLastFrameAreTorn(t *testing.T) {
	for front := sector - 60; front < sector; front += stride() {
		file, at := framed(strings.Repeat("-", front), "whole", strings.Repeat("last ", 400))
		first := int(at[1]) / sector
		for keep := range 1 << 4 {
			torn := slices.Clone(file)
			for i := range 4 {
				if keep&(1<<i) == 0 {
					clear(torn[max(int(at[1]), (first+i)*sector) : (first+i+1)*sector])
				}
			}
			got, _, err := readAll(torn, int64(front))
			if keep != 1<<4-1 && (!errors.Is(err, ErrTorn) || len(got) != 1) {
				t.Fatalf("frame at byte %d, sectors %04b: %d frames, %v", at[1], keep, len(got), err)
			}
		}
		// With another frame behind it, it was acknowledged.
		file = AppendFrame(file, []byte("later"))
		clear(file[at[1] : (first+1)*sector])
		if _, _, err := readAll(file, int64(front)); !isDamage(err, at[1]) {
			t.Fatalf("a hole at byte %d with a frame behind it: %v", at[1], err)
		}
	}
}

func isDamage(err error, offset int64) bool {
	var damage *DamageError
	return errors.As(err, &damage) && damage.Offset == offset
}

func TestFlippedBitIsDamage(t *testing.T) {
	payloads := []string{"first", strings.Repeat("second ", 100), "", "third"}
	file, at := framed("front", payloads...)
	for i := int(at[0]); i < len(file); i++ {
		frame := 0
		for int64(i) >= at[frame+1] {
			frame++
		}
		for bit := range 8 {
			damaged := slices.Clone(file)
			damaged[i] ^= 1 << bit
			got, end, err := readAll(damaged, at[0])
			if !slices.Equal(got, payloads[:frame]) || end != at[frame] {
				t.Fatalf("bit %d of byte %d: %q", bit, i, got)
			}
			if torn := frame == 3 && errors.Is(err, ErrTorn); !torn && !isDamage(err, at[frame]) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			if _, err := ReadFrameAt(bytes.NewReader(damaged), at[frame], nil); !isDamage(err, at[frame]) {
				t.Fatalf("bit %d of byte %d, the frame alone: %v", bit, i, err)
			}
		}
	}
}

func TestFrameBeyondTheLimitIsDamage(t *testing.T) {
	head := headOf(MaxFrame + 1)
	if _, _, err := readAll(head, 0); !isDamage(err, 0) {
		t.Errorf("Next: %v", err)
	}
	if _, err := ReadFrameAt(bytes.NewReader(head), 0, nil); !isDamage(err, 0) {
		t.Errorf("ReadFrameAt: %v", err)
	}
}

func TestResyncFindsTheNextWholeFrame(t *testing.T) {
	big := strings.Repeat("2", 2*windowSize+100)
	payloads := []string{"0", "1", big, "3", "", "5"}
	file, at := framed("front", payloads...)
	tests := []struct {
		name    string
		damage  func([]byte)
		gap     [2]int64
		left    []string // what is read in spite of it
		nothing bool
	}{
		{name: "a payload", damage: func(b []byte) { b[at[2]+100]++ }, gap: [2]int64{at[2], at[3]}, left: []string{"0", "1", "3", "", "5"}},
		{name: "a header", damage: func(b []byte) { b[at[2]]++ }, gap: [2]int64{at[2], at[3]}, left: []string{"0", "1", "3", "", "5"}},
		{name: "two in a row", damage: func(b []byte) { b[at[1]+12]++; b[at[2]]++ }, gap: [2]int64{at[1], at[3]}, left: []string{"0", "3", "", "5"}},
		{name: "two payloads", damage: func(b []byte) { b[at[1]+12]++; b[at[2]+99]++ }, gap: [2]int64{at[1], at[3]}, left: []string{"0", "3", "", "5"}},
		{name: "all that follows", damage: func(b []byte) {
			for i := at[3]; i < at[6]; i++ {
				b[i] = 0xaa
			}
		}, gap: [2]int64{at[3], at[6]}, left: []string{"0", "1", big}, nothing: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			damaged := slices.Clone(file)
			tt.damage(damaged)
			f := ReadFrames(bytes.NewReader(damaged), int64(len(damaged)), at[0])
			var left []string
			for {
				_, payload, err := f.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err == nil {
					left = append(left, string(payload))
					continue
				}
				from, to, found := f.Resync()
				if from != tt.gap[0] || to != tt.gap[1] || found == tt.nothing {
					t.Fatalf("Resync = %d, %d, %v; want %v", from, to, found, tt.gap)
				}
				if !found {
					break
				}
			}
			if !slices.Equal(left, tt.left) {
				t.Errorf("%d frames are left, want %d", len(left), len(tt.left))
			}
		})
	}
}

// headOf returns a header, right by its own checksum, of a payload that is not there.
func headOf(length int) []byte {
	head := binary.LittleEndian.AppendUint64(nil, uint64(length))
	return binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
}

func TestHeaderThatLiesTakesNoMemory(t *testing.T) {
	file := append(headOf(MaxFrame), "and little behind it"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ReadFrameAt(bytes.NewReader(file), 0, nil)
	_, _, torn := ReadFrames(bytes.NewReader(file), int64(len(file)), 0).Next()
	runtime.ReadMemStats(&after)
	if !isDamage(err, 0) || !errors.Is(torn, ErrTorn) {
		t.Errorf("ReadFrameAt: %v; Next: %v", err, torn)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 4*windowSize {
		t.Errorf("%d bytes are allocated for a file of %d", n, len(file))
	}
}

// counted is a file that knows how much of it was read.
type counted struct {
	bytes.Reader
	n int64
}

func (c *counted) ReadAt(p []byte, offset int64) (int, error) {
	n, err := c.Reader.ReadAt(p, offset)
	c.n += int64(n)
	return n, err
}

// Even in a file of nothing but headers that promise much.
func TestResyncReadsTheFileOnce(t *testing.T) {
	const size = 8 << 20
	file := make([]byte, 0, size)
	for len(file) < size-2*FrameHeader {
		file = append(file, headOf((size-len(file))/2)...)
		if len(file)%windowSize < 2*FrameHeader {
			file = append(file, "...."...)
		}
	}
	file[0]++
	r := &counted{Reader: *bytes.NewReader(file)}
	f := ReadFrames(r, int64(len(file)), 0)
	_, _, err := f.Next()
	if _, _, found := f.Resync(); found || !isDamage(err, 0) {
		t.Fatalf("found %v, %v", found, err)
	}
	if r.n > 3*size || cap(f.window) > 2*windowSize {
		t.Errorf("%d bytes read of %d, with %d in memory", r.n, size, cap(f.window))
	}
}

func TestReadingAllocatesNothingPerFrame(t *testing.T) {
	var payloads []string
	for i := range 4000 {
		payloads = append(payloads, strings.Repeat("x", i))
	}
	file, at := framed("", payloads...)
	f := ReadFrames(bytes.NewReader(file), int64(len(file)), 0)
	f.Next()
	if n := testing.AllocsPerRun(3000, func() { f.Next() }); n != 0 || f.err != nil {
		t.Errorf("Next allocates %v times, %v", n, f.err)
	}
	r, memory := bytes.NewReader(file), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { memory, _ = ReadFrameAt(r, at[3000], memory) }); n != 0 {
		t.Errorf("ReadFrameAt allocates %v times", n)
	}
}

// A disk that does not read is neither a torn file nor a damaged one.
func TestFailingDiskIsNotTakenForDamage(t *testing.T) {
	file, _ := framed("", "payload")
	broken := io.NewSectionReader(failing{}, 0, int64(len(file)))
	f := ReadFrames(broken, int64(len(file)), 0)
	for range 2 {
		if _, _, err := f.Next(); !errors.Is(err, errFailing) || errors.Is(err, ErrTorn) {
			t.Errorf("Next = %v", err)
		}
		f.Resync()
	}
	if _, err := ReadFrameAt(broken, 0, nil); !errors.Is(err, errFailing) {
		t.Errorf("ReadFrameAt = %v", err)
	}
	// Nor is one that is shorter than it was said to be.
	if _, _, err := ReadFrames(bytes.NewReader(file), int64(len(file))+100, 5).Next(); err == nil || errors.Is(err, ErrTorn) {
		t.Errorf("a file that shrank: %v", err)
	}
}

var errFailing = errors.New("the disk does not read")

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errFailing }

func TestHeaderLine(t *testing.T) {
	const header = "svmgate log 1\n"
	tests := []struct{ start, want string }{
		{header, ""},
		{header + "anything", ""},
		{"", ErrTorn.Error()},
		{header[:9], ErrTorn.Error()},
		{header[:9] + "\x00\x00\x00\x00\x00", ErrTorn.Error()},
		{header[:9] + "\x00\x00\x00\x00\x00\x00", "is not a log of this release: it starts with"},
		{"x", `is not a log of this release: it starts with "x", not with "svmgate log 1\n"`},
		{"svmgate log 2\n", `was written by a newer release: it starts with "svmgate log 2\n", not with "svmgate log 1\n"`},
		{"svmgate log 117\nframes", "was written by a newer release"},
		{"svmgate log 0\n", "is not a log of this release"},
		{"svmgate log one\n", "is not a log of this release"},
		{"svmgate snapshot 1\n", "is not a log of this release"},
	}
	for _, tt := range tests {
		err := CheckHeader(strings.NewReader(tt.start), int64(len(tt.start)), header)
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%q: %v, want %q", tt.start, err, tt.want)
		}
	}
}

// Whatever the bytes: no panic, no more memory than there are bytes, and what is
// returned is what stands there.
func FuzzFrames(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte, offset uint16) {
		file = file[:min(len(file), 1<<16)]
		at := min(int64(offset), int64(len(file)))
		frames := ReadFrames(bytes.NewReader(file), int64(len(file)), at)
		for resyncs := 0; ; {
			offset, payload, err := frames.Next()
			if cap(frames.window) > len(file) {
				t.Fatalf("%d bytes are held of %d", cap(frames.window), len(file))
			}
			if err == nil {
				if frame := AppendFrame(nil, payload); offset != at || !bytes.HasPrefix(file[offset:], frame) {
					t.Fatalf("at byte %d, where %d is next, %x does not stand", offset, at, frame)
				}
				alone, err := ReadFrameAt(bytes.NewReader(file), offset, nil)
				if err != nil || !bytes.Equal(alone, payload) {
					t.Fatalf("at byte %d alone: %x, %v", offset, alone, err)
				}
				at += FrameHeader + int64(len(payload))
				continue
			}
			if offset != at || errors.Is(err, io.EOF) != (at == int64(len(file))) {
				t.Fatalf("at byte %d of %d: %v at byte %d", at, len(file), err, offset)
			}
			from, to, found := frames.Resync()
			if !found {
				return
			}
			if resyncs++; from != at || to <= from || resyncs > len(file) {
				t.Fatalf("Resync from %d = %d, %d", at, from, to)
			}
			if errors.Is(err, ErrTorn) && isUnwritten(file[from:]) {
				t.Fatalf("at byte %d the file is said to be cut, yet there is a frame at %d", from, to)
			}
			at = to
		}
	})
}

// isUnwritten reports whether a file goes on with a header of zeros.
func isUnwritten(rest []byte) bool {
	return len(rest) >= FrameHeader && isZero(rest[:FrameHeader]) && !isZero(rest)
}
