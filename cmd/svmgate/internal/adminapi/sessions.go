package adminapi

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strconv"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/store"
)

// Bounds of the sessions that an SVM tells of at once.
const (
	maxSessions     = 10_000
	maxSessionBytes = 2 << 20
)

// takeSessions writes down the sessions that an SVM tells of, one a line. A line that can
// not be taken is part of the answer, as with an import.
func (a *API) takeSessions(c *call) error {
	id, err := c.svmID()
	if err != nil {
		return err
	}
	lines, err := c.sessionLines()
	if err != nil {
		return err
	}
	if _, ok := a.table.SVM(id); !ok {
		return noSVM(id)
	}
	var result inventory.Result
	var sessions []protection.Session
	var numbers []int // of their lines
	for i, line := range lines {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		s, err := readSession(line)
		if err != nil {
			result.Refused = append(result.Refused, inventory.Refusal{Line: i + 1, Reason: err.Error()})
			continue
		}
		sessions, numbers = append(sessions, s), append(numbers, i+1)
	}
	news, refused, err := a.protection.Take(sessions)
	switch {
	case errors.Is(err, protection.ErrOff):
		return refuse(409, "collection_off", "periods of protection are not collected: start the gateways with --protection-reports")
	case errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrFull):
		return refuse(507, "sessions_stopped", fmt.Sprintf("stopped before the end; sending all of them again later is harmless: %v", err))
	case err != nil:
		return err
	}
	for i, why := range refused {
		switch {
		case why != nil:
			result.Refused = append(result.Refused, inventory.Refusal{Line: numbers[i], Reason: why.Error()})
		case news[i]:
			result.Changed++
		default:
			result.Unchanged++
		}
	}
	slices.SortFunc(result.Refused, func(x, y inventory.Refusal) int { return x.Line - y.Line })
	return c.answer(200, result)
}

// sessionLines returns the lines of a body.
func (c *call) sessionLines() ([][]byte, error) {
	header := string(c.ctx.Request.Header.ContentType())
	switch media, _, err := mime.ParseMediaType(header); {
	case err == nil && (media == "application/x-ndjson" || media == "application/ndjson"):
	case fence.IsJSON(c.ctx): // one session is JSON
	default:
		return nil, refuse(415, "unsupported_media_type", "the body must be application/x-ndjson, a session a line; Content-Type says "+strconv.Quote(header))
	}
	raw, err := fence.ReadBody(c.ctx, maxSessionBytes)
	if errors.Is(err, fence.ErrTooLarge) || bytes.Count(raw, []byte("\n")) > maxSessions {
		return nil, refuse(413, "body_too_large", fmt.Sprintf("at most %d sessions and %d bytes may be sent at once: send the others with another request",
			maxSessions, maxSessionBytes))
	}
	if err != nil {
		return nil, refuse(400, "invalid_body", err.Error())
	}
	return bytes.Split(raw, []byte("\n")), nil
}

func readSession(line []byte) (protection.Session, error) {
	var s protection.Session
	body, err := parseJSON(line)
	if err != nil {
		return s, err
	}
	from, to := store.Time{}, store.Time{}
	err = binding{"biosId": text(&s.VM, s.VM), "from": text(&from, from), "to": text(&to, to)}.bind(whole, body)
	if err == nil && (from.IsZero() || to.IsZero()) {
		err = errors.New("from and to must be given: of a session that goes on, to is now")
	}
	s.From, s.To = from.Time, to.Time
	return s, err
}
