package discovery_test

import (
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// This file is the oracle's own rendezvous order: the definitions of law.go,
// computed again with numbers of any size.

// weight is an SVM's capacity, or what stands for one that is not given.
func (s *svm) weight() int64 {
	if s.config.Capacity == 0 {
		return 1000
	}
	return int64(s.config.Capacity)
}

var (
	one     = big.NewInt(1)
	two64   = new(big.Int).Lsh(one, 64)
	unit    = new(big.Int).Lsh(one, 58) // 1 in the units of negLog2
	allOnes = new(big.Int).Sub(two64, one)
)

// costOf is floor(negLog2(x) * floor((2^64-1)/weight) / 2^64), where x mixes
// the hashes of agent and SVM.
func costOf(agent store.BIOSID, s *svm) *big.Int {
	x := mixed(xxhash.Sum64(agent[:]) ^ xxhash.Sum64(s.id[:]))
	inverse := new(big.Int).Quo(allOnes, big.NewInt(s.weight()))
	product := new(big.Int).Mul(negLog2(x), inverse)
	return product.Quo(product, two64)
}

// negLog2 is -log2(x / 2^64), interpolated between the powers of two and 256
// steps of each, but at least 1.4375 * (1 - x/2^64). x < 2 counts as 2.
func negLog2(u uint64) *big.Int {
	x := new(big.Int).SetUint64(max(u, 2))
	zeros := 64 - x.BitLen()
	m := new(big.Int).Lsh(x, uint(zeros)) // 2^63 <= m < 2^64
	step := new(big.Int).Rsh(m, 55).Int64() - 256
	rest := new(big.Int).Mod(m, new(big.Int).Lsh(one, 55))

	fall := new(big.Int).Sub(logSteps[step], logSteps[step+1])
	fall.Mul(fall, rest).Rsh(fall, 55)
	result := new(big.Int).Mul(big.NewInt(int64(zeros)), unit)
	result.Add(result, logSteps[step]).Sub(result, fall)

	least := new(big.Int)
	for _, shift := range []uint{6, 8, 9, 10} { // 1 + 1/4 + 1/8 + 1/16, and 2^64 is 2^6 units
		y := new(big.Int).Sub(allOnes, x)
		least.Add(least, y.Rsh(y, shift))
	}
	if result.Cmp(least) < 0 {
		return least
	}
	return result
}

// logSteps[i] is 1 - log2(1 + i/256) in units, each bit of the logarithm found
// by squaring: if z² reaches 2 the bit is one, and z² is halved. Numbers keep 63
// bits after the point.
var logSteps = func() (steps [257]*big.Int) {
	twice := new(big.Int).Lsh(one, 127) // 2 as a square, with 126 bits after the point
	for i := range int64(256) {
		z := new(big.Int).Lsh(big.NewInt(256+i), 55)
		log := new(big.Int)
		for range 58 {
			log.Lsh(log, 1)
			if z.Mul(z, z); z.Cmp(twice) >= 0 {
				log.Add(log, one)
				z.Rsh(z, 1)
			}
			z.Rsh(z, 63)
		}
		steps[i] = new(big.Int).Sub(unit, log)
	}
	steps[256] = new(big.Int)
	return steps
}()

// mixed is the finalizer of SplitMix64.
func mixed(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	x ^= x >> 31
	return x
}

const (
	circle = 1 << 18            // slots
	stride = 0x9e3779b97f4a7c15 // between the numbers that are mixed to slots
	salt   = 0xd1b54a32d192ed03 // between an agent's probes and its costs
	whole  = 64                 // slots of an SVM as large as the scale
)

// scale is the smallest power of two that is not under any SVM's weight.
func (w *world) scale() int64 {
	scale := int64(1)
	for _, s := range w.svms {
		for scale < s.weight() {
			scale *= 2
		}
	}
	return scale
}

// slotCount is how many slots an SVM owns: in proportion to its weight, rounded
// to the nearest with halves up, but at least one.
func slotCount(weight, scale int64) uint64 {
	return uint64(max(1, (2*whole*weight/scale+1)/2))
}

// slots returns the slots of the circle that s owns.
func slots(s *svm, scale int64) []uint64 {
	var slots []uint64
	for j := range slotCount(s.weight(), scale) {
		slots = append(slots, slotOf(xxhash.Sum64(s.id[:]), j))
	}
	return slots
}

// slotOf is the slot that the j-th number of a series falls on.
func slotOf(start, j uint64) uint64 {
	return mixed(start+(j+1)*stride) / (1 << 64 / circle)
}

// probesOf returns for each slot that the agent probes when it does so first.
func probesOf(agent store.BIOSID) map[uint64]int {
	first := map[uint64]int{}
	for i := range discovery.MaxProbes {
		slot := slotOf(xxhash.Sum64(agent[:])^salt, uint64(i))
		if _, ok := first[slot]; !ok {
			first[slot] = i
		}
	}
	return first
}

// firstProbe is the first of the agent's probes that meets one of the slots.
func firstProbe(probes map[uint64]int, slots []uint64) int {
	first := discovery.MaxProbes
	for _, slot := range slots {
		if i, ok := probes[slot]; ok {
			first = min(first, i)
		}
	}
	return first
}

// edges are numbers at which arithmetic is apt to go wrong, and random ones.
func edges(n int) []uint64 {
	xs := []uint64{0, 1, 2, 3, math.MaxUint64, math.MaxUint64 - 1}
	for shift := range 64 {
		xs = append(xs, 1<<shift, 1<<shift-1, 1<<shift+1)
	}
	for i := range uint64(257) {
		xs = append(xs, (256+i)<<55, (256+i)<<55-1)
	}
	r := rand.New(rand.NewPCG(3, 5))
	for range n {
		xs = append(xs, r.Uint64(), r.Uint64()>>r.IntN(64))
	}
	return xs
}

// The package's logarithm is the oracle's to the last bit, and the true one but
// for what its interpolation leaves.
func TestNegLog2(t *testing.T) {
	for _, x := range edges(20_000) {
		got := discovery.NegLog2(x)
		if want := negLog2(x); want.Cmp(new(big.Int).SetUint64(got)) != 0 {
			t.Errorf("negLog2(%#x) = %d, want %v", x, got, want)
		}
		// log2 of u near 1 needs more digits than x/2^64 has as a float64.
		truth := 64 - math.Log2(float64(max(x, 2)))
		if rest := float64(-x) / (1 << 64); x != 0 && rest < 0.5 {
			truth = -math.Log1p(-rest) / math.Ln2
		}
		if told := math.Ldexp(float64(got), -58); math.Abs(told-truth) > 3e-6 {
			t.Errorf("negLog2(%#x) = %v units, want %v ± 3e-6", x, told, truth)
		}
	}
}

// The package's costs, slots and probes are the oracle's.
func TestLawAtItsEdges(t *testing.T) {
	weights := []int{1, 2, 3, 63, 64, 65, 127, 250, 1000, 1023, 1024, 1025, 4000, 1 << 20, 1_000_000}
	xs := edges(500)
	for i, x := range xs {
		weight := weights[i%len(weights)]
		inverse := discovery.Inverse(weight)
		hi, _ := bits.Mul64(discovery.NegLog2(mixed(x)), math.MaxUint64/uint64(weight))
		if got := discovery.Cost(x, 0, inverse); got != hi {
			t.Errorf("cost(%#x, 0, weight %d) = %d, want %d", x, weight, got, hi)
		}
		if a, b := discovery.Cost(x, xs[0], inverse), discovery.Cost(xs[0], x, inverse); a != b {
			t.Errorf("cost of %#x depends on the side: %d, %d", x, a, b)
		}
		for _, j := range []int{0, 1, 63, discovery.MaxProbes - 1} {
			if got, want := discovery.Probe(x, j), slotOf(x^salt, uint64(j)); uint64(got) != want {
				t.Errorf("probe(%#x, %d) = %d, want %d", x, j, got, want)
			}
			if got, want := discovery.Slot(x, j), slotOf(x, uint64(j)); uint64(got) != want {
				t.Errorf("slot(%#x, %d) = %d, want %d", x, j, got, want)
			}
		}
	}
	for _, greatest := range weights {
		w := newWorld(rules{})
		w.svms[store.SVMID{1}] = &svm{config: store.SVMConfig{Capacity: greatest}}
		scale := discovery.ScaleFor(greatest)
		if int64(scale) != w.scale() {
			t.Errorf("scaleFor(%d) = %d, want %d", greatest, scale, w.scale())
		}
		for _, weight := range weights {
			if weight > greatest {
				continue
			}
			if got, want := discovery.SlotCount(weight, scale), slotCount(int64(weight), int64(scale)); uint64(got) != want {
				t.Errorf("slotCount(%d, %d) = %d, want %d", weight, scale, got, want)
			}
		}
	}
}
