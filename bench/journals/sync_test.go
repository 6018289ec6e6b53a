package journals

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestFailedSync lets one fsync fail, by strace: nothing may be acknowledged after
// it, and what was acknowledged before must be there at the next opening.
func TestFailedSync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), strace, "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("strace can not be used here: %v: %s", err, out)
	}
	const before, appends = 10, 300
	for _, e := range underTest {
		for _, tt := range []struct{ name, calls, when string }{
			{name: "of an append", calls: "fsync,fdatasync", when: "25"},
			// raft-wal uses fdatasync for its list of files only.
			{name: "of a change of files", calls: "fdatasync", when: "1"},
		} {
			t.Run(e.Name+"/"+tt.name, func(t *testing.T) {
				first, dir := filepath.Join(t.TempDir(), "journal"), filepath.Join(t.TempDir(), "copy")
				w := begin(t, e, first, smallFiles)
				defer w.journal.Close()
				w.appendMany(t, before)
				imageOf(t, first).restore(t, dir) // as a crash would leave it
				run := childCommand(t, "append", e.Name, dir, strconv.Itoa(appends))
				cmd := exec.CommandContext(t.Context(), strace, append([]string{
					"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + tt.calls,
					"-e", "inject=" + tt.calls + ":error=EIO:when=" + tt.when,
				}, run.Args...)...)
				cmd.Env = run.Env
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				checkFailedSync(t, e, dir, before, out)
			})
		}
	}
}

func checkFailedSync(t *testing.T, e Engine, dir string, before int, out []byte) {
	t.Helper()
	acknowledged, refusals, after, reason := before, 0, 0, ""
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
		case "acknowledged":
			if acknowledged++; refusals > 0 {
				after++
			}
		case "refused":
			if refusals++; refusals == 1 {
				reason = rest
			}
		}
	}
	c := read(e, dir, smallFiles, nil)
	found := judge(c, acknowledged)
	t.Logf("%s: %d acknowledged before, %d refused (%s), %d acknowledged after; then: %s, %d records, %v",
		e.Name, acknowledged-after, refusals, reason, after, found, len(c.has), c.err)
	if e.Name == Engines[0].Name && (after > 0 || found != whole) {
		t.Errorf("%d acknowledged after a failed fsync, want 0; then %s", after, found)
	}
}
