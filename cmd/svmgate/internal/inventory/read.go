package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/svmgate/svmgate/store"
)

// ErrTooLarge is wrapped by the error for an input beyond its bound.
var ErrTooLarge = errors.New("inventory is too large")

// Read reads an inventory and hands its records to fn one by one, in the order
// of the input. Records that can not be used, or that name what an earlier one
// did, come with Err set. The error is fn's, that of r, or an [*Error] if the
// input can not be read on; fn has then had what stands before.
//
// Read holds the ids of all records, some 40 bytes each, and, except for YAML,
// one record at a time.
func Read(r io.Reader, f Format, fn func(Item) error) error {
	var once unique
	return read(r, f, false, func(item Item) error {
		once.check(&item)
		return fn(item)
	})
}

// read is [Read] without the check that nothing is named twice. If skim is set
// only tenants matter: where a line can be told to be another record, it comes
// as an empty item, and nothing looks into it.
func read(r io.Reader, f Format, skim bool, fn func(Item) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	if err := checkEncoding(br); err != nil {
		return err
	}
	records := 0
	count := func(item Item) error {
		if records++; records > MaxRecords {
			return failure(item.Line, "", "the inventory has more than %d records; split it", MaxRecords)
		}
		return fn(item)
	}
	switch f {
	case JSON:
		return readJSON(br, count)
	case NDJSON:
		return readNDJSON(br, skim, count)
	case CSV:
		return readCSV(br, skim, count)
	default:
		return readYAML(br, count)
	}
}

// checkEncoding refuses what editors put in front of a text.
func checkEncoding(br *bufio.Reader) error {
	head, _ := br.Peek(3)
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return failure(1, "", "the file starts with a byte order mark; save it as UTF-8 without one")
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return failure(1, "", "the file is UTF-16; save it as UTF-8")
	}
	return nil
}

// readJSON reads {"tenants": […], "svms": […], "vms": […]}, each at most once,
// in any order.
func readJSON(br *bufio.Reader, fn func(Item) error) error {
	j := newJSONText(br, 1)
	var seen value
	j.members(func(name string) {
		kind, ok := sections[name]
		if !ok {
			j.fail("%s is not a known field; there are svms, tenants, vms", shown(name))
			return
		}
		if seen.add(name, value{}); seen.bad != nil {
			seen.bad.Line = j.line
			j.err = seen.bad
			return
		}
		j.elements(func() {
			j.left = MaxRecord
			v := j.value(maxDepth)
			if j.err == nil {
				j.err = fn(decodeItem(kind, v))
			}
			j.left = MaxRecord
		})
	})
	if j.err == nil {
		j.end()
	}
	return j.err
}

var sections = map[string]string{"tenants": "tenant", "svms": "svm", "vms": "vm"}

// readNDJSON reads one record a line; a broken line spoils only itself.
func readNDJSON(br *bufio.Reader, skim bool, fn func(Item) error) error {
	lines := lineReader{r: br}
	var text bufio.Reader
	for {
		line, bad, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		item := Item{Line: lines.line, Err: bad}
		if bad == nil && !(skim && (bytes.HasPrefix(line, []byte(`{"vm"`)) || bytes.HasPrefix(line, []byte(`{"svm"`)))) {
			text.Reset(bytes.NewReader(line))
			item = parseLine(newJSONText(&text, lines.line))
		}
		if err := fn(item); err != nil {
			return err
		}
	}
}

func parseLine(j *jsonText) Item {
	v := j.value(maxDepth)
	if j.err == nil {
		j.end()
	}
	var bad *Error
	if errors.As(j.err, &bad) {
		return Item{Line: v.line, Err: bad}
	}
	if v.kind != kindObject || len(v.keys) != 1 {
		return Item{Line: v.line, Err: failure(v.line, "", "%v", errNoKind)}
	}
	if v.bad != nil {
		return Item{Line: v.line, Err: v.bad}
	}
	return decodeItem(v.keys[0], v.items[0])
}

// unique remembers what records named, and where. Its zero value is empty.
type unique struct {
	vms         map[store.BIOSID]int32
	vmIDs       map[store.VMID]int32
	tenants     map[store.TenantID]int32
	svms        map[store.SVMID]int32
	tenantNames map[string]int32
	svmNames    map[string]int32
}

// check turns item into a refusal if an earlier one named the same thing. Names
// of SVMs need not be unique unless one of the records has no id.
func (u *unique) check(item *Item) {
	var bad *Error
	switch {
	case item.VM != nil:
		if bad = once(&u.vms, item.VM.BIOS, item.Line, "vm.biosId"); bad == nil && !item.VM.ID.IsZero() {
			bad = once(&u.vmIDs, item.VM.ID, item.Line, "vm.id")
		}
	case item.Tenant != nil:
		if !item.Tenant.ID.IsZero() {
			bad = once(&u.tenants, item.Tenant.ID, item.Line, "tenant.id")
		}
		if bad == nil && item.Tenant.Name != nil {
			bad = once(&u.tenantNames, *item.Tenant.Name, item.Line, "tenant.name")
		}
	case item.SVM != nil && !item.SVM.ID.IsZero():
		bad = once(&u.svms, item.SVM.ID, item.Line, "svm.id")
	case item.SVM != nil:
		bad = once(&u.svmNames, *item.SVM.Name, item.Line, "svm.name")
	}
	if bad != nil {
		*item = Item{Line: item.Line, Err: bad}
	}
}

func once[K interface {
	comparable
}](seen *map[K]int32, key K, line int, field string) *Error {
	if first, doubled := (*seen)[key]; doubled {
		return failure(line, field, "%v is on line %d already; one file can name it only once", key, first)
	}
	if *seen == nil {
		*seen = make(map[K]int32)
	}
	(*seen)[key] = int32(line)
	return nil
}
