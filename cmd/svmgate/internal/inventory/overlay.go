package inventory

import (
	"reflect"

	"github.com/svmgate/svmgate/store"
)

// Overlay lays over on top of items: what over says of a tenant, an SVM or a VM
// replaces what items say of it, to any depth, and lists as a whole. A tenant or
// SVM of over is the one of items with its id or, failing that, its name; a VM
// the one with its BIOS ID. What items do not have is appended. Neither argument
// is changed.
func Overlay(items, over []Item) []Item {
	out := make([]Item, len(items), len(items)+len(over))
	tenants, svms := make(map[any]int), make(map[any]int)
	vms := make(map[store.BIOSID]int)
	for i, item := range items {
		switch out[i] = item; {
		case item.Tenant != nil:
			out[i].Tenant = clone(item.Tenant)
			note(tenants, i, item.Tenant.ID, item.Tenant.Name)
		case item.SVM != nil:
			out[i].SVM = clone(item.SVM)
			note(svms, i, item.SVM.ID, item.SVM.Name)
		case item.VM != nil:
			out[i].VM = clone(item.VM)
			vms[item.VM.BIOS] = i
		}
	}
	for _, item := range over {
		found, at := false, 0
		switch {
		case item.Tenant != nil:
			if at, found = lookup(tenants, item.Tenant.ID, item.Tenant.Name); found {
				patch(out[at].Tenant, item.Tenant)
			}
		case item.SVM != nil:
			if at, found = lookup(svms, item.SVM.ID, item.SVM.Name); found {
				patch(out[at].SVM, item.SVM)
			}
		case item.VM != nil:
			if at, found = vms[item.VM.BIOS]; found {
				patch(out[at].VM, item.VM)
			}
		}
		if !found {
			out = append(out, item)
		}
	}
	return out
}

func note[ID comparable](index map[any]int, at int, id ID, name *string) {
	index[id] = at
	if name != nil {
		index[*name] = at
	}
}

func lookup[ID comparable](index map[any]int, id ID, name *string) (int, bool) {
	var none ID
	if id != none {
		if at, ok := index[id]; ok {
			return at, true
		}
	}
	if name == nil {
		return 0, false
	}
	at, ok := index[*name]
	return at, ok
}

// clone copies r and the objects within it, so that patch changes only the copy.
func clone[T any](r *T) *T {
	out := new(T)
	patch(out, r)
	return out
}

func patch[T any](at, from *T) {
	patchValue(reflect.ValueOf(at).Elem(), reflect.ValueOf(from).Elem())
}

// patchValue sets the fields of at that from has set. Fields are pointers, nil
// where they say nothing, or ids; pointers to the objects of this package are
// followed.
func patchValue(at, from reflect.Value) {
	for i := range from.NumField() {
		a, f := at.Field(i), from.Field(i)
		switch {
		case f.IsZero():
		case f.Kind() == reflect.Pointer && isObject(f.Type().Elem()):
			next := reflect.New(f.Type().Elem())
			if !a.IsNil() {
				next.Elem().Set(a.Elem())
			}
			patchValue(next.Elem(), f.Elem())
			a.Set(next)
		default:
			a.Set(f)
		}
	}
}

func isObject(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[Discovery](), reflect.TypeFor[Administration](), reflect.TypeFor[License](), reflect.TypeFor[Path]():
		return true
	}
	return false
}
