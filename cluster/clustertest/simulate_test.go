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
	seed     = flag.Uint64("cluster.seed", 1, "the first seed that TestSeeds tries")
	seeds    = flag.Uint64("cluster.seeds", 200, "how many seeds it tries; 20 with -short")
	lasts    = flag.Duration("cluster.lasts", 30*time.Second, "how long there are faults in TestSeeds, in virtual time")
	restarts = flag.Int("cluster.restarts", 1, "how many seeds TestMassRestart tries")
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
	if testing.Short() {
		*seeds = min(*seeds, 20)
	}
	for s := *seed; s < *seed+*seeds; s++ {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("once more: go test ./cluster/clustertest -run TestSeeds -cluster.seed %d -cluster.seeds 1 -cluster.lasts %v -count 20 -failfast", s, *lasts)
				}
			})
			clustertest.Simulate(t, s, clustertest.Simulation[*cluster.Map]{Options: maps(), Lasts: *lasts, Change: clustertest.ChangeMap})
		})
	}
}
