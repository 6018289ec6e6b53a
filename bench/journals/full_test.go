package journals

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A fullDisk is what a journal did on a disk that filled up.
type fullDisk struct {
	Before   int    // appends acknowledged before it was full
	Refusal  string // the first error
	Clean    bool   // it was store.ErrReadOnly for want of space
	Tries    int    // further appends while it was full
	Fitted   int    // of these, acknowledged
	Resumed  bool   // by itself, after space was there again
	Took     time.Duration
	After    int // appends acknowledged from then on
	Reopened int // how often the adapter opened the log again meanwhile
	Outcome  outcome
	Error    string
}

// TestFullDisk fills a small disk: appends must be refused, those acknowledged
// kept, and writing must resume by itself, within 5 s of there being space.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a disk of its own needs root")
	}
	for _, e := range underTest {
		t.Run(e.Name, func(t *testing.T) {
			cmd := childCommand(t, "fill", e.Name, t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
			out, err := cmd.Output()
			if said := fmt.Sprint(cmd.Stderr); strings.Contains(said, noMount) || errors.Is(err, syscall.EPERM) {
				t.Skipf("no disk of its own here: %v: %s", err, said)
			}
			if err != nil {
				t.Fatalf("%v: %s", err, cmd.Stderr)
			}
			var got fullDisk
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			t.Logf("%s: %+v", e.Name, got)
			if e.Name == Engines[0].Name && (!got.Clean || !got.Resumed || got.Took > 5*time.Second || got.Outcome != whole) {
				t.Error("want a clean refusal, to resume within 5 s, and all there")
			}
		})
	}
}

const (
	diskSize    = 16 << 20
	ballastSize = 4 << 20
	fileSize    = 1 << 20 // of the log's files, where it can be chosen

	noMount = "nothing can be mounted"
)

// fillChild runs in a mount namespace of its own; args are the engine and an
// empty directory to mount the disk at.
func fillChild(args []string) error {
	e, err := engine(args[0])
	if err != nil {
		return err
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%s: %w", noMount, err)
	}
	if err := syscall.Mount("tmpfs", args[1], "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		return fmt.Errorf("%s: %w", noMount, err)
	}
	ballast, dir := filepath.Join(args[1], "ballast"), filepath.Join(args[1], "journal")
	if err := os.WriteFile(ballast, make([]byte, ballastSize), 0o600); err != nil {
		return err
	}
	j, err := e.Open(dir, fileSize)
	if err != nil {
		return err
	}
	if err := j.Replay(func(store.Record) error { return nil }); err != nil {
		return err
	}
	var got fullDisk
	w := &writer{journal: j}
	for err == nil {
		err = w.append()
	}
	got.Before, got.Refusal = w.groups, err.Error()
	got.Clean = errors.Is(err, store.ErrReadOnly) && errors.Is(err, syscall.ENOSPC)
	// A small append may still fit where a large one did not.
	for refusals := 0; refusals < 50 && got.Tries < 1<<20; got.Tries++ {
		if w.append() == nil {
			got.Fitted++
		} else {
			refusals++
		}
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	start := time.Now()
	for err = w.append(); err != nil && time.Since(start) < 10*time.Second; err = w.append() {
		time.Sleep(10 * time.Millisecond)
	}
	got.Resumed, got.Took = err == nil, time.Since(start)
	for err == nil && got.After < 2000 {
		err = w.append()
		got.After++
	}
	if r, ok := j.(*RaftWAL); ok {
		got.Reopened = r.Reopened
	}
	if err := j.Close(); err != nil {
		got.Error = err.Error()
	}
	c := read(e, dir, fileSize, nil)
	got.Outcome = judge(c, w.groups)
	if c.err != nil {
		got.Error += c.err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}
