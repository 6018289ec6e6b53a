package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// Directories of what was set aside are named by the time in UTC. One that is not
// finished has partial behind that.
const (
	asidePrefix = "aside-"
	asideTime   = "20060102T150405.000Z"
	keptAsides  = 2
)

// SetAside moves what a table has in a data directory, which nobody has open, into
// a new directory in it, aside-<time>, and returns the path of that; empty if there
// was nothing. What is left OpenDir takes for new. The newest two such directories
// are kept, older ones are removed. A directory that was set aside is a data
// directory like any other.
//
// A crash leaves a directory that OpenDir takes for what it was, or of which it sets
// aside the rest first. SetAside may be repeated at any time.
func SetAside(dir string) (string, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	path, err := setAside(dir)
	if err != nil {
		return "", fmt.Errorf("store: set %s aside: %w", dir, err)
	}
	return path, nil
}

func setAside(dir string) (string, error) {
	names, err := readNames(dir)
	if err != nil {
		return "", err
	}
	unfinished := unfinishedAside(names)
	if unfinished != "" && slices.Contains(names, formatName) && exists(filepath.Join(dir, unfinished, formatName)) {
		// All of the one before was moved, and what is here came after.
		if _, err := finishAside(dir, unfinished); err != nil {
			return "", err
		}
		unfinished = ""
	}
	if unfinished == "" {
		if !slices.ContainsFunc(names, isOurs) {
			return "", nil
		}
		unfinished = newAside(names) + partial
		if err := errors.Join(os.Mkdir(filepath.Join(dir, unfinished), 0o700), syncDir(dir)); err != nil {
			return "", err
		}
	}
	return moveAside(dir, unfinished, names)
}

// moveAside moves what is ours into an unfinished directory, and finishes it. The
// file without which OpenDir does not take a directory for what it was goes first.
func moveAside(dir, unfinished string, names []string) (string, error) {
	to := filepath.Join(dir, unfinished)
	if slices.Contains(names, formatName) {
		err := os.Rename(filepath.Join(dir, formatName), filepath.Join(to, formatName))
		if err := errors.Join(err, syncDir(to), syncDir(dir)); err != nil {
			return "", err
		}
	}
	for _, name := range names {
		if name == formatName || !isOurs(name) {
			continue
		}
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(to, name)); err != nil {
			return "", err
		}
	}
	return finishAside(dir, unfinished)
}

// finishAside gives a directory to which all was moved its name, and removes those
// that are too many.
func finishAside(dir, unfinished string) (string, error) {
	path := filepath.Join(dir, strings.TrimSuffix(unfinished, partial))
	err := errors.Join(syncDir(path+partial), syncDir(dir))
	if err == nil {
		err = os.Rename(path+partial, path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return "", err
	}
	names, err := readNames(dir) // in the order of their times
	asides := slices.DeleteFunc(names, func(name string) bool { return !isAside(name) })
	for len(asides) > keptAsides {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, asides[0])))
		asides = asides[1:]
	}
	return path, err
}

// resumeAside sets the rest aside in a directory where that was cut short.
func resumeAside(dir string, names []string) error {
	unfinished := unfinishedAside(names)
	if unfinished == "" {
		return nil
	}
	_, err := moveAside(dir, unfinished, names)
	return err
}

func unfinishedAside(names []string) string {
	i := slices.IndexFunc(names, func(name string) bool {
		whole, unfinished := strings.CutSuffix(name, partial)
		return unfinished && isAside(whole)
	})
	if i < 0 {
		return ""
	}
	return names[i]
}

func isAside(name string) bool {
	_, ok := asideAt(name)
	return ok
}

// asideAt returns when a directory was set aside, by its name.
func asideAt(name string) (time.Time, bool) {
	text, ok := strings.CutPrefix(name, asidePrefix)
	at, err := time.Parse(asideTime, text)
	return at, ok && err == nil
}

// newAside returns the name for a new directory, by its time later than the others.
func newAside(names []string) string {
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, name := range names {
		if at, ok := asideAt(strings.TrimSuffix(name, partial)); ok && !at.Before(now) {
			now = at.Add(time.Millisecond)
		}
	}
	return asidePrefix + now.Format(asideTime)
}

// isOurs reports whether a file of a data directory belongs to the table.
func isOurs(name string) bool {
	whole := strings.TrimSuffix(name, partial)
	_, segment := wal.SegmentNumber(name)
	_, snapshot := snapshotNumber(whole)
	return segment || snapshot || whole == formatName
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
