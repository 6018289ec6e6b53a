package clustertest_test

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
)

var (
	seeds    = flag.Int("cluster.seeds", 200, "how many seeds TestSeeds tries")
	seed     = flag.Uint64("cluster.seed", 0, "the only seed that TestSeeds tries, if not 0")
	lasts    = flag.Duration("cluster.lasts", 30*time.Second, "how long there are faults in TestSeeds, in virtual time")
	restarts = flag.Int("cluster.restarts", 2, "how many seeds TestMassRestart tries")
	logs     = flag.Bool("cluster.log", false, "show what nodes log")
)

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400) // many small worlds: there is memory enough
	os.Exit(m.Run())
}

func maps() clustertest.Options[*cluster.Map] {
	o := clustertest.Options[*cluster.Map]{Table: clustertest.Maps}
	if *logs {
		o.Log = os.Stderr
	}
	return o
}

// TestSeeds tries random worlds: see [clustertest.Simulate].
func TestSeeds(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if testing.Short() {
		last = min(last, 20)
	}
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("once more: go test ./cluster/clustertest -run TestSeeds -cluster.seed %d -cluster.lasts %v -count 20 -failfast", s, *lasts)
				}
			})
			clustertest.Simulate(t, s, clustertest.Simulation[*cluster.Map]{Options: maps(), Lasts: *lasts, Change: clustertest.ChangeMap})
		})
	}
}
