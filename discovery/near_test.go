package discovery_test

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// SVMs whose hashes with an agent are near each other may have one cost, and then
// their ids decide. Random ids never come near. These are made to: among the first,
// among the last, and around the hash that about eight of a class reach, while the
// rest do not.
func TestHashesThatAreNear(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for n, agent := range randomBIOSIDs(600) {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		size := []int{2, 3, 4, 8, 15, 16, 17, 40, 63, 64}[r.IntN(10)]
		capacity := []int{0, 1, 1_000_000}[r.IntN(3)]
		reached := -(^uint64(0) / uint64(size) * 8)
		center := []uint64{^uint64(0) - 1<<50, reached, reached, r.Uint64()}[r.IntN(4)]
		spread := uint64(1) << r.IntN(45)
		var cs []change
		for i := range size {
			s := plainSVM(i, capacity)
			hash := r.Uint64N(center)
			if i < 6 {
				hash = center - spread/2 + r.Uint64N(spread)
			}
			s.id = idWithHash(r.Uint64(), xxhash.Sum64(agent[:])^unmix(hash))
			s.written = []store.SVMState{store.Ready, store.Ready, store.Ready, store.Down}[r.IntN(4)]
			cs = append(cs, putSVM(s))
		}
		st := newStage(t, serving, cs...)
		for _, limit := range []int{1, 2, 3, 4, discovery.MaxLimit} {
			if why := st.ask(ask{q: discovery.Query{BIOS: agent, Limit: limit}}); why != "" {
				t.Fatalf("seed %d, case %d: %d SVMs, %d usable, near %#x by %#x, limit %d: %s",
					seed, n, size, usable(st.world), center, spread, limit, why)
			}
		}
	}
}

func usable(w *world) (n int) {
	for _, s := range w.svms {
		if w.state(s) == store.Ready {
			n++
		}
	}
	return n
}

func TestIDWithHash(t *testing.T) {
	for n := range uint64(100) {
		r := rand.New(rand.NewPCG(1, n))
		want := r.Uint64()
		if id := idWithHash(r.Uint64(), want); xxhash.Sum64(id[:]) != want {
			t.Fatalf("the hash of %v is %#x, want %#x", id, xxhash.Sum64(id[:]), want)
		}
		if got := mixed(unmix(want)); got != want {
			t.Fatalf("mixed(unmix(%#x)) = %#x", want, got)
		}
	}
}

// unmix is the inverse of mixed.
func unmix(x uint64) uint64 {
	x = unshift(x, 31) * inverseOf(0x94d049bb133111eb)
	x = unshift(x, 27) * inverseOf(0xbf58476d1ce4e5b9)
	return unshift(x, 30)
}

// unshift is the inverse of x ^ x>>n.
func unshift(x uint64, n int) uint64 {
	y := x
	for range 64 / n {
		y = x ^ y>>n
	}
	return y
}

// inverseOf returns the number that makes 1 of an odd number, modulo 2^64.
func inverseOf(odd uint64) uint64 {
	x := odd // right in three bits, and in twice as many after each step
	for range 5 {
		x *= 2 - odd*x
	}
	return x
}

// The primes of XXH64.
var primes = [...]uint64{
	0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63, 0x27d4eb2f165667c5,
}

// idWithHash returns the id that starts with the given number and whose XXH64 is
// hash: of 16 bytes each half is mixed in by steps that can be undone.
func idWithHash(start, hash uint64) (id store.SVMID) {
	lane := func(x uint64) uint64 { return bits.RotateLeft64(x*primes[1], 31) * primes[0] }
	h := unshift(hash, 32) * inverseOf(primes[2])
	h = unshift(h, 29) * inverseOf(primes[1])
	h = unshift(h, 33)
	after := bits.RotateLeft64(primes[4]+16^lane(start), 27)*primes[0] + primes[3]
	second := bits.RotateLeft64((h-primes[3])*inverseOf(primes[0]), -27) ^ after
	second = bits.RotateLeft64(second*inverseOf(primes[0]), -31) * inverseOf(primes[1])
	binary.LittleEndian.PutUint64(id[:8], start)
	binary.LittleEndian.PutUint64(id[8:], second)
	return id
}
