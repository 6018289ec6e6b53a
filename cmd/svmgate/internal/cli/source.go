package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// A source is an inventory or a backup whose size is known before it is sent: the
// gateway applies one only if as much arrives as was announced.
type source struct {
	*os.File
	size      int64 // bytes
	temporary bool
}

// openSource opens the file, or keeps in a temporary one what has no size: a
// pipe, and standard input, which is called "-". The disk bounds it.
func openSource(stdin io.Reader, name string) (*source, error) {
	if name == "-" {
		return keep(stdin, "standard input")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	about, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	if about.Mode().IsRegular() {
		return &source{File: file, size: about.Size()}, nil
	}
	defer file.Close()
	return keep(file, name)
}

func keep(r io.Reader, name string) (*source, error) {
	file, err := os.CreateTemp("", "svmgate-*")
	if err != nil {
		return nil, fmt.Errorf("keep %s in a temporary file: %w", name, err)
	}
	s := &source{File: file, temporary: true}
	// At once, so that nothing stays behind if this is killed; a system that does
	// not remove open files leaves it to Close.
	_ = os.Remove(file.Name())
	if s.size, err = io.Copy(file, r); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("keep %s in the temporary file %s: %w", name, file.Name(), err)
	}
	return s, nil
}

// upload sends from as the body of r, and shows how far that is: first what was
// sent, then that the gateway works on it.
func (c *connection) upload(cmd *cobra.Command, from *source, r request) ([]byte, error) {
	p := showProgress(cmd, "sending")
	defer p.end()
	r.body, r.size, r.timeout = &watched{Reader: from, p: p, size: from.size, then: "applying"}, from.size, transferTimeout
	return c.do(cmd.Context(), r)
}

// Close also removes a temporary file; it may be called twice.
func (s *source) Close() error {
	err := s.File.Close()
	if s.temporary {
		_ = os.Remove(s.Name())
	}
	return err
}
