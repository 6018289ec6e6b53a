package main

import (
	"bytes"
	"errors"
	"fmt"
)

var (
	statusOK      = []byte("HTTP/1.1 200")
	endOfHeader   = []byte("\r\n\r\n")
	contentLength = []byte("\r\ncontent-length:")
)

// httpAnswer returns a check of answers over HTTP/1.1: status 200, a Content-Length,
// and a body that right likes.
func httpAnswer(right func(body []byte) bool) func([]byte) (int, error) {
	return func(buf []byte) (int, error) {
		end := bytes.Index(buf, endOfHeader)
		if end < 0 {
			return 0, nil
		}
		if !bytes.HasPrefix(buf, statusOK) {
			return 0, errors.New("want status 200")
		}
		size := length(buf[:end+2])
		if size < 0 {
			return 0, errors.New("want a Content-Length")
		}
		end += len(endOfHeader)
		if len(buf) < end+size {
			return 0, nil
		}
		if !right(buf[end : end+size]) {
			return 0, fmt.Errorf("the body, of %d bytes, is another", size)
		}
		return end + size, nil
	}
}

// length returns the Content-Length of a header whose lines all end in CR LF, or -1.
func length(header []byte) int {
	for rest := header; ; {
		at := bytes.IndexByte(rest, '\n')
		if at < 1 || len(rest)-at < len(contentLength) {
			return -1
		}
		if line := rest[at-1:]; equalFold(line[:len(contentLength)], contentLength) {
			return number(line[len(contentLength):])
		}
		rest = rest[at+1:]
	}
}

// equalFold reports whether a is b, which is in lower case.
func equalFold(a, b []byte) bool {
	for i, c := range a {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != b[i] {
			return false
		}
	}
	return true
}

// number reads a decimal number of at most nine digits up to the end of the line, or
// returns -1.
func number(line []byte) int {
	line = bytes.TrimLeft(line, " ")
	n, digits := 0, 0
	for _, c := range line {
		switch {
		case c == '\r' && digits > 0:
			return n
		case c < '0' || c > '9' || digits == 9:
			return -1
		}
		n, digits = n*10+int(c-'0'), digits+1
	}
	return -1
}

// respAnswer checks a value from Redis: a bulk string of the size.
func respAnswer(size int) func([]byte) (int, error) {
	head := fmt.Appendf(nil, "$%d\r\n", size)
	whole := len(head) + size + 2
	return func(buf []byte) (int, error) {
		if n := min(len(head), len(buf)); !bytes.Equal(buf[:n], head[:n]) {
			return 0, fmt.Errorf("want a value of %d bytes", size)
		}
		if len(buf) < whole {
			return 0, nil
		}
		return whole, nil
	}
}
