package inventory

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/svmgate/svmgate/store"
)

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
	if cells, bad := splitCSV(nil, string(header), lines.line); bad != nil || strings.Join(cells, ",") != CSVHeader {
		return failure(lines.line, "", "the first line is %s and must be %s", shown(string(header)), CSVHeader)
	}
	var cells []string
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
			if cells, bad = splitCSV(cells[:0], string(line), lines.line); bad == nil {
				item.VM, bad = csvRecord(cells, lines.line)
			}
			item.Err = bad
		}
		if err := fn(item); err != nil {
			return err
		}
	}
}

// csvVM has room for all that a line may say of a VM: one allocation instead of
// one for each cell.
type csvVM struct {
	vm                        VM
	tenant                    TenantRef
	name, host, cluster, zone string
	os                        store.GuestOS
	kind                      store.AgentKind
	path                      Path
}

// csvColumns say, in the order of [CSVHeader], how a cell is read that is not
// empty.
var csvColumns = [...]struct {
	name string
	set  func(*csvVM, value) *Error
}{
	{"biosId", func(r *csvVM, v value) *Error { return setID((*[16]byte)(&r.vm.BIOS), v) }},
	{"tenant", func(r *csvVM, v value) *Error {
		r.tenant, r.vm.Tenant = ParseTenantRef(v.text), &r.tenant
		return nil
	}},
	{"name", func(r *csvVM, v value) *Error {
		r.name, r.vm.Name = v.text, &r.name
		return nil
	}},
	{"os", func(r *csvVM, v value) (bad *Error) {
		r.vm.OS = &r.os
		r.os, bad = word[store.GuestOS](v)
		return bad
	}},
	{"kind", func(r *csvVM, v value) (bad *Error) {
		r.vm.Kind = &r.kind
		r.kind, bad = word[store.AgentKind](v)
		return bad
	}},
	{"host", func(r *csvVM, v value) *Error {
		r.host, r.path.Host, r.vm.Path = v.text, &r.host, &r.path
		return nil
	}},
	{"cluster", func(r *csvVM, v value) *Error {
		r.cluster, r.path.Cluster, r.vm.Path = v.text, &r.cluster, &r.path
		return nil
	}},
	{"zone", func(r *csvVM, v value) *Error {
		r.zone, r.path.Zone, r.vm.Path = v.text, &r.zone, &r.path
		return nil
	}},
}

func csvRecord(cells []string, line int) (*VM, *Error) {
	if len(cells) != len(csvColumns) {
		return nil, failure(line, "", "the line has %d fields and must have %d: %s", len(cells), len(csvColumns), CSVHeader)
	}
	r := new(csvVM)
	for i := range csvColumns {
		if cells[i] == "" {
			continue
		}
		if bad := csvColumns[i].set(r, value{kind: kindText, line: line, text: cells[i]}); bad != nil {
			return nil, bad.in(csvColumns[i].name).in("vm")
		}
	}
	if r.vm.BIOS.IsZero() {
		return nil, failure(line, "vm.biosId", "is missing")
	}
	return &r.vm, nil
}

// splitCSV appends the cells of a line to cells.
func splitCSV(cells []string, line string, number int) ([]string, *Error) {
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
