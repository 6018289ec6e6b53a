package adminapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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
	if int64(c.ctx.Request.Header.ContentLength()) > a.maxImport {
		return importTooLarge(a.maxImport)
	}
	body := &importBody{from: c.ctx.RequestBodyStream()}
	if body.from == nil {
		body.from = bytes.NewReader(c.ctx.Request.Body())
	}
	result, err := inventory.Load(a.table, body, format, opt)
	var broken *inventory.Error
	switch {
	case err == nil:
		return c.answer(200, result)
	case errors.Is(err, inventory.ErrTooLarge):
		return importTooLarge(a.maxImport)
	case body.err != nil:
		return refuse(400, "invalid_body", "the body ended early; nothing was changed: "+body.err.Error())
	case errors.As(err, &broken):
		return refuse(400, "invalid_inventory", "nothing was changed: "+broken.Error())
	case errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrFull):
		return refuse(507, "import_stopped", fmt.Sprintf("stopped after %d changed and %d unchanged records; "+
			"importing the whole again later goes on from there: %v", result.Changed, result.Unchanged, err))
	}
	return err
}

func importTooLarge(limit int64) error {
	return refuse(413, "body_too_large", fmt.Sprintf("the inventory is larger than %d bytes; nothing was changed; import it in parts", limit))
}

// importBody remembers whether the connection was to blame for an error.
type importBody struct {
	from io.Reader
	err  error
}

func (b *importBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
