package inventory

import (
	"errors"
	"fmt"
	"io"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/spool"
	"github.com/svmgate/svmgate/store"
)

// Load reads an inventory and applies it to t. A record that can not be used is
// refused and the others go on, unless [Options.Atomic]: then nothing is changed
// if any is refused, Changed and Unchanged are 0, and the error is nil. Loading
// the same inventory again changes nothing.
//
// An error means that not all was applied. It is an [*Error] if the document is
// broken, or wraps [ErrTooLarge], and then nothing was changed; it wraps one of
// the table's errors, such as [store.ErrReadOnly], or is one of reading r or of
// the temporary file. Result says what was applied before.
func Load(t *store.Table, r io.Reader, f Format, opt Options) (Result, error) {
	most := opt.MaxBytes
	if most == 0 {
		most = MaxBytes
	}
	kept, err := spool.Read(r, most, opt.TempDir)
	if errors.Is(err, spool.ErrTooLarge) {
		return Result{}, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	}
	if err != nil {
		return Result{}, err
	}
	defer kept.Close()
	return apply(t, opt, func(skim bool, fn func(Item) error) error {
		return read(kept.Open(), f, skim, fn)
	})
}
