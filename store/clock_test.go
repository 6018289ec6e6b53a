package store

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// stopped is a clock that moves only when it is told to.
type stopped struct{ now time.Time }

func newStopped() *stopped { return &stopped{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (s *stopped) time() time.Time         { return s.now }
func (s *stopped) advance(d time.Duration) { s.now = s.now.Add(d) }

func (s *stopped) version(d time.Duration) Version {
	return Version{Clock: uint64(s.now.Add(d).UnixMilli()) << 16, Node: 7}
}

// Whatever the physical clock does and whatever versions are seen, later
// versions are newer.
func TestClockNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		physical := newStopped()
		c := newClock("a", physical.time)
		newest := Version{}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			physical.advance(time.Duration(rapid.IntRange(-5000, 5000).Draw(t, "ms")) * time.Millisecond)
			if rapid.Bool().Draw(t, "see") {
				seen := physical.version(time.Duration(rapid.IntRange(-1000, 1000).Draw(t, "ahead")) * time.Millisecond)
				c.observe(seen)
				newest = maxVersion(newest, seen)
				continue
			}
			if rapid.Bool().Draw(t, "read") {
				c.read()
			}
			v := c.next()
			if v.Compare(newest) <= 0 {
				t.Fatalf("version %v follows %v", v, newest)
			}
			newest = v
		}
	})
}

func TestVersionTellsItsTime(t *testing.T) {
	physical := newStopped()
	if got := newClock("a", physical.time).next().Millis(); got != physical.now.UnixMilli() {
		t.Errorf("a version of %d tells %d", physical.now.UnixMilli(), got)
	}
}

func TestRecordsFromTheFutureAreRefusedAndCounted(t *testing.T) {
	physical := newStopped()
	table := open(t, Config{Clock: physical.time})
	tenant := func(n byte, v Version) Record {
		row := tenantRow{Name: string('a' + rune(n))}
		return Record{Key: Key{KindTenant, [16]byte{n}}, Version: v, Value: row.encode()}
	}
	news, err := table.Apply(Batch{Records: []Record{
		tenant(1, physical.version(0)),
		tenant(2, physical.version(MaxSkew+time.Millisecond)),
		tenant(3, physical.version(MaxSkew)),
		tenant(4, Version{Clock: 1<<64 - 1, Node: 1}),
	}})
	if err != nil || len(news.Records) != 2 {
		t.Fatalf("Apply = %v, %v; want two of the four", news, err)
	}
	if got := table.Stats(); got.SkewRefused != 2 || got.Tenants != 2 {
		t.Errorf("Stats = %+v; want 2 refused and 2 tenants", got)
	}
	// They left no trace: neither in the clock, nor for good.
	table.must(t, func(tx *Tx) error { _, err := tx.SetActive(TenantID{1}, true); return err })
	if got := table.record(Key{KindActivation, [16]byte{1}}).Version; got.Clock > physical.version(MaxSkew).Clock+9 {
		t.Errorf("after the refusal this node writes at %v, ahead of MaxSkew", time.UnixMilli(got.Millis()))
	}
	physical.advance(time.Second)
	if _, err := table.Apply(Batch{Records: []Record{tenant(2, physical.version(MaxSkew))}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := table.Tenant(TenantID{2}); !ok {
		t.Error("the record is refused although its time is near")
	}
}

// The physical clock of a gateway may be set back by hours. What it writes then
// is newer than what it wrote before, and not refused.
func TestWritesHoldAfterTheClockWasSetBack(t *testing.T) {
	physical := newStopped()
	table := open(t, Config{Clock: physical.time})
	id := table.tenant(t, "acme")
	table.activate(t, id, true)
	physical.advance(-3 * time.Hour)
	table.activate(t, id, false)
	if tenant, _ := table.Tenant(id); tenant.Status != Inactive {
		t.Errorf("the tenant is %v after an acknowledged deactivation", tenant.Status)
	}
	if n := table.Stats().SkewRefused; n != 0 {
		t.Errorf("%d of the node's own records were refused", n)
	}
}

// The versions inside a record are not newer than the record's own, or a record
// of today could carry a deactivation from the far future.
func TestVersionsWithinARecordAreBoundedToo(t *testing.T) {
	physical := newStopped()
	table := open(t, Config{Clock: physical.time})
	far := physical.version(100 * 365 * 24 * time.Hour)
	activation := activationRow{Off: far}
	registration := vmRow{Seen: far, Name: "vm"}
	since := vmRow{Since: far, Name: "vm"}
	for name, r := range map[string]Record{
		"deactivation":   {Key: Key{KindActivation, [16]byte{1}}, Value: activation.encode()},
		"unregistration": {Key: Key{KindVM, [16]byte{1}}, Value: registration.encode()},
		"registration":   {Key: Key{KindVM, [16]byte{1}}, Value: since.encode()},
	} {
		r.Version = physical.version(0)
		if _, err := table.Apply(Batch{Records: []Record{r}}); err == nil {
			t.Errorf("a %s from the future within a record of today is taken", name)
		}
	}
}

// The bound is a time in milliseconds: what is within the last of them is taken,
// whatever its counter, and nothing beyond.
func TestTheBoundOfTheFutureIsAMillisecond(t *testing.T) {
	physical := newStopped()
	x := open(t, Config{Clock: physical.time})
	last := physical.version(MaxSkew)
	last.Clock |= 1<<counterBits - 1
	beyond := Version{Clock: last.Clock + 1, Node: 7}
	x.apply(t, Record{Key: Key{200, [16]byte{1}}, Version: beyond, Value: []byte("x")})
	x.apply(t, Record{Key: Key{200, [16]byte{2}}, Version: last, Value: []byte("x")})
	if n := x.Stats().SkewRefused; n != 1 || len(x.all()) != 1 || x.all()[0].Version != last {
		t.Errorf("%d refused; the table has %v", n, x.all())
	}
	// Admitting it makes room for nothing later; what is written here is.
	x.apply(t, Record{Key: Key{200, [16]byte{3}}, Version: Version{Clock: beyond.Clock + 1, Node: 7}, Value: []byte("x")})
	if n := x.Stats().SkewRefused; n != 2 {
		t.Errorf("%d refused, want 2", n)
	}
	x.apply(t, Record{Key: Key{200, [16]byte{2}}, Value: []byte("here")})
	if got := x.record(Key{200, [16]byte{2}}); string(got.Value) != "here" || got.Version.Compare(last) <= 0 {
		t.Errorf("what is written after that is %v", got)
	}
	if ahead := x.Stats().Ahead; ahead != MaxSkew+time.Millisecond {
		t.Errorf("the table is %v ahead", ahead)
	}
}

// A clock that shows a time before 1970, as one without a battery does, or the end of
// time, is no reason to take everything, nor to write what is older than all.
func TestClocksThatAreNoClocks(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Unix(1<<40, 0)} {
		physical := &stopped{at}
		x := open(t, Config{Clock: physical.time})
		x.apply(t, Record{Key: Key{200, [16]byte{1}}, Value: []byte("first")})
		x.apply(t, Record{Key: Key{200, [16]byte{1}}, Value: []byte("second")})
		if got := x.record(Key{200, [16]byte{1}}); string(got.Value) != "second" || got.Version.IsZero() {
			t.Errorf("at %v the table has %v", at, got)
		}
		if at.Unix() > 0 {
			continue
		}
		x.apply(t, Record{Key: Key{200, [16]byte{2}}, Version: newStopped().version(0), Value: []byte("x")})
		if n := x.Stats().SkewRefused; n != 1 {
			t.Errorf("at %v %d records of today are refused", at, n)
		}
	}
}

// A flood of refused records is counted, and told in a line a second.
func TestRefusalsAreToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		x := open(t, Config{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
		future := Record{Key: Key{200, [16]byte{1}}, Value: []byte("x")}
		for range 1000 {
			future.Version = Version{Clock: latest(time.Now()) + 1, Node: 1}
			x.apply(t, future, future, future)
			time.Sleep(10 * time.Millisecond)
		}
		if n := strings.Count(lines.String(), "\n"); n != 10 {
			t.Errorf("%d lines in 10 s:\n%s", n, lines.String())
		}
		if n := x.Stats().SkewRefused; n != 3000 {
			t.Errorf("%d are counted, want 3000", n)
		}
		if !strings.Contains(lines.String(), "records=300 ") {
			t.Errorf("no line says how many:\n%s", lines.String())
		}
	})
}
