package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/svmgate/svmgate/store"
)

type fileTarget struct{ path string }

// Lines returns a target that appends events to a file, as JSON, one a line. The file is
// made with mode 0600. It is opened for each batch, so whoever moves it away or removes
// it need tell nobody.
func Lines(path string) Target { return fileTarget{path} }

// Name implements [Target].
func (fileTarget) Name() string { return "file" }

// Close implements [Target].
func (fileTarget) Close() error { return nil }

// Deliver implements [Target]. It takes all of the events or none: what was written of
// them is taken back, as far as that works, and they are on disk when it returns.
func (t fileTarget) Deliver(_ context.Context, events []store.Event) (int, error) {
	f, err := os.OpenFile(t.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	if err = errors.Join(appendEvents(f, events), f.Close()); err != nil {
		return 0, err
	}
	return len(events), nil
}

func appendEvents(f *os.File, events []store.Event) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", f.Name())
	}
	lines, err := appendJSON(nil, events)
	if err != nil {
		return err
	}
	last := []byte{'\n'}
	if info.Size() > 0 {
		if _, err := f.ReadAt(last, info.Size()-1); err != nil {
			return err
		}
	}
	if last[0] != '\n' { // a line that a crash cut off
		lines = append([]byte{'\n'}, lines...)
	}
	if _, err := f.Write(lines); err != nil {
		return errors.Join(err, f.Truncate(info.Size()))
	}
	return f.Sync()
}

// appendJSON appends events as JSON, each with a line feed.
func appendJSON(dst []byte, events []store.Event) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i := range events {
		if err := enc.Encode(&events[i]); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
