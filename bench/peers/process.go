package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a server that this program started, alone on its processor.
type process struct {
	cmd  *exec.Cmd
	addr netip.AddrPort
	pids []int // its own, and those of its workers
	said *tail
	done chan struct{}
}

// start starts a server on a processor; less than 0 means any. Its last words go into
// the errors.
func start(cpu int, dir string, env []string, program string, args ...string) (*process, error) {
	said := new(tail)
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, said, said
	// A group of its own, so that an interrupt is for this program alone and workers
	// end with their master; and no server outlives a program that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := onCPU(cpu, cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{cmd: cmd, pids: []int{cmd.Process.Pid}, said: said, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is of no interest: it was killed, or said why
		close(p.done)
	}()
	return p, nil
}

// onCPU calls fn on a thread that is bound to a processor: what it starts is so too.
func onCPU(cpu int, fn func() error) error {
	if cpu < 0 {
		return fn()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("processors of this thread: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("bind to processor %d: %w", cpu, err)
	}
	return errors.Join(fn(), unix.SchedSetaffinity(0, &before))
}

// processors returns one for the servers and another for this program, of those that it
// may use; ok is false if there is only one.
func processors() (servers, ours int, ok bool) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil || allowed.Count() < 2 {
		return -1, -1, false
	}
	servers, ours = -1, -1
	for cpu, left := 0, allowed.Count(); left > 0; cpu++ {
		if allowed.IsSet(cpu) {
			left--
			if ours = cpu; servers < 0 {
				servers = cpu
			}
		}
	}
	return servers, ours, true
}

// bind binds all threads of this program, and those to come, to a processor.
func bind(cpu int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	var only unix.CPUSet
	only.Set(cpu)
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &only); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("bind to processor %d: %w", cpu, err)
		}
	}
	return nil
}

// ready waits until up returns nil, and finds the workers.
func (p *process) ready(ctx context.Context, within time.Duration, up func() error) error {
	for end := time.Now().Add(within); ; {
		err := up()
		if err == nil {
			p.pids, err = family(p.cmd.Process.Pid)
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.cmd.Path, p.said)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready after %v: %w: %s", p.cmd.Path, within, err, p.said)
		}
	}
}

// stop kills the server and its workers, and waits until it is gone.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended already
	<-p.done
}

// cpu returns the processor time that the server has used, in user and in system mode,
// by all threads of all its processes, also those that have ended.
func (p *process) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.pids {
		t, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// cpuOf reads a process's clock of processor time, which is as exact as the
// scheduler's own account: /proc/PID/stat is that, rounded to ticks of 10 ms.
func cpuOf(pid int) (time.Duration, error) {
	// As clock_getcpuclockid(3) makes it: MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED).
	clock := int32(^pid)<<3 | 2
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// family returns a process and all that descend from it.
func family(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		id, parent, ok := parent(string(text))
		if !ok {
			return nil, fmt.Errorf("%s: %q", file, text)
		}
		children[parent] = append(children[parent], id)
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// parent reads who a process is and whose child: "17 (a name) S 3 …", where the name
// may be anything.
func parent(stat string) (pid, ppid int, ok bool) {
	first, _, _ := strings.Cut(stat, " ")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0, false
	}
	ppid, err = strconv.Atoi(fields[1])
	return pid, ppid, err == nil
}

// A tail keeps the last of what was written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 2000
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}
