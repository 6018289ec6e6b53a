package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm is a sleep that ends on time. An idle process waits for its
// connections and timers in epoll, and the runtime tells that in whole
// milliseconds how long: a sleep lasts up to one more, and every latency of a
// quiet gateway would have half a millisecond of the generator's own. A file that
// becomes readable at a time has no such rounding. It is used by one goroutine.
type alarm struct {
	file *os.File
	fd   int
}

// newAlarm returns one that sleeps like any other if the system lets it have no
// more files.
func newAlarm() *alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &alarm{}
	}
	return &alarm{file: os.NewFile(uintptr(fd), "alarm"), fd: fd}
}

func (a *alarm) sleep(d time.Duration) {
	if a.file != nil {
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
		var beats [8]byte
		if unix.TimerfdSettime(a.fd, 0, &at, nil) == nil {
			if _, err := a.file.Read(beats[:]); err == nil {
				return
			}
		}
	}
	time.Sleep(d)
}

func (a *alarm) close() {
	if a.file != nil {
		_ = a.file.Close()
	}
}
