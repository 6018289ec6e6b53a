package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	// silence is how long a stream may say nothing: gateways say something every 15 s.
	silence = 45 * time.Second
	// maxEventLine bounds a line of a stream, in bytes.
	maxEventLine = 1 << 20
)

// comeBack is how long to wait before a stream that ended is asked for again.
var comeBack = 2 * time.Second

// An outputError says that what came can not be written.
type outputError struct{ error }

// follow writes events as they come, until the command is interrupted. A stream that
// ends, as gateways restart, is gone on with where it was.
func (c *connection) follow(cmd *cobra.Command, query url.Values, names *namesOf) error {
	ctx, last := cmd.Context(), ""
	for {
		began, err := c.followOnce(cmd, query, names, &last)
		var refused *refusal
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // that is how it ends
		case errors.As(err, new(outputError)):
			return err
		case errors.As(err, &refused) && refused.Status != http.StatusServiceUnavailable && refused.Status != http.StatusTooManyRequests:
			return err
		case !began && last == "":
			return err
		case began:
			cmd.PrintErrf("svmgate: the stream of events has ended (%v); trying to go on\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(comeBack):
		}
	}
}

// followOnce reads one stream to its end. It reports whether there was one, and keeps
// the id of the last event.
func (c *connection) followOnce(cmd *cobra.Command, query url.Values, names *namesOf, last *string) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	silent := time.AfterFunc(silence, func() { cancel(errors.New("it is silent")) })
	defer silent.Stop()
	resp, err := c.ask(ctx, request{
		method: http.MethodGet, path: eventsPath, query: query, timeout: -1, accept: "text/event-stream", lastEvent: *last,
	})
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 4096), maxEventLine)
	id, said := *last, io.EOF
	for lines.Scan() {
		silent.Reset(silence)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			if c.output == "json" {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), value)
			} else {
				err = printEvent(ctx, cmd.OutOrStdout(), []byte(value), names)
			}
			if err != nil {
				return true, outputError{err}
			}
		case "id":
			id = value
		case "":
			if value != "" { // a comment
				said = errors.New(value)
			} else {
				*last = id // the event is complete
			}
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return true, cause
	}
	if lines.Err() != nil {
		return true, lines.Err()
	}
	return true, said
}
