package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A stamped is a connection to a gateway's agent plane that knows when answers came: not when
// this program got round to reading them, for it shares a processor with gateways that are not
// measured, but when the system had them. Between namespaces that is when they were sent.
type stamped struct {
	net.Conn
	raw syscall.RawConn
	buf []byte
}

const stampNanoseconds = 35 // SO_TIMESTAMPNS, and the type of its messages

func dialStamped(addr string) (*stamped, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &stamped{Conn: c, buf: make([]byte, 16<<10)}
	if s.raw, err = c.(*net.TCPConn).SyscallConn(); err != nil {
		return nil, err
	}
	var failed error
	err = s.raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, stampNanoseconds, 1)
	})
	return s, errors.Join(err, failed)
}

// ask asks for an agent, and returns when the question was sent, and when the end of the
// answer came.
func (s *stamped) ask(biosID string) (sent, came time.Time, err error) {
	if err := s.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return sent, came, err
	}
	text := fmt.Appendf(nil, "GET /v1/agents/%s/svm HTTP/1.1\r\nHost: lab\r\n\r\n", biosID)
	sent = time.Now()
	if _, err := s.Write(text); err != nil {
		return sent, came, err
	}
	for n := 0; ; {
		more, at, err := s.read(s.buf[n:])
		if err != nil {
			return sent, came, err
		}
		n += more
		if whole, err := wholeAnswer(s.buf[:n]); whole || err != nil {
			return sent, at, err
		}
	}
}

// read reads what is there, and returns when the last of it came.
func (s *stamped) read(p []byte) (n int, at time.Time, err error) {
	control := make([]byte, syscall.CmsgSpace(16))
	var failed error
	var size int
	err = s.raw.Read(func(fd uintptr) bool {
		n, size, _, _, failed = syscall.Recvmsg(int(fd), p, control, 0)
		return !errors.Is(failed, syscall.EAGAIN)
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, at, err
	}
	if n == 0 {
		return 0, at, os.ErrClosed
	}
	messages, err := syscall.ParseSocketControlMessage(control[:size])
	if err != nil || len(messages) != 1 || messages[0].Header.Type != stampNanoseconds {
		// The system stamps only from a moment after somebody wants it to. Now is later than
		// what came, so this makes nothing better than it is.
		return n, time.Now(), nil
	}
	data := messages[0].Data
	return n, time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:]))), nil
}

// wholeAnswer reports whether text is an answer with an SVM, and all of it.
func wholeAnswer(text []byte) (bool, error) {
	head, body, found := bytes.Cut(text, []byte("\r\n\r\n"))
	if !found {
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("the gateway says %q", text)
	}
	_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	n, err := strconv.Atoi(string(length))
	return len(body) >= n, err
}
