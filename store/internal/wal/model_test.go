package wal

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// entry is what a caller has seen acknowledged.
type entry struct {
	segment uint64
	payload string
}

// model is a caller of a log on a disk that goes wrong in every way: what it was
// told to be on disk must be there, in order, with nothing between.
type model struct {
	disk     *disk
	log      *Log
	from     uint64
	entries  []entry
	doubtful string // neither acknowledged nor refused
	payloads int
}

func (m *model) append(t *rapid.T) {
	n := rapid.SampledFrom([]int{1, 20, 300, 500, 511, 512, 600, 1500, 4000}).Draw(t, "length")
	m.payloads++
	payload := string(rune('a'+m.payloads%26)) + strings.Repeat(string(rune('A'+m.payloads%26)), n-1)
	err := add(m.log, payload)
	switch {
	case err == nil:
		segments := m.log.Segments()
		m.entries = append(m.entries, entry{segments[len(segments)-1], payload})
	case errors.Is(err, ErrNotWritten):
	case !errors.Is(err, ErrBroken):
		t.Fatalf("Append = %v", err)
	case m.doubtful == "":
		m.doubtful = payload
	}
	m.check(t, err)
}

// check compares an error with the state of the log.
func (m *model) check(t *rapid.T, err error) {
	if fault := m.log.Fault(); (fault != nil) != errors.Is(err, ErrBroken) {
		t.Fatalf("%v, but Fault = %v", err, fault)
	}
	if m.log.Fault() != nil && m.doubtful == "" {
		m.doubtful = "none"
	}
}

func (m *model) rotate(t *rapid.T) {
	n, err := m.log.Rotate()
	m.check(t, err)
	if err != nil {
		return
	}
	for _, e := range m.entries {
		if e.segment >= n {
			t.Fatalf("Rotate = %d, but %d has a payload", n, e.segment)
		}
	}
}

func (m *model) remove(t *rapid.T) {
	segments := m.log.Segments()
	before := rapid.SampledFrom(append(segments, m.from)).Draw(t, "before")
	m.from = max(m.from, before)
	m.entries = slices.DeleteFunc(m.entries, func(e entry) bool { return e.segment < m.from })
	m.check(t, m.log.Remove(before))
}

func (m *model) closeLog(t *rapid.T) {
	before := m.log.Fault()
	if err := m.log.Close(); err != nil && !errors.Is(err, ErrNotWritten) && !errors.Is(err, ErrBroken) {
		t.Fatalf("Close = %v", err)
	}
	if before == nil && m.log.Fault() != nil {
		m.doubtful = "none"
	}
	m.restart(t)
}

func (m *model) powerFailure(t *rapid.T) {
	m.disk.crash()
	m.restart(t)
}

// restart opens the log, perhaps in vain at first.
func (m *model) restart(t *rapid.T) {
	m.disk.room = 1 << 40
	if op := rapid.SampledFrom([]string{"", "", "sync", "syncdir", "write", "truncate"}).Draw(t, "fails at the start"); op != "" {
		m.disk.failAt(rapid.IntRange(0, 2).Draw(t, "nth"), op, syscall.EIO)
		start(m.disk, m.from)
		if rapid.Bool().Draw(t, "the power goes again") {
			m.disk.crash()
		}
	}
	m.disk.fail = nil
	log, got, err := start(m.disk, m.from)
	if err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	n := len(m.entries)
	if len(got) == n+1 && got[n] == m.doubtful {
		segments := log.Segments()
		m.entries = append(m.entries, entry{segments[len(segments)-1], m.doubtful})
		n++
	}
	for i := range m.entries {
		if i >= len(got) || got[i] != m.entries[i].payload {
			t.Fatalf("%d of %d payloads come back; number %d is wrong", len(got), n, i)
		}
	}
	if len(got) != n {
		t.Fatalf("%d payloads come back, of %d", len(got), n)
	}
	m.log, m.doubtful = log, ""
}

func TestLogModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{disk: newDisk(), from: 1}
		m.disk.rand = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		m.restart(t)
		sometimes := func(do func(t *rapid.T)) func(t *rapid.T) {
			return func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "dice") == 0 {
					do(t)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append too": m.append, "append more": m.append,
			"rotate": m.rotate, "remove": m.remove,
			"close":         sometimes(m.closeLog),
			"power failure": sometimes(m.powerFailure),
			"kill":          sometimes(m.restart),
			"full disk": func(t *rapid.T) {
				m.disk.room = int64(rapid.IntRange(0, 5000).Draw(t, "room"))
			},
			"room again": func(*rapid.T) { m.disk.room = 1 << 40 },
			"failure to come": func(t *rapid.T) {
				op := rapid.SampledFrom([]string{"sync", "syncdir", "truncate", "write", "open", "remove"}).Draw(t, "op")
				m.disk.failAt(rapid.IntRange(0, 3).Draw(t, "nth"), op, syscall.EIO)
			},
		})
	})
}
