// Package audit writes down who changed what: an event "admin.…" in the same change,
// so that neither is ever there without the other.
//
// What an object was before and what it is after are told by the fields that differ.
// A write that changes nothing is not told, or a script that writes its inventory every
// night would push everything else out; one who switches a tenant is always told, even
// if it was so already.
package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/svmgate/svmgate/store"
)

// Who is somebody who changes something: an account, and the address it came from. An
// address that is not known is empty, and so is an account where the gateway acts by
// itself.
type Who struct{ Account, Address string }

// An Entry is one administrative action.
type Entry struct {
	Type    string // of the event, without "admin."
	Message string // what was done, such as `changed tenant "acme"`

	// What it concerns, if it is one of these.
	Tenant store.TenantID
	VM     store.BIOSID
	SVM    store.SVMID

	// Before and After are what it was and what it is, as JSON shows it: nil if there
	// was nothing, or is nothing any more.
	Before, After any

	Always bool // told even if nothing changed
}

// Note writes an entry into the change that makes it true. It tells only the fields
// that differ, and nothing at all if an object is as before.
func Note(tx *store.Tx, who Who, e Entry) error {
	before, err := fields(e.Before)
	if err != nil {
		return err
	}
	after, err := fields(e.After)
	if err != nil {
		return err
	}
	if before != nil && after != nil {
		maps.DeleteFunc(before, func(name string, v json.RawMessage) bool {
			same := bytes.Equal(after[name], v)
			if same {
				delete(after, name)
			}
			return same
		})
		if len(before)+len(after) == 0 && !e.Always {
			return nil
		}
	}
	event := store.Event{
		ID: store.NewEventID(), Type: "admin." + e.Type, Message: shorten(e.Message, store.MaxMessage),
		Tenant: e.Tenant, VM: e.VM, SVM: e.SVM, Actor: who.Account, From: who.Address,
	}
	if event.Before, err = evidence(before); err != nil {
		return err
	}
	if event.After, err = evidence(after); err != nil {
		return err
	}
	_, err = tx.Emit(event)
	return err
}

// untold are fields that follow from others, or say only that something was written.
var untold = []string{"updated", "revision"}

// fields returns the members of an object as JSON shows it; nil for nil.
func fields(object any) (map[string]json.RawMessage, error) {
	if object == nil {
		return nil, nil
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	for _, name := range untold {
		delete(all, name)
	}
	return all, nil
}

// maxField bounds what is told of one field, in bytes: user data may be 64 KiB.
const maxField = 2 << 10

// evidence writes fields as JSON, with long values replaced by how long they are.
func evidence(all map[string]json.RawMessage) (json.RawMessage, error) {
	if all == nil {
		return nil, nil
	}
	for name, value := range all {
		if len(value) > maxField {
			all[name] = fmt.Appendf(nil, `"… %d bytes"`, len(value))
		}
	}
	out, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if len(out) > store.MaxEvidence {
		return fmt.Appendf(nil, `{"…":"%d fields, %d bytes"}`, len(all), len(out)), nil
	}
	return out, nil
}

// shorten cuts text to so many bytes, in whole characters.
func shorten(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:most-len(more)], "") + more
}
