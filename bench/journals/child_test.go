package journals

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// childCommand returns a command that runs this test binary as the named child.
func childCommand(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), child+"="+name)
	cmd.Stderr = &bytes.Buffer{}
	return cmd
}

// appendChild appends the history to a journal: args are the engine, its
// directory and how many appends. It goes on after an error, with the same
// append, and prints each outcome as a line.
func appendChild(args []string) error {
	runtime.LockOSThread() // strace counts the calls of each thread by themselves
	e, err := engine(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	j, err := e.Open(args[1], smallFiles)
	if err != nil {
		return err
	}
	w := &writer{journal: j}
	if err := j.Replay(func(store.Record) error { w.records++; return nil }); err != nil {
		return err
	}
	for left := w.records; left > 0; w.groups++ {
		left -= groupSize(w.groups)
	}
	out := bufio.NewWriter(os.Stdout)
	for range n {
		if err := w.append(); err != nil {
			fmt.Fprintf(out, "refused %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Fprintf(out, "acknowledged %d\n", w.groups)
		}
	}
	return out.Flush() // and no Close: it ends as a crash would
}
