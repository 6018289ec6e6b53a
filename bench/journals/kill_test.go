package journals

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/svmgate/svmgate/bench"
	"github.com/svmgate/svmgate/store"
)

// killWorld is where the VMs of TestKill live; VM i is registered by whoever
// draws i.
var killWorld = bench.World{Seed: 3, Tenants: 10, SVMs: 100}

// TestKill kills a process under 64 writers, ten times in the same directory: no
// acknowledged VM may be missing, and no VM there by half, registered but placed
// nowhere.
func TestKill(t *testing.T) {
	cycles := 10
	if testing.Short() {
		cycles = 2
	}
	for _, e := range underTest {
		t.Run(e.Name, func(t *testing.T) {
			dir := t.TempDir()
			acknowledged := map[int]bool{}
			from, lost, halves, unasked := 0, 0, 0, 0
			for cycle := range cycles {
				from = killWriters(t, e, dir, from, time.Duration(60+40*cycle)*time.Millisecond, acknowledged)
				table := openTable(t, e, dir)
				for i := range from {
					vm, ok := table.VM(killWorld.BIOS(i))
					switch {
					case ok && vm.Path.Host == "":
						halves++
					case !ok && acknowledged[i]:
						lost++
					case ok && !acknowledged[i]:
						unasked++
					}
				}
				if err := table.Close(); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%s: %d cycles, %d acknowledged, %d lost, %d by half, %d sightings of writes that were on disk and not yet acknowledged",
				e.Name, cycles, len(acknowledged), lost, halves, unasked)
			if e.Name == Engines[0].Name && lost+halves > 0 {
				t.Errorf("%d acknowledged VMs lost, %d by half; want none", lost, halves)
			}
		})
	}
}

func openTable(tb testing.TB, e Engine, dir string) *store.Table {
	tb.Helper()
	j, err := e.Open(dir, 0)
	if err != nil {
		tb.Fatal(err)
	}
	table, err := store.Open(store.Config{Journal: j})
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

// killWriters starts a process that registers VMs with numbers of at least from,
// kills it after a while, notes what it acknowledged and returns where to go on.
func killWriters(t *testing.T, e Engine, dir string, from int, after time.Duration, acknowledged map[int]bool) (next int) {
	t.Helper()
	cmd := childCommand(t, "write", e.Name, dir, strconv.Itoa(from))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next = from
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if kill == nil { // it writes
			kill = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		i, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		acknowledged[i] = true
		next = max(next, i+1)
	}
	_ = cmd.Wait()
	if kill == nil {
		t.Fatalf("nothing was acknowledged: %s", cmd.Stderr)
	}
	if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it ended by itself: %s: %s", cmd.ProcessState, cmd.Stderr)
	}
	return next + writers64 // those that were under way
}

const writers64 = 64

// writeChild registers VMs from 64 goroutines until it is killed, and prints the
// number of each that was acknowledged; args are the engine, its directory and
// the first number.
func writeChild(args []string) error {
	e, err := engine(args[0])
	if err != nil {
		return err
	}
	from, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	j, err := e.Open(args[1], 0)
	if err != nil {
		return err
	}
	table, err := store.Open(store.Config{Journal: j})
	if err != nil {
		return err
	}
	if err := killWorld.Load(table); err != nil {
		return err
	}
	var next atomic.Int64
	next.Store(int64(from))
	failed := make(chan error)
	for range writers64 {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				err := table.Update(func(tx *store.Tx) error { return tx.RegisterVM(killWorld.VM(i)) })
				if err == nil {
					_, err = fmt.Fprintf(os.Stdout, "%d\n", i) // one write, never torn
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}
