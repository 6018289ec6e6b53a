//go:build race

package cluster

import "testing"

// skipIfRace skips a test that counts allocations: under the race detector a
// sync.Pool throws away at random.
func skipIfRace(t *testing.T) {
	t.Helper()
	t.Skip("pools throw away at random under the race detector")
}
