package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary stand in for a process of its own: one that can
// be killed, or whose disk can be full.
func TestMain(m *testing.M) {
	role, dir, _ := strings.Cut(os.Getenv("STORE_TEST_PROCESS"), ":")
	var err error
	switch role {
	case "":
		os.Exit(m.Run())
	case "writer":
		err = writeUntilKilled(dir)
	case "full":
		err = fillDisk(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func process(role, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_PROCESS="+role+":"+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// writeUntilKilled registers VMs in changes of different sizes, and prints how
// many there are when they are acknowledged.
func writeUntilKilled(dir string) error {
	j, err := OpenDir(dir)
	if err != nil {
		return err
	}
	table, err := Open(Config{Journal: j})
	if err != nil {
		return err
	}
	for n := table.Stats().VMs; ; {
		more := 1 + n*7%40
		err := table.Update(func(tx *Tx) error {
			for i := n; i < n+more; i++ {
				if _, err := tx.PutVM(VM{BIOS: numberedBIOS(i), Name: strconv.Itoa(i), UserData: strings.Repeat("x", i%2000)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		n += more
		fmt.Println(n, more)
	}
}

// Whatever was acknowledged is there after kill -9 at any moment, and of a change
// that was not there is all or nothing.
//
// It is not parallel to tests that open directories: until the new process runs,
// it shares their locks.
func TestAcknowledgedWritesSurviveKill9(t *testing.T) {
	dir := t.TempDir()
	for cycle := range 3 {
		cmd := process("writer", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged, lines := 0, bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if _, err := fmt.Sscan(lines.Text(), &acknowledged, new(int)); err != nil {
				t.Fatalf("the writer says %q: %v", lines.Text(), err)
			}
			if n == 20+17*cycle { // and on it writes until the signal arrives
				cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		if err := cmd.Wait(); err == nil || acknowledged == 0 {
			t.Fatalf("the writer ended by itself, with %d VMs: %v", acknowledged, err)
		}
		got := vmsIn(t, dir)
		// The next change after the last acknowledged one may be there: all of it.
		if next := acknowledged + 1 + acknowledged*7%40; got != acknowledged && got != next {
			t.Fatalf("cycle %d: %d VMs were acknowledged and %d are there; want as many, or %d", cycle, acknowledged, got, next)
		}
	}
}

// vmsIn counts the VMs in the journal of dir; each must be as it was written.
func vmsIn(t *testing.T, dir string) int {
	t.Helper()
	table := open(t, Config{Journal: openDir(t, dir)})
	n := table.Stats().VMs
	for i := range n {
		if vm, ok := table.VM(numberedBIOS(i)); !ok || vm.Name != strconv.Itoa(i) || len(vm.UserData) != i%2000 {
			t.Fatalf("VM %d of %d is %v, %+v", i, n, ok, vm)
		}
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// fillDisk makes dir a file system of 256 KiB and writes until it is full.
func fillDisk(dir string) error {
	err := errors.Join(
		syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("none", dir, "tmpfs", 0, "size=256k"),
	)
	if err != nil {
		fmt.Println("skip:", err)
		return nil
	}
	j, err := OpenDir(dir)
	if err != nil {
		return err
	}
	table, err := Open(Config{Journal: j})
	if err != nil {
		return err
	}
	put := func(n, size int) error {
		return table.Update(func(tx *Tx) error {
			_, err := tx.PutVM(VM{BIOS: numberedBIOS(n), UserData: strings.Repeat("x", size)})
			return err
		})
	}
	n := 0
	for ; err == nil; n++ {
		err = put(n, 10_000)
	}
	if n--; !errors.Is(err, ErrReadOnly) || n < 10 || table.Stats().VMs != n {
		return fmt.Errorf("after %d VMs of %d: %w; want ErrReadOnly", n, table.Stats().VMs, err)
	}
	if err := put(n, 10); err != nil { // for which there is room
		return fmt.Errorf("a small change after a large one was refused: %w", err)
	}
	if err := table.Close(); err != nil {
		return err
	}
	if j, err = OpenDir(dir); err != nil {
		return err
	}
	if table, err = Open(Config{Journal: j}); err != nil || table.Stats().VMs != n+1 {
		return fmt.Errorf("%d VMs were acknowledged, %d are there: %w", n+1, table.Stats().VMs, err)
	}
	fmt.Println("done")
	return nil
}

// A full disk refuses writes, keeps what was acknowledged, and takes writes again
// when there is room.
func TestFullDiskRefusesWritesAndLosesNothing(t *testing.T) {
	cmd := process("full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	switch {
	case errors.Is(err, os.ErrPermission):
		t.Skipf("needs a mount namespace: %v", err)
	case strings.HasPrefix(string(out), "skip"):
		t.Skipf("needs to mount a file system: %s", out)
	case err != nil || string(out) != "done\n":
		t.Errorf("%s, %v", out, err)
	}
}
