package sink

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// someEvents are events as a table has them.
func someEvents(n int) []store.Event {
	events := make([]store.Event, n)
	for i := range events {
		events[i] = store.Event{ID: store.EventID{14: byte(i >> 8), 15: byte(i)}, Type: "svm.up", Message: fmt.Sprint("event ", i)}
	}
	return events
}

func deliver(t *testing.T, target Target, events ...store.Event) error {
	t.Helper()
	taken, err := target.Deliver(t.Context(), events)
	if err == nil && taken != len(events) {
		t.Errorf("took %d of %d without an error", taken, len(events))
	}
	return err
}

// lines are the messages in a file; a line that is none fails the test.
func lines(t *testing.T, path string) (messages []string) {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var e store.Event
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			t.Errorf("%s in %q", err, scan.Text())
		}
		messages = append(messages, e.Message)
	}
	return messages
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	file := Lines(path)
	events := someEvents(5)
	events[1].Message = "two\nlines & <tags>"
	check(t, deliver(t, file, events[:2]...))
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600 (%v)", info.Mode(), err)
	}
	text, _ := os.ReadFile(path)
	if !strings.Contains(string(text), `"message":"two\nlines & <tags>"}`+"\n") {
		t.Errorf("file: %s", text)
	}

	check(t, os.Rename(path, path+".1"))
	check(t, deliver(t, file, events[2]))
	if got := fmt.Sprint(lines(t, path)); got != "[event 2]" {
		t.Errorf("after it was moved away: %s", got)
	}

	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, _ = f.WriteString(`{"id":"0000`) // a crash
	check(t, f.Close())
	check(t, deliver(t, file, events[3], events[4]))
	text, _ = os.ReadFile(path)
	if rows := strings.Split(string(text), "\n"); len(rows) != 5 || rows[1] != `{"id":"0000` {
		t.Errorf("after a line that was cut off: %q", rows)
	}
}

func TestFileThatCanNotBeWritten(t *testing.T) {
	dir := t.TempDir()
	check(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for _, path := range []string{dir, filepath.Join(dir, "no", "file"), filepath.Join(dir, "pipe"), "/dev/null"} {
		if err := deliver(t, Lines(path), someEvents(1)...); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

// TestFileOnAFullDisk leaves no piece of a line, and goes on when there is room.
func TestFileOnAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("no small disk can be mounted here: ", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(dir, 0)) })
	ballast, path := filepath.Join(dir, "ballast"), filepath.Join(dir, "events")
	file := Lines(path)
	check(t, deliver(t, file, someEvents(1)...))
	check(t, os.WriteFile(ballast, make([]byte, 52<<10), 0o600))
	if err := deliver(t, file, someEvents(200)...); err == nil {
		t.Fatal("200 events fit in a disk that is full")
	}
	if got := fmt.Sprint(lines(t, path)); got != "[event 0]" {
		t.Errorf("the file has %s", got)
	}
	check(t, os.Remove(ballast))
	check(t, deliver(t, file, someEvents(200)...))
	if got := lines(t, path); len(got) != 201 {
		t.Errorf("%d lines, want 201", len(got))
	}
}
