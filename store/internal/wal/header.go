package wal

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// CheckHeader reads the line that a file of size bytes begins with and compares
// it with header, such as "svmgate log 1\n": the program, what the file is, the
// number of the format. The error completes a sentence that begins with the
// name of the file; it is [ErrTorn] if the file was cut before the line was whole.
func CheckHeader(r io.ReaderAt, size int64, header string) error {
	start := make([]byte, min(size, int64(len(header))+8))
	if err := readAt(r, start, 0); err != nil {
		return err
	}
	if strings.HasPrefix(string(start), header) {
		return nil
	}
	// Room for the line that was never filled reads as zeros.
	if size <= int64(len(header)) && strings.HasPrefix(header, string(bytes.TrimRight(start, "\x00"))) {
		return ErrTorn
	}
	words := strings.Fields(header)
	own, _ := strconv.Atoi(words[2])
	line, _, whole := strings.Cut(string(start), "\n")
	if number, ok := strings.CutPrefix(line, words[0]+" "+words[1]+" "); ok && whole {
		if n, err := strconv.ParseUint(number, 10, 32); err == nil && n > uint64(own) {
			return fmt.Errorf("was written by a newer release: it starts with %q, not with %q", line+"\n", header)
		}
	}
	return fmt.Errorf("is not a %s of this release: it starts with %q, not with %q", words[1], start, header)
}
