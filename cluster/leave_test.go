package cluster_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster/clustertest"
)

// lateCtx has ended whenever somebody looks, but for the first time.
type lateCtx struct {
	context.Context
	looks atomic.Int64
}

func (c *lateCtx) Err() error {
	if c.looks.Add(1) == 1 {
		return nil
	}
	return context.Canceled
}

func (*lateCtx) Done() <-chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}

// TestTimeIsUpWhileANodeLeaves: memberlist panics when it is told to leave after it was
// shut down.
func TestTimeIsUpWhileANodeLeaves(t *testing.T) {
	for range 500 { // one in a few hundred did
		bubble(t, func(t *testing.T, n *clustertest.Network) {
			all := startOn(t, n, 2, nil)
			await(t, "all see all", 10*time.Second, met(all))
			_ = all[1].Stop(&lateCtx{Context: t.Context()}) // whether it was quicker than the time does not matter
		})
	}
}
