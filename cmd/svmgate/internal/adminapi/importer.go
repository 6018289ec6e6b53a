package adminapi

import (
	"errors"
	"fmt"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/store"
)

// importInventory applies a body once it has arrived whole. What a record is
// refused for is part of the answer; only a body that is no inventory at all is
// an error.
func (a *API) importInventory(c *call) error {
	opt := inventory.Options{MaxBytes: a.maxImport}
	for _, p := range []struct {
		name string
		flag *bool
	}{{"atomic", &opt.Atomic}, {"with-status", &opt.WithStatus}, {"dry-run", &opt.DryRun}} {
		set, err := c.boolParameter(p.name)
		if err != nil {
			return err
		}
		*p.flag = set
	}
	format, err := inventory.FormatOf(string(c.ctx.Request.Header.ContentType()))
	if err != nil {
		return refuse(415, "unsupported_media_type", err.Error())
	}
	arriving := arrival{"inventory", a.maxImport, "import it in parts"}
	body, err := c.announced(arriving)
	if err != nil {
		return err
	}
	result, err := inventory.Load(a.table, body, format, opt)
	c.noteImport(result, opt)
	var broken *inventory.Error
	switch {
	case err == nil:
		return c.answer(200, result)
	case errors.Is(err, inventory.ErrTooLarge):
		return arriving.tooLarge()
	case body.Err != nil:
		return endedEarly(body.Err)
	case errors.As(err, &broken):
		return refuse(400, "invalid_inventory", "nothing was changed: "+broken.Error())
	case errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrFull):
		return refuse(507, "import_stopped", fmt.Sprintf("stopped after %d changed and %d unchanged records; "+
			"importing the whole again later goes on from there: %v", result.Changed, result.Unchanged, err))
	}
	return err
}

// noteImport tells of an import that changed something, even if it did not reach its end.
func (c *call) noteImport(r inventory.Result, opt inventory.Options) {
	if opt.DryRun || r.Changed == 0 {
		return
	}
	c.note(audit.Entry{
		Type: "import", Message: fmt.Sprintf("imported an inventory: %d records changed", r.Changed),
		After: map[string]any{
			"changed": r.Changed, "unchanged": r.Unchanged, "refused": len(r.Refused) + r.RefusedMore,
			"atomic": opt.Atomic, "withStatus": opt.WithStatus,
		},
	})
}

// An arrival is a body that is applied only if all of it arrives.
type arrival struct {
	thing  string // what it is called
	most   int64  // bytes it may have
	remedy string // if it has more
}

func (a arrival) tooLarge() error {
	return refuse(413, "body_too_large", fmt.Sprintf("the %s is larger than %d bytes; nothing was changed; %s", a.thing, a.most, a.remedy))
}

// announced returns the body, if it comes with its length.
func (c *call) announced(a arrival) (*fence.Body, error) {
	size := c.ctx.Request.Header.ContentLength()
	switch {
	case size < 0:
		return nil, refuse(411, "length_required", "send the "+a.thing+" with a Content-Length: "+
			"of a body in chunks it can not be told whether it arrived whole")
	case int64(size) > a.most:
		return nil, a.tooLarge()
	}
	return fence.BodyOf(c.ctx), nil
}

func endedEarly(err error) error {
	return refuse(400, "invalid_body", "the body ended early; nothing was changed: "+err.Error())
}
