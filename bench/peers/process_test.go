package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The clock of a process is what getrusage says of it, without its ticks.
func TestProcessorTime(t *testing.T) {
	own := func() (clock, usage time.Duration) {
		clock, err := cpuOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		var r unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
			t.Fatal(err)
		}
		return clock, time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	clock0, usage0 := own()
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
	}
	clock1, usage1 := own()
	if got, want := clock1-clock0, usage1-usage0; got < want-10*time.Millisecond || got > want+10*time.Millisecond || got == 0 {
		t.Errorf("processor time %v, getrusage says %v", got, want)
	}
	if _, err := cpuOf(1 << 22); err == nil {
		t.Error("a process that is not there has a clock")
	}
}

func TestParent(t *testing.T) {
	for _, tt := range []struct {
		stat      string
		pid, ppid int
		ok        bool
	}{
		{"17 (svmgate) S 3 17 17 0 -1", 17, 3, true},
		{"17 (a) S 9 (b) c) R 3 17", 17, 3, true},
		{"17 (svmgate", 0, 0, false},
		{"", 0, 0, false},
	} {
		pid, ppid, ok := parent(tt.stat)
		if ok != tt.ok || ok && (pid != tt.pid || ppid != tt.ppid) {
			t.Errorf("parent(%q) = %d, %d, %t", tt.stat, pid, ppid, ok)
		}
	}
}

// A server has its processor, its workers are counted with it, and all end at once.
func TestProcess(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	servers, _, _ := processors()
	p, err := start(servers, t.TempDir(), nil, shell, "-c", "sleep 60 & echo begun; wait")
	if err != nil {
		t.Fatal(err)
	}
	err = p.ready(t.Context(), 10*time.Second, func() error {
		if p.said.String() != "begun" {
			return errors.New("it has said nothing")
		}
		return nil
	})
	if err != nil || len(p.pids) != 2 {
		t.Errorf("processes %v, %v; want the shell and its child", p.pids, err)
	}
	var on unix.CPUSet
	if err := unix.SchedGetaffinity(p.pids[len(p.pids)-1], &on); err != nil || servers >= 0 && (on.Count() != 1 || !on.IsSet(servers)) {
		t.Errorf("the worker may use %d processors, %v; want processor %d", on.Count(), err, servers)
	}
	if spent, err := p.cpu(); err != nil || spent == 0 {
		t.Errorf("processor time %v, %v", spent, err)
	}
	stopped := make(chan struct{})
	go func() {
		p.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Error("some of it holds on to its output")
	}
	for _, pid := range p.pids {
		if !ends(pid) {
			t.Errorf("process %d of %v is left", pid, p.pids)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// ends reports whether a process is gone, or waits for nothing but its parent's notice.
func ends(pid int) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
	}
	return false
}

func TestAServerThatEndsSaysWhy(t *testing.T) {
	p, err := start(-1, t.TempDir(), nil, "/bin/sh", "-c", "echo the port is taken; exit 1")
	if err != nil {
		t.Skip(err)
	}
	err = p.ready(t.Context(), 10*time.Second, func() error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("%v, want what it said", err)
	}
	p.stop()
}
