package discovery_test

import "iter"

// worlds yields the numbers of random worlds: n of them, and more, up to twenty times as
// many, until a test has met all that it is about. A test that may fail for want of luck
// tells nothing when it fails.
func worlds(n uint64, all func() bool) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := uint64(0); i < n || i < 20*n && !all(); i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// metAll returns a function that reports whether all of some things have been met.
func metAll[K comparable](met map[K]int, things ...K) func() bool {
	return func() bool {
		for _, thing := range things {
			if met[thing] == 0 {
				return false
			}
		}
		return true
	}
}
