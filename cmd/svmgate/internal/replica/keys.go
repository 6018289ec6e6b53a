package replica

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Bounds of a key file.
const (
	maxKeys    = 16
	maxKeyFile = 16 << 10 // bytes, comments included
)

// ReadKeys reads a key file: 16, 24 or 32 bytes in base64 on a line; the first key
// encrypts, all decrypt. Empty lines and lines that begin with # are passed over.
// The error names file, line and remedy, and never shows a key.
func ReadKeys(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the file can not be read: %w", reason(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file can not be read: %w", reason(err))
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others may read the keys (mode %#o): chmod 600 %s", info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file can not be read: %w", reason(err))
	case len(text) > maxKeyFile:
		return nil, fmt.Errorf("has more than %d bytes", maxKeyFile)
	}
	return parseKeys(string(text))
}

// reason is what an error of the file system says without the path.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func parseKeys(text string) (keys [][]byte, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		switch {
		case err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32:
			return nil, fmt.Errorf("line %d is not a key: want 16, 24 or 32 bytes in base64, as svmgate cluster keys generate makes them", n)
		case slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }):
			return nil, fmt.Errorf("line %d has a key that stands there already", n)
		case len(keys) == maxKeys:
			return nil, fmt.Errorf("line %d: there are more than %d keys", n, maxKeys)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("has no key; svmgate cluster keys generate makes one")
	}
	return keys, nil
}

// saveKeys writes a key file anew.
func saveKeys(path string, keys [][]byte) error {
	var text bytes.Buffer
	fmt.Fprintln(&text, "# Written by svmgate cluster keys. The first key encrypts, all decrypt.")
	for _, key := range keys {
		fmt.Fprintln(&text, base64.StdEncoding.EncodeToString(key))
	}
	return writeFile(path, text.Bytes())
}
