package inventory

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/svmgate/svmgate/store"
)

// fields says, for each field of a T, how its value is read into it.
type fields[T any] map[string]func(*T, value) *Error

// decode reads the object v into a T.
func (f fields[T]) decode(into *T, v value) *Error {
	if v.bad != nil {
		return v.bad
	}
	if v.kind != kindObject {
		return failure(v.line, "", "%s stands where an object must", v.what())
	}
	for i, name := range v.keys {
		set, known := f[name]
		if !known {
			return failure(v.items[i].line, name, "is not a known field; there are %s", strings.Join(slices.Sorted(maps.Keys(f)), ", "))
		}
		if v.items[i].kind == kindNull {
			return failure(v.items[i].line, name, `is null; leave it out, or empty it with ""`)
		}
		if err := set(into, v.items[i]); err != nil {
			return err.in(name)
		}
	}
	return nil
}

var tenantFields = fields[Tenant]{
	"id":          tenantID,
	"name":        func(t *Tenant, v value) *Error { return setName(&t.Name, v) },
	"description": func(t *Tenant, v value) *Error { return setText(&t.Description, v) },
	"type":        func(t *Tenant, v value) *Error { return setWord(&t.Type, v) },
	"status":      func(t *Tenant, v value) *Error { return setWord(&t.Status, v) },
	"userData":    func(t *Tenant, v value) *Error { return setText(&t.UserData, v) },
	"subnets":     func(t *Tenant, v value) *Error { return setList(&t.Subnets, v, text) },
	"discovery":   func(t *Tenant, v value) *Error { return setObject(&t.Discovery, v, discoveryFields) },
	"administration": func(t *Tenant, v value) *Error {
		return setObject(&t.Administration, v, administrationFields)
	},
	"created":  readOnly[Tenant],
	"updated":  readOnly[Tenant],
	"revision": readOnly[Tenant],
}

var discoveryFields = fields[Discovery]{
	"algorithm":    func(d *Discovery, v value) *Error { return setWord(&d.Algorithm, v) },
	"path":         func(d *Discovery, v value) *Error { return setWord(&d.Path, v) },
	"load":         func(d *Discovery, v value) *Error { return setWord(&d.Load, v) },
	"tag":          func(d *Discovery, v value) *Error { return setText(&d.Tag, v) },
	"protection":   func(d *Discovery, v value) *Error { return setBool(&d.Protection, v) },
	"agentVersion": func(d *Discovery, v value) *Error { return setText(&d.AgentVersion, v) },
	"locked":       func(d *Discovery, v value) *Error { return setBool(&d.Locked, v) },
}

var administrationFields = fields[Administration]{
	"server":  func(a *Administration, v value) *Error { return setText(&a.Server, v) },
	"address": func(a *Administration, v value) *Error { return setText(&a.Address, v) },
	"user":    func(a *Administration, v value) *Error { return setText(&a.User, v) },
}

var svmFields = fields[SVM]{
	"id":                  svmID,
	"name":                func(s *SVM, v value) *Error { return setName(&s.Name, v) },
	"address":             func(s *SVM, v value) *Error { return setText(&s.Address, v) },
	"tags":                func(s *SVM, v value) *Error { return setList(&s.Tags, v, text) },
	"tenants":             func(s *SVM, v value) *Error { return setList(&s.Tenants, v, tenantRef) },
	"capacity":            func(s *SVM, v value) *Error { return setNumber(&s.Capacity, v) },
	"hardCap":             func(s *SVM, v value) *Error { return setNumber(&s.HardCap, v) },
	"pinned":              func(s *SVM, v value) *Error { return setBool(&s.Pinned, v) },
	"state":               func(s *SVM, v value) *Error { return setWord(&s.State, v) },
	"version":             func(s *SVM, v value) *Error { return setText(&s.Version, v) },
	"platform":            func(s *SVM, v value) *Error { return setWord(&s.Platform, v) },
	"path":                func(s *SVM, v value) *Error { return setObject(&s.Path, v, pathFields) },
	"largeInfrastructure": func(s *SVM, v value) *Error { return setBool(&s.LargeInfra, v) },
	"license":             func(s *SVM, v value) *Error { return setObject(&s.License, v, licenseFields) },
	"encryption":          func(s *SVM, v value) *Error { return setBool(&s.Encryption, v) },
	"allowUnprotected":    func(s *SVM, v value) *Error { return setBool(&s.AllowUnprotected, v) },
	"kinds":               func(s *SVM, v value) *Error { return setList(&s.Kinds, v, word[store.AgentKind]) },
	"connectedAgents":     func(s *SVM, v value) *Error { return setNumber(&s.ConnectedAgents, v) },
	"drain":               readOnlyObject[SVM],
	"lastReport":          readOnly[SVM],
	"revision":            readOnly[SVM],
}

var licenseFields = fields[License]{
	"state":   func(l *License, v value) *Error { return setWord(&l.State, v) },
	"key":     func(l *License, v value) *Error { return setWord(&l.Key, v) },
	"edition": func(l *License, v value) *Error { return setWord(&l.Edition, v) },
	"expires": func(l *License, v value) *Error { return setWord(&l.Expires, v) },
}

var pathFields = fields[Path]{
	"host":    func(p *Path, v value) *Error { return setText(&p.Host, v) },
	"cluster": func(p *Path, v value) *Error { return setText(&p.Cluster, v) },
	"zone":    func(p *Path, v value) *Error { return setText(&p.Zone, v) },
}

var vmFields = fields[VM]{
	"biosId":   func(m *VM, v value) *Error { return setID((*[16]byte)(&m.BIOS), v) },
	"id":       func(m *VM, v value) *Error { return setID((*[16]byte)(&m.ID), v) },
	"tenant":   func(m *VM, v value) *Error { return setScalar(&m.Tenant, v, tenantRef) },
	"name":     func(m *VM, v value) *Error { return setText(&m.Name, v) },
	"userData": func(m *VM, v value) *Error { return setText(&m.UserData, v) },
	"os":       func(m *VM, v value) *Error { return setWord(&m.OS, v) },
	"kind":     func(m *VM, v value) *Error { return setWord(&m.Kind, v) },
	"version":  func(m *VM, v value) *Error { return setText(&m.Version, v) },
	"path":     func(m *VM, v value) *Error { return setObject(&m.Path, v, pathFields) },
	"created":  readOnly[VM],
	"updated":  readOnly[VM],
	"revision": readOnly[VM],
}

func tenantID(t *Tenant, v value) *Error { return setID((*[16]byte)(&t.ID), v) }
func svmID(s *SVM, v value) *Error       { return setID((*[16]byte)(&s.ID), v) }

// readOnly accepts what the API shows of a T and nobody may set.
func readOnly[T any](_ *T, v value) *Error {
	if v.kind == kindList || v.kind == kindObject {
		return failure(v.line, "", "%s stands where text must", v.what())
	}
	return nil
}

func readOnlyObject[T any](_ *T, v value) *Error {
	if v.kind != kindObject {
		return failure(v.line, "", "%s stands where an object must", v.what())
	}
	return nil
}

func setScalar[T any](at **T, v value, read func(value) (T, *Error)) *Error {
	got, err := read(v)
	if err == nil {
		*at = &got
	}
	return err
}

func setText(at **string, v value) *Error { return setScalar(at, v, text) }

func setWord[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](at **T, v value) *Error {
	return setScalar(at, v, word[T, P])
}

func setBool(at **bool, v value) *Error {
	return setScalar(at, v, func(v value) (bool, *Error) {
		if v.kind != kindBool && v.kind != kindPlain || v.text != "true" && v.text != "false" {
			return false, failure(v.line, "", "%s is not true or false", v.what())
		}
		return v.text == "true", nil
	})
}

func setNumber(at **int, v value) *Error {
	return setScalar(at, v, func(v value) (int, *Error) {
		n, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind != kindNumber && v.kind != kindPlain || err != nil || n < 0 || n > math.MaxInt32 || strconv.FormatInt(n, 10) != v.text {
			return 0, failure(v.line, "", "%s is not a whole number from 0 to %d", v.what(), math.MaxInt32)
		}
		return int(n), nil
	})
}

// setName is setText for what identifies: it can not be empty.
func setName(at **string, v value) *Error {
	if err := setText(at, v); err != nil {
		return err
	}
	if **at == "" {
		return failure(v.line, "", "is empty; give a name")
	}
	return nil
}

func setObject[T any](at **T, v value, f fields[T]) *Error {
	var got T
	if err := f.decode(&got, v); err != nil {
		return err
	}
	*at = &got
	return nil
}

func setList[T any](at **[]T, v value, read func(value) (T, *Error)) *Error {
	if v.kind != kindList {
		return failure(v.line, "", "%s stands where a list must", v.what())
	}
	list := make([]T, 0, len(v.items))
	for i, item := range v.items {
		got, err := read(item)
		if err != nil {
			return err.in(fmt.Sprintf("[%d]", i))
		}
		list = append(list, got)
	}
	*at = &list
	return nil
}

func setID(at *[16]byte, v value) *Error {
	s, bad := text(v)
	if bad != nil {
		return bad
	}
	id, err := store.ParseVMID(s)
	switch {
	case err != nil:
		return failure(v.line, "", "%s is not a UUID: 32 hexadecimal digits, with or without hyphens or braces", v.what())
	case id.IsZero():
		return failure(v.line, "", "is all zeros, which identifies nothing")
	}
	*at = id
	return nil
}

// text reads text. YAML writes text without quotes, so that version: 12.0 is
// text too, as written.
func text(v value) (string, *Error) {
	if v.kind != kindText && v.kind != kindPlain {
		return "", failure(v.line, "", "%s stands where text in quotes must", v.what())
	}
	return v.text, nil
}

// word reads what T itself reads: a word of a list, or a time.
func word[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](v value) (got T, bad *Error) {
	s, bad := text(v)
	if bad != nil {
		return got, bad
	}
	if err := P(&got).UnmarshalText([]byte(s)); err != nil {
		reason := err.Error()
		if len(s) > 60 {
			reason = fmt.Sprintf("%s is too long for this field", v.what())
		}
		return got, failure(v.line, "", "%s", reason)
	}
	return got, nil
}

func tenantRef(v value) (TenantRef, *Error) {
	s, bad := text(v)
	return ParseTenantRef(s), bad
}

var errNoKind = errors.New(`a record is {"tenant": {…}}, {"svm": {…}} or {"vm": {…}}`)

// decodeItem reads the value of a record that is called kind.
func decodeItem(kind string, v value) Item {
	item := Item{Line: v.line}
	var bad *Error
	switch kind {
	case "tenant":
		item.Tenant = new(Tenant)
		if bad = tenantFields.decode(item.Tenant, v); bad == nil && item.Tenant.ID.IsZero() && item.Tenant.Name == nil {
			bad = failure(v.line, "", "has neither id nor name")
		}
	case "svm":
		item.SVM = new(SVM)
		if bad = svmFields.decode(item.SVM, v); bad == nil && item.SVM.ID.IsZero() && item.SVM.Name == nil {
			bad = failure(v.line, "", "has neither id nor name")
		}
	case "vm":
		item.VM = new(VM)
		if bad = vmFields.decode(item.VM, v); bad == nil && item.VM.BIOS.IsZero() {
			bad = failure(v.line, "biosId", "is missing")
		}
	default:
		bad, kind = failure(v.line, kind, "%v", errNoKind), ""
	}
	if bad == nil {
		return item
	}
	if kind != "" {
		bad = bad.in(kind)
	}
	return Item{Line: v.line, Err: bad}
}
