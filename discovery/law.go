package discovery

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/store"
)

// This file is the arithmetic of the rendezvous order: what two gateways must
// compute alike to the last bit, now and in later releases.

const (
	// SmallClass is the number of SVMs up to which a class is ordered by cost
	// alone.
	SmallClass = 64

	// MaxProbes is the number of slots of the circle that are probed for an agent.
	MaxProbes = 1024

	circleBits  = 18              // the circle has 2^18 slots
	circleSlots = 1 << circleBits //
	fullSlots   = 64              // slots of an SVM whose weight equals the scale
)

const golden = 0x9e3779b97f4a7c15 // 2^64 / the golden ratio: steps that never repeat

// probeSalt keeps an agent's probes independent of its costs.
const probeSalt = 0xd1b54a32d192ed03

// These keep an agent's turns independent of its order and of each other: whether an
// SVM is open to it, and when it leaves one that drains, or that has too many.
const (
	openSalt    = 0x8ebc6af09c88c6e3
	leavingSalt = 0x589965cc75374cc3
	movingSalt  = 0x1d8e4e27c47d124f
)

// hashAgent and hashSVM turn ids into uniform numbers: XXH64 of the 16 bytes of
// the id, with seed 0.
func hashAgent(id store.BIOSID) uint64 { return xxhash.Sum64(id[:]) }

func hashSVM(id store.SVMID) uint64 { return xxhash.Sum64(id[:]) }

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit of
// x reaches every bit of the result.
func mix(x uint64) uint64 {
	x = premix(x)
	return x ^ x>>31
}

// premix is mix without its last step, which leaves the upper 31 bits alone.
func premix(x uint64) uint64 { return foldmix(fold(x)) }

// fold is the first step of premix, and foldmix what follows. As fold(a XOR b) is
// fold(a) XOR fold(b), SVMs' hashes can be folded long before an agent asks.
func fold(x uint64) uint64 { return x ^ x>>30 }

func foldmix(x uint64) uint64 {
	x *= 0xbf58476d1ce4e5b9
	return (x ^ x>>27) * 0x94d049bb133111eb
}

// cost is the agent's cost of an SVM, the hashes of both being given: less is
// better. With x = mix(agent XOR svm) it is
//
//	floor(negLog2(x) * floor((2^64-1)/weight) / 2^64)
func cost(agent, svm, inverse uint64) uint64 {
	hi, _ := bits.Mul64(negLog2(mix(agent^svm)), inverse)
	return hi
}

// inverse is what cost wants of an SVM's weight, which is at least 1.
func inverse(weight int) uint64 { return ^uint64(0) / uint64(weight) }

// costFloor is a bound that cost is never under, and which takes a third of the
// time: most SVMs of a class are dismissed by it.
func costFloor(x, inverse uint64) uint64 {
	hi, _ := bits.Mul64(logFloor(x), inverse)
	return hi
}

// logFloor is 1.4375 * (1-u) in the units of negLog2: -log2(u) >= (1-u)/ln 2.
func logFloor(x uint64) uint64 {
	y := ^x
	return y>>6 + y>>8 + y>>9 + y>>10
}

// negLog2 is -log2(u) for u = x/2^64, in units of 2^-58, by linear interpolation
// in a table of 257 values; x < 2 counts as 2. As -log2 is convex the result is
// never under the true value but for rounding, and it is never under logFloor.
func negLog2(x uint64) uint64 {
	v := max(x, 2) // -log2 of less does not fit 64 bits
	zeros := bits.LeadingZeros64(v)
	m := v << zeros // 2^63 <= m < 2^64
	i := m >> 55 & 0xff
	upper, lower := logTable[i], logTable[i+1]
	part, _ := bits.Mul64(upper-lower, m<<9)
	return max(uint64(zeros)<<58+upper-part, logFloor(x))
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// logTable[i] is 1 - log2(1 + i/256) in units of 2^-58, computed bit by bit with
// integers: squaring a number doubles its logarithm.
var logTable = func() (table [257]uint64) {
	for i := range table {
		table[i] = 1 << 58
		z := uint64(256+i) << 55 // 1.63 fixed point, 1 <= z <= 2
		if i == 256 {
			table[i] = 0
			continue
		}
		for bit := 57; bit >= 0; bit-- {
			hi, lo := bits.Mul64(z, z) // 2.126 fixed point
			if hi>>63 == 1 {           // the square is 2 or more: this bit of the logarithm is 1
				table[i] -= 1 << bit
				z = hi
			} else {
				z = hi<<1 | lo>>63
			}
		}
	}
	return table
}()

// probe is the slot that an agent probes as its i-th, counting from 0.
func probe(agent uint64, i int) int {
	return int(premix((agent^probeSalt)+uint64(i+1)*golden) >> (64 - circleBits))
}

// slot is the j-th slot that an SVM owns, counting from 0. SVMs may share slots.
func slot(svm uint64, j int) int {
	return int(mix(svm+uint64(j+1)*golden) >> (64 - circleBits))
}

// slotCount is how many slots an SVM owns: in proportion to its weight, rounded
// to the nearest, and at least 1. The scale is the smallest power of two that is
// not under any SVM's weight in the table.
func slotCount(weight, scale int) int {
	return max(1, (2*fullSlots*weight+scale)/(2*scale))
}

// scaleFor returns the scale for a greatest weight.
func scaleFor(weight int) int {
	if weight <= 1 {
		return 1
	}
	return 1 << bits.Len(uint(weight-1))
}
