package adminapi

import (
	"bufio"
	"errors"
	"io"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
)

// downloadBuffer is how much of a download is made before the client takes it, in bytes.
const downloadBuffer = 64 << 10

// download answers what write writes, in chunks. What fails at once is still answered as
// an error; what fails later closes the connection before the last chunk, so that nobody
// takes it for the end. Write ends when the client has gone: then writing fails, with
// [io.ErrClosedPipe].
func (c *call) download(write func(io.Writer) error) error {
	from, to := io.Pipe()
	go func() { _ = to.CloseWithError(write(to)) }() // which never fails
	body := download{bufio.NewReaderSize(from, downloadBuffer), from}
	if _, err := body.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	fence.Send(c.ctx, body, -1)
	return nil
}

// A download is the body of an answer. Closing it ends who writes it.
type download struct {
	*bufio.Reader
	io.Closer
}
