package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	case "whole":
		err = convertOrRestore(dir)
	case "full":
		err = fillDisk(dir)
	case "read-only":
		err = openReadOnly(dir)
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
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<16), 0o600); err != nil {
		return err
	}
	n := 0
	for ; err == nil; n++ {
		err = put(n, 10_000)
	}
	if n--; !errors.Is(err, ErrReadOnly) || n < 5 || table.Stats().VMs != n || !table.Disk().Refusing || table.Fault() != nil {
		return fmt.Errorf("after %d VMs of %d: %w; want ErrReadOnly", n, table.Stats().VMs, err)
	}
	if err := put(n, 10); err != nil { // for which there is room
		return fmt.Errorf("a small change after a large one was refused: %w", err)
	}
	if err := snapshotFails(table, dir); err != nil {
		return err
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if n++; put(n, 10_000) != nil || table.Disk().Refusing {
		return fmt.Errorf("with room again a change is refused: %+v", table.Disk())
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

// snapshotFails checks that a snapshot for which there is no room leaves nothing.
func snapshotFails(table *Table, dir string) error {
	if err := table.Snapshot(context.Background()); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("a snapshot on a full disk: %w; want ENOSPC", err)
	}
	names, err := readNames(dir)
	for _, name := range names {
		if strings.HasPrefix(name, "snapshot-") {
			return fmt.Errorf("a snapshot that failed left %s", name)
		}
	}
	return err
}

// openReadOnly opens a directory of a file system that can only be read.
func openReadOnly(dir string) error {
	err := errors.Join(
		syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("none", dir, "tmpfs", 0, "size=256k"),
	)
	if err != nil {
		fmt.Println("skip:", err)
		return nil
	}
	j, err := OpenDir(filepath.Join(dir, "d"))
	if err != nil {
		return err
	}
	table, err := Open(Config{Journal: j})
	if err != nil {
		return err
	}
	if err := errors.Join(putRow(table, 1, 1), table.Close(), syscall.Mount("none", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")); err != nil {
		return err
	}
	for _, name := range []string{"d", "to be made"} {
		path := filepath.Join(dir, name)
		if _, err := OpenDir(path); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), path) {
			return fmt.Errorf("OpenDir of what can only be read: %w; want an error that names %s", err, path)
		}
	}
	_, err = Verify(filepath.Join(dir, "d"), nil, func(d Damage) { fmt.Println(d) })
	fmt.Println("done")
	return err
}

// A full disk refuses writes, keeps what was acknowledged, and takes writes again
// when there is room.
func TestFullDiskRefusesWritesAndLosesNothing(t *testing.T) { inMountNamespace(t, "full") }

// A directory that can not be written is no place for a table; it can be verified.
func TestReadOnlyDirectoryIsNamed(t *testing.T) { inMountNamespace(t, "read-only") }

func inMountNamespace(t *testing.T, role string) {
	t.Helper()
	cmd := process(role, t.TempDir())
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
