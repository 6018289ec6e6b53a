package inventory

import (
	"bytes"
	"fmt"
	"io"
	"os"

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
	s, err := spool(r, most, opt.TempDir)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	return apply(t, opt, func(skim bool, fn func(Item) error) error {
		text, err := s.open()
		if err != nil {
			return err
		}
		return read(text, f, skim, fn)
	})
}

// A spooled input can be read more than once.
type spooled struct {
	head []byte
	file *os.File // the rest; nil if there is none
}

// spool reads all of r, keeping MaxMemory bytes in memory and more in a file.
func spool(r io.Reader, most int64, dir string) (*spooled, error) {
	head, err := io.ReadAll(io.LimitReader(r, min(most, MaxMemory)+1))
	if err != nil {
		return nil, err
	}
	s := &spooled{head: head}
	if int64(len(head)) > most {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	}
	if len(head) <= MaxMemory {
		return s, nil
	}
	if s.file, err = os.CreateTemp(dir, "svmgate-import-*"); err != nil {
		return nil, fmt.Errorf("keep the inventory in a temporary file: %w", err)
	}
	rest := most - int64(len(head))
	n, err := io.Copy(s.file, io.LimitReader(r, rest+1))
	if err == nil && n > rest {
		err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *spooled) open() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.head), nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(s.head), s.file), nil
}

func (s *spooled) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}
