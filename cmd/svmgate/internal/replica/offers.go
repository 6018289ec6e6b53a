package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/svmgate/svmgate/store"
)

const (
	offersPrefix = "offers-"
	partial      = ".partial"
)

// SaveOffers writes down in a data directory what this gateway wrote to a table
// after since, and what is in the future: what nobody else has. It is for a table
// that is about to be set aside.
func SaveOffers(t *store.Table, dir string, since, now time.Time) (n int, err error) {
	path := filepath.Join(dir, offersPrefix+now.UTC().Format("20060102T150405.000000000Z"))
	f, err := os.OpenFile(path+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = t.WriteOffers(f, since, now)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil || n == 0 {
		return 0, errors.Join(err, os.Remove(path+partial))
	}
	return n, errors.Join(os.Rename(path+partial, path), syncDir(dir))
}

// TakeOffers brings in, as if it were written now, whatever is written down in a
// data directory. What can not be read stays there, and is logged.
func TakeOffers(t *store.Table, dir string, log *slog.Logger) error {
	paths, err := offersOf(dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		took, err := takeFile(t, path)
		if errors.Is(err, store.ErrOffers) {
			log.Error("what this gateway wrote while it was away can not be brought in", "file", path, "reason", err.Error())
			continue
		}
		if err == nil {
			err = errors.Join(os.Remove(path), syncDir(dir))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		log.Info("what this gateway wrote while it was away is brought in", "records", took.Records, "taken", took.Taken)
	}
	return nil
}

// offersOf returns the files that are written down, in the order of their times.
func offersOf(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), offersPrefix) && !strings.HasSuffix(e.Name(), partial) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

func takeFile(t *store.Table, path string) (store.Offers, error) {
	f, err := os.Open(path)
	if err != nil {
		return store.Offers{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return store.Offers{}, err
	}
	return t.TakeOffers(f, info.Size())
}

// isEmpty reports whether a table has no record that others could miss.
func isEmpty(t *store.Table) bool {
	var d [store.Buckets]uint64
	t.Digest(&d)
	return !slices.ContainsFunc(d[:], func(sum uint64) bool { return sum != 0 })
}
