package protection

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// MaxPiece bounds what one gateway asks another at once of a report, in bytes.
const MaxPiece = 192 << 10

// A question for a piece of a report is its id, where the piece begins and how long it
// may be; the answer is whether there is such a report, how long it is, and the piece.
const (
	questionLength = 16 + 8 + 4
	answerHead     = 1 + 8

	pieceThere = 1
	pieceGone  = 2
)

// errNonsense is what a question or an answer is that can not be understood.
var errNonsense = errors.New("protection: a gateway of another release asks or answers what is not understood")

// Answer answers another gateway that asks for a piece of a report.
func (f *Files) Answer(question []byte) ([]byte, error) {
	if len(question) != questionLength {
		return nil, errNonsense
	}
	r, err := f.Open(uuid.UUID(question[:16]))
	if errors.Is(err, ErrNoReport) {
		return []byte{pieceGone}, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	from, length := binary.BigEndian.Uint64(question[16:]), min(binary.BigEndian.Uint32(question[24:]), MaxPiece)
	if from > uint64(r.Size()) {
		return nil, errNonsense
	}
	answer := make([]byte, answerHead, answerHead+int(length))
	answer[0] = pieceThere
	binary.BigEndian.PutUint64(answer[1:], uint64(r.Size()))
	n, err := r.ReadAt(answer[answerHead:cap(answer)], int64(from))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return answer[:answerHead+n], nil
}

// ErrAway is wrapped by the error for a gateway that can not be asked for its report.
var ErrAway = errors.New("the gateway that has the report does not answer")

// An Ask puts a question to another gateway, where [Files.Answer] answers it.
type Ask func(question []byte) ([]byte, error)

// A distant report is with another gateway.
type distant struct {
	ask  Ask
	id   uuid.UUID
	size int64

	piece []byte // the last one
	at    int64
}

// OpenDistant returns a report that another gateway has. The error, as later that of
// reading, wraps [ErrNoReport] or [ErrAway], or says that an answer can not be understood.
func OpenDistant(ask Ask, id uuid.UUID) (Report, error) {
	r := &distant{ask: ask, id: id, size: -1}
	if err := r.fetch(0, 0); err != nil {
		return nil, err
	}
	return r, nil
}

// fetch asks for a piece.
func (r *distant) fetch(from int64, length int) error {
	question := append([]byte(nil), r.id[:]...)
	question = binary.BigEndian.AppendUint64(question, uint64(from))
	question = binary.BigEndian.AppendUint32(question, uint32(length))
	answer, err := r.ask(question)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrAway, err)
	case len(answer) == 1 && answer[0] == pieceGone:
		return ErrNoReport
	case len(answer) < answerHead || answer[0] != pieceThere:
		return errNonsense
	}
	size, piece := int64(binary.BigEndian.Uint64(answer[1:])), answer[answerHead:]
	if size < 0 || r.size >= 0 && size != r.size || int64(len(piece)) != min(int64(length), size-from) {
		return fmt.Errorf("%w: %d bytes from %d, %d were wanted, the report has %d", errNonsense, len(piece), from, length, size)
	}
	r.size, r.piece, r.at = size, piece, from
	return nil
}

// ReadAt implements [io.ReaderAt]. It asks for pieces of [MaxPiece].
func (r *distant) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		if at < r.at || at >= r.at+int64(len(r.piece)) {
			err = r.fetch(at, int(min(MaxPiece, r.size-at)))
			if err != nil {
				break
			}
		}
		n += copy(p[n:], r.piece[at-r.at:])
	}
	return n, err
}

// Close implements [io.Closer].
func (r *distant) Close() error { return nil }

// Size implements [Report].
func (r *distant) Size() int64 { return r.size }
