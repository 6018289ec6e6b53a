package cli

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

func TestProgressOfAShortJobIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := startProgress(&out, "reading")
		for done := range int64(49) {
			p.at(done, 50)
			time.Sleep(10 * time.Millisecond)
		}
		p.now("applying")
		p.end()
		if out.Len() > 0 {
			t.Errorf("%q is shown of a job of 490 ms, want nothing", out.String())
		}
	})
}

// A screen is drawn on while a test looks at it.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *screen) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out screen
		pause := func() {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		p := startProgress(&out, "reading")
		p.at(1<<20, 4<<20)
		pause()
		wantAll(t, "a quarter", out.String(), "reading", "25%", "4.0 MiB")

		out.Reset()
		p.now("applying")
		pause()
		wantAll(t, "the next part", out.String(), "applying")
		if strings.Contains(out.String(), "%") || strings.Contains(out.String(), "MiB") {
			t.Errorf("%q, want no share of what nobody knows", out.String())
		}

		out.Reset()
		p.at(3<<20, 0)
		pause()
		wantAll(t, "without a total", out.String(), "3.0 MiB")

		out.Reset()
		p.without(func() { _, _ = out.Write([]byte("|a line|")) })
		if before, _, _ := strings.Cut(out.String(), "|"); strings.Trim(before, "\r ") != "" || before == "" {
			t.Errorf("%q, want an empty line before it", out.String())
		}
		pause()
		out.Reset()
		p.end()
		p.end()
		if strings.Trim(out.String(), "\r ") != "" || !strings.HasSuffix(out.String(), "\r") {
			t.Errorf("%q at the end, want an empty line", out.String())
		}
		out.Reset()
		pause()
		if out.String() != "" {
			t.Errorf("%q after the end", out.String())
		}
	})
}

func TestProgressIsForTerminals(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetErr(new(bytes.Buffer))
	read, write, err := os.Pipe()
	check(t, err)
	defer read.Close()
	defer write.Close()
	for name, set := range map[string]func(){
		"a buffer": func() { cmd.SetErr(new(bytes.Buffer)) }, "a pipe": func() { cmd.SetErr(write) },
	} {
		set()
		if p := showProgress(cmd, "x"); p != nil {
			p.end()
			t.Errorf("progress is shown on %s", name)
		}
	}
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0) // one end of a terminal is one
	if err != nil {
		t.Skip("no pseudo terminal: ", err)
	}
	defer tty.Close()
	cmd.SetErr(tty)
	p := showProgress(cmd, "x")
	if p == nil {
		t.Error("progress is not shown on a terminal")
	}
	p.end()
	var none *progress
	none.at(1, 2)
	none.now("y")
	none.without(func() {})
	none.end()
}

// What is told of the same part does not begin its time anew.
func TestProgressTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out screen
		p := startProgress(&out, "asking")
		time.Sleep(3 * time.Second)
		p.tell("step 2")
		out.Reset()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := out.String(); !strings.Contains(got, "step 2") || strings.Contains(got, "[0s]") {
			t.Errorf("%q is shown, want step 2 and some seconds", got)
		}
		p.end()
	})
}
