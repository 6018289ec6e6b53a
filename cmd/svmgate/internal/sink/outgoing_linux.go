package sink

import "golang.org/x/sys/unix"

// outgoing is how many bytes of a TCP connection were written and not confirmed.
func outgoing(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCOUTQ) }
