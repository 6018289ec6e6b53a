package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// One change of the table, when the inventory is applied in several, has at
// most chunkRecords records of about chunkBytes: other writers wait that long,
// and the disk is asked that often.
const (
	chunkRecords = 4096
	chunkBytes   = 8 << 20
)

// Apply applies items to t: tenants first, then the others in their order. The
// rest is as with [Load].
func Apply(t *store.Table, items []Item, opt Options) (Result, error) {
	return apply(t, opt, func(_ bool, fn func(Item) error) error {
		for _, item := range items {
			if err := fn(item); err != nil {
				return err
			}
		}
		return nil
	})
}

// A pass hands all items of an inventory to fn, until fn fails. It can be made
// more than once. If skim is set, items other than tenants may be empty.
type pass func(skim bool, fn func(Item) error) error

// errUndo ends a change that must not happen.
var errUndo = errors.New("undo")

func apply(t *store.Table, opt Options, all pass) (Result, error) {
	a := applier{opt: opt, tenants: make(map[string]store.TenantID), svms: make(map[string]store.SVMID)}
	tenants, err := a.collect(all)
	if err != nil {
		return Result{}, err
	}
	a.index(t)
	if opt.Atomic || opt.DryRun {
		err = a.atOnce(t, tenants, all)
	} else {
		err = a.inChunks(t, tenants, all)
	}
	slices.SortStableFunc(a.result.Refused, func(x, y Refusal) int { return x.Line - y.Line })
	return a.result, err
}

// An applier carries one inventory into a table.
type applier struct {
	opt    Options
	once   unique
	result Result

	// Ids by name, of the table as it was and of the inventory. An SVM's is zero
	// if several have the name.
	tenants map[string]store.TenantID
	svms    map[string]store.SVMID

	// While a change goes on that makes no tenant other than it was, tenants are
	// found in view: a million VMs shall not decode a tenant each. Indexes are
	// those of names in it; they stay a tenant's own, so that a later view is
	// asked by the same ones. Otherwise view is nil.
	view    *store.View
	indexes map[string]int
}

// collect makes the first pass: it sees that the inventory can be read to its
// end, and returns its tenants, so that a record may refer to a later one.
func (a *applier) collect(all pass) (tenants []Item, err error) {
	records, size := 0, 0
	err = all(true, func(item Item) error {
		records++
		if records > MaxOneChange && (a.opt.Atomic || a.opt.DryRun) {
			return failure(item.Line, "", "the inventory has more than %d records, too many for an atomic or dry run; split it", MaxOneChange)
		}
		if item.Tenant == nil {
			return nil
		}
		if a.once.check(&item); item.Err != nil {
			a.result.refuse(item.Line, item.Err.text())
			return nil
		}
		if size += sizeOf(item); size > MaxTenantBytes {
			return failure(item.Line, "", "the tenants of the inventory have more than %d bytes; split it", MaxTenantBytes)
		}
		tenants = append(tenants, item)
		return nil
	})
	return tenants, err
}

func (a *applier) index(t *store.Table) {
	for _, tenant := range t.Tenants() {
		if _, doubled := a.tenants[tenant.Name]; !doubled { // the lowest id, as with TenantByName
			a.tenants[tenant.Name] = tenant.ID
		}
	}
	for _, svm := range t.SVMs() {
		if _, doubled := a.svms[svm.Name]; doubled {
			svm.ID = store.SVMID{}
		}
		a.svms[svm.Name] = svm.ID
	}
}

// lookInto lets tenants be found in the table's view.
func (a *applier) lookInto(t *store.Table) {
	a.view = t.View()
	if a.indexes != nil {
		return
	}
	a.indexes = make(map[string]int, a.view.NumTenants())
	for i := range a.view.NumTenants() {
		tenant := a.view.Tenant(i)
		if tenant == nil {
			continue
		}
		if other, doubled := a.indexes[tenant.Name]; doubled && bytes.Compare(a.view.Tenant(other).ID[:], tenant.ID[:]) < 0 {
			continue
		}
		a.indexes[tenant.Name] = i
	}
}

// rest makes the second pass: all that is no tenant.
func (a *applier) rest(all pass, fn func(Item) error) error {
	return all(false, func(item Item) error {
		if item.Tenant != nil {
			return nil
		}
		if a.once.check(&item); item.Err != nil {
			a.result.refuse(item.Line, item.Err.text())
			return nil
		}
		return fn(item)
	})
}

func (a *applier) atOnce(t *store.Table, tenants []Item, all pass) error {
	var n counts
	err := t.Update(func(tx *store.Tx) error {
		if len(tenants) == 0 {
			a.lookInto(t)
		}
		for _, item := range tenants {
			if err := a.item(tx, item, &n); err != nil {
				return err
			}
		}
		if err := a.rest(all, func(item Item) error { return a.item(tx, item, &n) }); err != nil {
			return err
		}
		if a.opt.Atomic && !a.result.OK() {
			n = counts{}
			return errUndo
		}
		if a.opt.DryRun {
			return errUndo
		}
		return nil
	})
	if err != nil && !errors.Is(err, errUndo) {
		return err
	}
	a.result.Changed, a.result.Unchanged = n.changed, n.unchanged
	return nil
}

func (a *applier) inChunks(t *store.Table, tenants []Item, all pass) error {
	var chunk []Item
	size, withTenants := 0, true
	flush := func() error {
		var n counts
		err := t.Update(func(tx *store.Tx) error {
			if !withTenants {
				a.lookInto(t)
			}
			for _, item := range chunk {
				if err := a.item(tx, item, &n); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			a.result.Changed += n.changed
			a.result.Unchanged += n.unchanged
		}
		chunk, size = chunk[:0], 0
		return err
	}
	add := func(item Item) error {
		chunk = append(chunk, item)
		if size += sizeOf(item); len(chunk) < chunkRecords && size < chunkBytes {
			return nil
		}
		return flush()
	}
	for _, item := range tenants {
		if err := add(item); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	withTenants = false
	if err := a.rest(all, add); err != nil {
		return err
	}
	return flush()
}

type counts struct{ changed, unchanged int }

// item applies one record. Its error is one of the table; what is wrong with
// the record becomes a refusal.
func (a *applier) item(tx *store.Tx, item Item, n *counts) error {
	var changed bool
	var err error
	kind := ""
	switch {
	case item.Tenant != nil:
		kind = "tenant"
		changed, err = a.tenant(tx, item.Tenant)
	case item.SVM != nil:
		kind = "svm"
		changed, err = a.svm(tx, item.SVM)
	case item.VM != nil:
		kind = "vm"
		changed, err = a.vm(tx, item.VM)
	default:
		err = failure(item.Line, "", "%v", errNoKind)
	}
	switch {
	case err != nil:
		return a.refusal(item.Line, kind, err)
	case changed:
		n.changed++
	default:
		n.unchanged++
	}
	return nil
}

// refusal notes what is wrong with a record of the kind, or returns err if it is
// not the record that is to blame.
func (a *applier) refusal(line int, kind string, err error) error {
	var field *store.FieldError
	var bad *Error
	switch {
	case errors.As(err, &field):
		a.result.refuse(line, kind+"."+field.Error())
	case errors.As(err, &bad):
		a.result.refuse(line, bad.text())
	case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrNotFound):
		a.result.refuse(line, err.Error())
	default:
		return fmt.Errorf("line %d: %w", line, err)
	}
	return nil
}

// sizeOf is about the memory that an item holds.
func sizeOf(item Item) int {
	n := 512
	text := func(s *string) {
		if s != nil {
			n += len(*s)
		}
	}
	texts := func(list *[]string) {
		if list != nil {
			for i := range *list {
				text(&(*list)[i])
				n += 16
			}
		}
	}
	switch {
	case item.Tenant != nil:
		text(item.Tenant.Description)
		text(item.Tenant.UserData)
		texts(item.Tenant.Subnets)
	case item.SVM != nil:
		texts(item.SVM.Tags)
		if item.SVM.Tenants != nil {
			n += 32 * len(*item.SVM.Tenants)
		}
	case item.VM != nil:
		text(item.VM.UserData)
	}
	return n
}
