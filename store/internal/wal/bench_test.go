package wal

import (
	"bytes"
	"fmt"
	"testing"
)

// Appends on the file system of the temporary directory, with room made for them
// and without.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10} {
		for _, room := range []bool{true, false} {
			b.Run(fmt.Sprintf("frame=%d/room=%v", size, room), func(b *testing.B) {
				opt := Options{step: roomStep}
				if !room {
					opt.step = 1
				}
				l, err := Open(b.TempDir(), opt)
				if err == nil {
					err = l.Replay(0, nil)
				}
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				frame := bytes.Repeat([]byte("x"), size)
				b.ReportAllocs()
				for b.Loop() {
					if err := l.AppendInPlace(frame); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// Reading from memory: the checksum, and what stands around it.
func BenchmarkFrames(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("frame=%d", size), func(b *testing.B) {
			frame := AppendFrame(nil, bytes.Repeat([]byte("x"), size))
			file := bytes.NewReader(bytes.Repeat(frame, 64<<20/len(frame)))
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			f := ReadFrames(file, file.Size(), 0)
			for b.Loop() {
				if _, _, err := f.Next(); err != nil {
					f = ReadFrames(file, file.Size(), 0)
				}
			}
		})
	}
}
