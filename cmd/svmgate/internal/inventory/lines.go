package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// A lineReader reads lines of at most MaxRecord bytes, ended by LF or CRLF.
type lineReader struct {
	r    *bufio.Reader
	line int // number of the line read last
	long []byte
}

// next returns the next line that is not blank, valid until the call after it,
// or what is wrong with the line, which is then skipped.
func (l *lineReader) next() (text []byte, bad *Error, err error) {
	for {
		text, bad, err = l.read()
		if err != nil || bad != nil {
			return nil, bad, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if !utf8.Valid(text) {
			return nil, failure(l.line, "", "the line is not valid UTF-8 from byte %d on", validUntil(text)+1), nil
		}
		return text, nil, nil
	}
}

func (l *lineReader) read() (text []byte, bad *Error, err error) {
	l.line++
	text, err = l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.long[:0]
		length := 0
		for errors.Is(err, bufio.ErrBufferFull) {
			length += len(text)
			if length <= MaxRecord {
				l.long = append(l.long, text...)
			}
			text, err = l.r.ReadSlice('\n')
		}
		if length += len(text); length > MaxRecord {
			bad = failure(l.line, "", "the line is longer than %d bytes", MaxRecord)
		}
		text = append(l.long, text...)
	}
	if errors.Is(err, io.EOF) && len(text) > 0 {
		err = nil // the last line may lack its end
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), bad, err
}

// validUntil returns where the first invalid byte of b is.
func validUntil(b []byte) (n int) {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return n
		}
		n, b = n+size, b[size:]
	}
	return n
}
