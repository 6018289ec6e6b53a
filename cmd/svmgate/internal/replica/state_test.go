package replica

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

func TestStateLasts(t *testing.T) {
	dir := t.TempDir()
	if s, err := readState(dir); err != nil || !reflect.DeepEqual(s, cluster.State{}) {
		t.Errorf("of a new directory: %+v, %v", s, err)
	}
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	want := cluster.State{Exchanged: at, Peers: []cluster.Peer{{Name: "gw-2", Addr: "10.0.0.2:7273", Seen: at}}}
	for range 2 {
		check(t, saveState(dir, want))
	}
	if got, err := readState(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	info, err := os.Stat(filepath.Join(dir, stateName))
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

// A state that can not be read may be that of a gateway which was away for too
// long: it is no state of a new one.
func TestDamagedState(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, stateName), []byte(`{"exch`), 0o600))
	if _, err := readState(dir); err == nil || !strings.Contains(err.Error(), stateName) {
		t.Errorf("error %v, want one that names the file", err)
	}
}
