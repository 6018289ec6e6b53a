package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store/internal/wal"
)

var kills = flag.Int("store.kills", 10, "how often TestAcknowledgedWritesSurviveKill9 kills a process")

// The writers of a process that is killed: each writes rows of its own, in changes
// of several records that belong together.
const (
	killedWriters = 64
	rowsOfWriter  = 20
)

// putRow makes the nth change of a writer: a tenant and two VMs.
func putRow(table *Table, w, n int) error {
	return table.Update(func(tx *Tx) error {
		text := strconv.Itoa(n)
		tenant := TenantID{1, byte(w)}
		err := only(tx.PutTenant(Tenant{ID: tenant, Name: fmt.Sprint("of writer ", w), Description: text}))
		for half := range byte(2) {
			vm := VM{BIOS: BIOSID{byte(w) + 1, byte(n % rowsOfWriter), half}, ID: VMID{1}, Tenant: tenant, Name: text,
				UserData: strings.Repeat("x", n*97%700)}
			err = errors.Join(err, only(tx.PutVM(vm)))
		}
		return err
	})
}

// rowOf returns the number of a writer's last change. All of it must be there, and
// so must be the changes before it that were not written over.
func (x tester) rowOf(t *testing.T, w int) (last int) {
	t.Helper()
	tenant, ok := x.Tenant(TenantID{1, byte(w)})
	if !ok {
		return 0
	}
	last, _ = strconv.Atoi(tenant.Description)
	for n := max(1, last-rowsOfWriter+1); n <= last; n++ {
		for half := range byte(2) {
			vm, _ := x.VM(BIOSID{byte(w) + 1, byte(n % rowsOfWriter), half})
			if vm.Name != strconv.Itoa(n) || len(vm.UserData) != n*97%700 || vm.Tenant != tenant.ID {
				t.Errorf("writer %d made %d changes; of number %d there is VM %q of tenant %v", w, last, n, vm.Name, vm.Tenant)
			}
		}
	}
	return last
}

// writeUntilKilled lets writers write and snapshots be written, and prints which
// changes are acknowledged.
func writeUntilKilled(dir string) error {
	j, err := openDirWith(dir, wal.Options{SegmentBytes: 1 << 18})
	if err != nil {
		return err
	}
	table, err := Open(Config{Journal: j})
	if err != nil {
		return err
	}
	failed := make(chan error, killedWriters+1)
	for w := range killedWriters {
		tenant, _ := table.Tenant(TenantID{1, byte(w)})
		last, _ := strconv.Atoi(tenant.Description)
		go func() {
			for n := last + 1; ; n++ {
				if err := putRow(table, w, n); err != nil {
					failed <- err
					return
				}
				fmt.Println(w, n) // one write to the pipe
			}
		}()
	}
	go func() {
		for {
			if err := table.Snapshot(context.Background()); err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

// Whatever was acknowledged is there after kill -9 at any moment, and of a change
// that was not there is all or nothing.
//
// It is not parallel to tests that open directories: until the new process runs,
// it shares their locks.
func TestAcknowledgedWritesSurviveKill9(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(rand.Uint64(), 1))
	cycles, changes := *kills, 0
	if testing.Short() {
		cycles = min(cycles, 3)
	}
	var acknowledged [killedWriters]int
	for cycle := range cycles {
		cmd := process("writer", dir)
		lines := startAndRead(t, cmd)
		for left := r.IntN(2000) + 1; lines.Scan(); left-- {
			var w, n int
			if _, err := fmt.Sscan(lines.Text(), &w, &n); err != nil {
				t.Fatalf("the writer says %q: %v", lines.Text(), err)
			}
			acknowledged[w] = n
			changes++
			if left == 0 { // and on it writes until the signal arrives
				cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the writer ended by itself: %v", err)
		}
		mustVerify(t, dir)
		table := open(t, Config{Journal: openDir(t, dir)})
		for w, want := range acknowledged {
			// The next change after the last acknowledged one may be there: all of it.
			got := table.rowOf(t, w)
			if got != want && got != want+1 {
				t.Errorf("cycle %d: writer %d had %d changes acknowledged, and %d are there", cycle, w, want, got)
			}
			acknowledged[w] = got // the next process goes on from here
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d cycles of kill -9, %d writers, %d changes acknowledged: none lost, none in half", cycles, killedWriters, changes)
}

func startAndRead(t *testing.T, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewScanner(out)
}

// convertOrRestore does one of the things that are done to a whole directory.
func convertOrRestore(dir string) error {
	fmt.Println("begin")
	backup, err := os.Open(dir + ".backup")
	if errors.Is(err, os.ErrNotExist) {
		j, err := OpenDir(dir)
		if err != nil {
			return err
		}
		table, err := Open(Config{Journal: j})
		if err != nil {
			return err
		}
		fmt.Println("done")
		return table.Close()
	}
	if err != nil {
		return err
	}
	info, err := backup.Stat()
	if err != nil {
		return err
	}
	if _, err = Restore(dir, backup, info.Size(), nil); err == nil {
		fmt.Println("done")
	}
	return err
}

// A conversion or a restore that is killed at any moment can be repeated, and what
// comes of it is all there is.
func TestKilledConversionOrRestoreCanBeRepeated(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	x.must(t, func(tx *Tx) error {
		var err error
		for n := range 300 {
			err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(n), UserData: strings.Repeat("x", 30_000)})))
		}
		return err
	})
	want := x.written()
	var records []Record
	for _, r := range x.all() {
		if lasts(r) {
			records = append(records, r)
		}
	}
	var backup bytes.Buffer
	if err := x.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"conversion", "restore"} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			begin := func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				if what == "restore" {
					writeFiles(t, filepath.Dir(dir), map[string]string{"d.backup": backup.String()})
					return
				}
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				writeRelease1(t, dir, records)
			}
			begin()
			took, _ := attempt(t, dir, time.Minute)
			begin()
			attempts, finished := *kills/2, 0
			if testing.Short() {
				attempts = min(attempts, 2)
			}
			for range attempts {
				_, done := attempt(t, dir, rand.N(took))
				if _, err := os.Stat(filepath.Join(dir, formatName)); what == "restore" && err == nil {
					done = true // killed when all was made
				}
				if !done {
					continue
				}
				finished++
				if got := open(t, Config{Journal: openDir(t, dir)}).written(); got != want {
					t.Fatalf("after %s there is another table", what)
				}
				begin()
			}
			if _, done := attempt(t, dir, time.Minute); !done {
				t.Fatalf("the last %s did not come to its end", what)
			}
			table := open(t, Config{Journal: openDir(t, dir)})
			if table.written() != want {
				t.Errorf("after %s there is another table", what)
			}
			mustVerify(t, dir)
			t.Logf("%d of %d attempts did not come to their end", attempts-finished, attempts)
		})
	}
}

// attempt starts a conversion or a restore and kills it after a time. It reports
// whether it was done before.
func attempt(t *testing.T, dir string, after time.Duration) (took time.Duration, done bool) {
	t.Helper()
	cmd := process("whole", dir)
	lines := startAndRead(t, cmd)
	var kill *time.Timer
	begin := time.Now()
	for lines.Scan() {
		switch lines.Text() {
		case "begin":
			begin = time.Now()
			kill = time.AfterFunc(after, func() { cmd.Process.Signal(syscall.SIGKILL) })
		case "done":
			took, done = time.Since(begin), true
		}
	}
	err := cmd.Wait()
	if kill != nil {
		kill.Stop()
	}
	if !done && (err == nil || !strings.Contains(err.Error(), "killed")) {
		t.Fatalf("an attempt failed: %v", err)
	}
	return took, done
}
