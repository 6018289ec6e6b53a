package protection

import (
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

func TestTake(t *testing.T) {
	now := at("2026-03-10T12:00:00Z")
	clock := func() time.Time { return now }
	tests := []struct {
		name, from, to string
		vm             store.BIOSID
		news           bool
		refused        string // part of why
	}{
		{"an hour", "2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z", aVM(1), true, ""},
		{"the same again", "2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z", aVM(1), false, ""},
		{"one that overlaps", "2026-03-09T10:00:00Z", "2026-03-10T10:30:00Z", aVM(1), true, ""},
		{"to midnight", "2026-03-06T10:00:00Z", "2026-03-07T00:00:00Z", aVM(1), true, ""},
		{"in another zone", "2026-03-05T01:00:00+02:00", "2026-03-05T01:30:00+02:00", aVM(1), true, ""},
		{"a moment", "2026-03-10T12:00:00Z", "2026-03-10T12:00:00Z", aVM(2), true, ""},
		{"a minute ahead", "2026-03-10T12:00:00Z", "2026-03-10T12:01:00Z", aVM(2), false, ""},
		{"long", "2020-01-01T00:00:00Z", "2026-03-01T00:00:00Z", aVM(3), true, ""},
		{"backwards", "2026-03-10T11:00:00Z", "2026-03-10T10:59:59Z", aVM(2), false, "is before from"},
		{"in the future", "2026-03-10T11:00:00Z", "2026-03-10T12:01:01Z", aVM(2), false, "in the future: here it is 2026-03-10T12:00:00Z"},
		{"long ago", "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", aVM(2), false, "too long ago"},
		{"of nobody", "2026-03-10T11:00:00Z", "2026-03-10T11:30:00Z", aVM(77), false, "no VM is registered"},
		{"of nothing", "2026-03-10T11:00:00Z", "2026-03-10T11:30:00Z", store.BIOSID{}, false, "biosId"},
	}
	b, err := New(Config{Table: newTable(t, 4, func(c *store.Config) { c.Clock = clock }), Collect: true, Clock: clock})
	check(t, err)
	var all []Session
	for _, tt := range tests {
		all = append(all, Session{tt.vm, at(tt.from), at(tt.to)})
	}
	news, refused, err := b.Take(all)
	check(t, err)
	for i, tt := range tests {
		if news[i] != tt.news || (refused[i] != nil) != (tt.refused != "") || refused[i] != nil && !strings.Contains(refused[i].Error(), tt.refused) {
			t.Errorf("%s: %v, %v; want %v, %q", tt.name, news[i], refused[i], tt.news, tt.refused)
		}
	}
	want := "vm 1 2026-03-04 2026-03-04\nvm 1 2026-03-06 2026-03-06\nvm 1 2026-03-09 2026-03-10\nvm 2 2026-03-10 2026-03-10\nvm 3 2025-02-04 2026-02-28\n"
	if got := b.days(Query{}); got != want {
		t.Errorf("protected were\n%swant\n%s", got, want)
	}
	if s := b.Stats(); s.Sessions != 8 || s.RefusedSessions != 5 {
		t.Errorf("counted were %+v", s)
	}
}

// Sessions come in batches, of which the first may be written and the next not.
func TestTakeMany(t *testing.T) {
	disk := &failing{}
	b := newBook(t, newTable(t, 3*batch, keptBy(disk)))
	var all []Session
	for n := range 3 * batch {
		all = append(all, Session{aVM(n), time.Now().Add(-time.Hour), time.Now()})
	}
	disk.full.Store(true)
	if _, _, err := b.Take(all); err == nil {
		t.Error("sessions are taken that are not on disk")
	}
	disk.full.Store(false)
	news, refused, err := b.Take(all)
	check(t, err)
	for n := range all {
		if !news[n] || refused[n] != nil {
			t.Errorf("session %d: %v, %v", n, news[n], refused[n])
		}
	}
	if got := strings.Count(b.report(t, Query{}), "\n"); got < len(all) {
		t.Errorf("%d periods, want %d", got, len(all))
	}
}
