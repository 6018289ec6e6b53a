package store

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
)

// Digits by the word are those of encoding/hex, both ways, and what it refuses is refused:
// every byte at every place.
func TestDigitsAreThoseOfHex(t *testing.T) {
	check := func(text []byte) {
		t.Helper()
		var got, want [4]byte
		word := binary.LittleEndian.Uint64(text)
		binary.LittleEndian.PutUint32(got[:], digits(word))
		_, err := hex.Decode(want[:], text)
		if (err != nil) != (notDigits(word) != 0) || err == nil && got != want {
			t.Fatalf("%q is %x, not digits %x; want %x, %v", text, got, notDigits(word), want, err)
		}
	}
	const all = "0123456789abcdefABCDEF"
	for range 1000 {
		text := make([]byte, 8)
		for i := range text {
			text[i] = all[rand.IntN(len(all))]
		}
		check(text)
		for i, was := range text {
			for b := range 256 {
				text[i] = byte(b)
				check(text)
			}
			text[i] = was
		}

		value := rand.Uint32()
		got, want := make([]byte, 8), hex.AppendEncode(nil, binary.LittleEndian.AppendUint32(nil, value))
		if putDigits(got, value); !slices.Equal(got, want) {
			t.Fatalf("%08x is written %q, want %q", value, got, want)
		}
	}
}

func BenchmarkParseID(b *testing.B) {
	texts := make([][]byte, 1024)
	for i := range texts {
		texts[i] = AppendID(nil, randomID[BIOSID]())
	}
	for i := 0; b.Loop(); i++ {
		if _, err := ParseBIOSID(texts[i%len(texts)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendID(b *testing.B) {
	ids := make([]BIOSID, 1024)
	for i := range ids {
		ids[i] = randomID[BIOSID]()
	}
	var buf []byte
	for i := 0; b.Loop(); i++ {
		buf = AppendID(buf[:0], ids[i%len(ids)])
	}
}
