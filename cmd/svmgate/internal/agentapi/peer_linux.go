package agentapi

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// isShut reports whether the other side of a TCP connection has closed it, or has sent all
// that it wanted. Nothing is read: what has arrived stays for the server.
func isShut(raw syscall.RawConn) (shut bool) {
	err := raw.Control(func(fd uintptr) {
		fds := [...]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds[:], 0)
		shut = err == nil && n > 0
	})
	return shut || err != nil
}
