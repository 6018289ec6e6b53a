package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
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

var csvColumns = strings.Split(CSVHeader, ",")

// readCSV reads VMs. Quotes are those of RFC 4180, but no field holds a line
// break: so a quote that is left open spoils only its own line.
func readCSV(br *bufio.Reader, skim bool, fn func(Item) error) error {
	lines := lineReader{r: br}
	header, bad, err := lines.next()
	switch {
	case errors.Is(err, io.EOF):
		return failure(1, "", "the file is empty; the first line must be %s", CSVHeader)
	case err != nil:
		return err
	case bad != nil:
		return bad
	}
	if cells, bad := splitCSV(string(header), lines.line); bad != nil || strings.Join(cells, ",") != CSVHeader {
		return failure(lines.line, "", "the first line is %s and must be %s", shown(string(header)), CSVHeader)
	}
	for {
		line, bad, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		item := Item{Line: lines.line, Err: bad}
		if bad == nil && !skim {
			item = parseCSV(string(line), lines.line)
		}
		if err := fn(item); err != nil {
			return err
		}
	}
}

func parseCSV(line string, number int) Item {
	cells, bad := splitCSV(line, number)
	if bad == nil && len(cells) != len(csvColumns) {
		bad = failure(number, "", "the line has %d fields and must have %d: %s", len(cells), len(csvColumns), CSVHeader)
	}
	if bad != nil {
		return Item{Line: number, Err: bad}
	}
	vm := value{kind: kindObject, line: number}
	path := vm
	for i, name := range csvColumns {
		cell := value{kind: kindText, line: number, text: cells[i]}
		switch {
		case cell.text == "":
		case pathFields[name] != nil:
			path.add(name, cell)
		default:
			vm.add(name, cell)
		}
	}
	if len(path.keys) > 0 {
		vm.add("path", path)
	}
	return decodeItem("vm", vm)
}

// splitCSV splits a line at its commas.
func splitCSV(line string, number int) (cells []string, bad *Error) {
	for {
		quoted, isQuoted := strings.CutPrefix(line, `"`)
		if !isQuoted {
			cell, rest, more := strings.Cut(line, ",")
			if strings.Contains(cell, `"`) {
				return nil, failure(number, "", `a quote stands inside field %d; put the field in quotes and write "" for a quote`, len(cells)+1)
			}
			if cells = append(cells, cell); !more {
				return cells, nil
			}
			line = rest
			continue
		}
		cell, rest, ok := cutQuoted(quoted)
		if !ok {
			return nil, failure(number, "", "field %d opens a quote and does not close it on this line", len(cells)+1)
		}
		if cells = append(cells, cell); rest == "" {
			return cells, nil
		}
		if line, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, failure(number, "", "field %d goes on after its closing quote", len(cells))
		}
	}
}

// cutQuoted cuts s after the quote that closes it; two quotes are one of the
// text.
func cutQuoted(s string) (cell, rest string, ok bool) {
	var b strings.Builder
	for {
		part, after, found := strings.Cut(s, `"`)
		if !found {
			return "", "", false
		}
		b.WriteString(part)
		if s, found = strings.CutPrefix(after, `"`); !found {
			return b.String(), after, true
		}
		b.WriteByte('"')
	}
}
