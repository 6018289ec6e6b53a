//go:build !race

package cluster

import "testing"

func skipIfRace(*testing.T) {}
