package daemon

import (
	"math"
	"testing"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
)

func TestConnectionsLeaveFilesForTheRest(t *testing.T) {
	c := &config.Config{MaxConnections: 65536, AdminMaxConnections: 256}
	for files, want := range map[uint64]int{
		math.MaxUint64: 65536, 1 << 20: 65536, 20000: 20000 - 512, 1024: 512, 256: 256,
	} {
		if got := agentConnections(c, files); got != want {
			t.Errorf("with %d files: %d connections, want %d", files, got, want)
		}
	}
}
