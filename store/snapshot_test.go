package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// A lastingWorld is a table with a directory, and a table in memory that is told
// the same.
type lastingWorld struct {
	t       *testing.T
	dir     string
	table   tester
	model   tester
	maimed  bool // the newest snapshot was damaged, and no other was written since
	segment int64
}

func newLastingWorld(t *testing.T, r *rapid.T) *lastingWorld {
	w := &lastingWorld{t: t, dir: t.TempDir(), segment: rapid.SampledFrom([]int64{1, 300, 1 << 20}).Draw(r, "segment")}
	w.model = open(t, Config{Node: "model"})
	if records := rapid.SliceOfN(worldRecord, 0, 8).Draw(r, "of release 1"); len(records) > 0 {
		records = slices.DeleteFunc(records, passes)
		writeRelease1(t, w.dir, records)
		w.model.apply(r, records...)
	}
	w.start(r)
	return w
}

// writeRelease1 makes a directory of release 1: with a frame for each record.
func writeRelease1(t *testing.T, dir string, records []Record) {
	b := []byte(formatLine1)
	for i := range records {
		b = wal.AppendFrame(b, appendRecord1(nil, &records[i]))
	}
	writeFiles(t, dir, map[string]string{formatName: string(b)})
}

func (w *lastingWorld) start(r *rapid.T) {
	w.table = open(w.t, Config{Journal: quick(w.t, w.dir, w.segment)})
	w.check(r)
}

func (w *lastingWorld) check(r *rapid.T) {
	want, got := w.model.lasting(), w.table.lasting()
	for _, p := range []*picture{&want, &got} {
		p.Records = append([]string{}, p.Records...) // not nil
		for i := range p.SVMs {
			p.SVMs[i].State = 0 // follows from when it was heard
		}
	}
	if diff := diff(want, got); diff != "" {
		r.Fatalf("the table is not what was written to it (-written +there)\n%s", diff)
	}
}

func (w *lastingWorld) stop(r *rapid.T) {
	if err := w.table.Close(); err != nil {
		r.Fatal(err)
	}
}

// crash goes on with a copy of the directory as it is.
func (w *lastingWorld) crash() {
	copied := copyDir(w.t, w.dir)
	w.table.Close()
	w.dir = copied
}

// maim damages the newest snapshot.
func (w *lastingWorld) maim(r *rapid.T) {
	names, _ := readNames(w.dir)
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "snapshot-") })
	if len(names) == 0 || w.maimed || len(names) == 1 && names[0] == snapshotName(firstBehind) {
		return // without it there may be nothing
	}
	path := filepath.Join(w.dir, names[len(names)-1])
	b, err := os.ReadFile(path)
	if err != nil {
		r.Fatal(err)
	}
	b[rapid.IntRange(0, len(b)-1).Draw(r, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		r.Fatal(err)
	}
	w.maimed = true
}

// forgetTasks makes the model what a backup has of it.
func (w *lastingWorld) forgetTasks(r *rapid.T) {
	rest := slices.DeleteFunc(w.model.all(), func(r Record) bool { return r.Key.Kind.isOfTasks() })
	w.model = open(w.t, Config{Node: "model"})
	w.model.apply(r, rest...)
}

// What was written is there after any stops, crashes, snapshots, lost snapshots,
// conversions, backups, in any order.
func TestTableIsWhatWasWrittenToIt(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newLastingWorld(t, r)
		defer func() { w.table.Close() }()
		write := func(r *rapid.T) {
			records := rapid.SliceOfN(worldRecord, 1, 5).Draw(r, "records")
			w.model.apply(r, records...)
			w.table.apply(r, records...)
		}
		steps := map[string]func(*rapid.T){
			"write": write, "write more": write, "write even more": write,
			"snapshot": func(r *rapid.T) {
				before := w.table.Disk().Snapshots
				if err := w.table.Snapshot(t.Context()); err != nil {
					r.Fatal(err)
				}
				w.maimed = w.maimed && w.table.Disk().Snapshots == before
			},
			"restart": func(r *rapid.T) { w.stop(r); w.start(r) },
			"crash":   func(r *rapid.T) { w.crash(); w.start(r) },
			"restart with the newest snapshot damaged": func(r *rapid.T) { w.stop(r); w.maim(r); w.start(r) },
			"restore a backup": func(r *rapid.T) {
				var b bytes.Buffer
				if err := w.table.Backup(t.Context(), &b); err != nil {
					r.Fatal(err)
				}
				w.stop(r)
				w.dir, w.maimed = filepath.Join(t.TempDir(), "restored"), false
				if _, err := Restore(w.dir, bytes.NewReader(b.Bytes()), int64(b.Len()), nil); err != nil {
					r.Fatal(err)
				}
				w.forgetTasks(r)
				w.start(r)
			},
		}
		names := []string{}
		for name := range steps {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 8).Draw(r, "steps") {
			steps[name](r)
		}
		w.crash()
		w.start(r)
	})
}

// Snapshots are written while others write, and a directory that was copied at
// any moment has all that was acknowledged by then.
func TestSnapshotsWhileWritersGoOn(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 1<<14)})
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for w := range byte(4) {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				err := x.Update(func(tx *Tx) error { // a tenant and a VM that agree
					_, tenant := tx.PutTenant(Tenant{ID: TenantID{w + 1}, Name: fmt.Sprint(w), Description: fmt.Sprint(n)})
					_, vm := tx.PutVM(VM{BIOS: BIOSID{w + 1}, ID: VMID{1}, Tenant: TenantID{w + 1}, Name: fmt.Sprint(n)})
					return errors.Join(tenant, vm)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 30 {
		if err := x.Snapshot(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writers.Wait()
	want := x.lasting()
	logBeginsWithTheOlderSnapshot(t, dir)
	for _, how := range []string{"a crash", "a stop"} {
		at := dir
		if how == "a crash" {
			at = copyDir(t, dir)
		} else if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := diff(want, open(t, Config{Journal: openDir(t, at)}).lasting()); diff != "" {
			t.Errorf("%s changed the table (-before +after)\n%s", how, diff)
		}
	}
}

// logBeginsWithTheOlderSnapshot fails unless there are two snapshots, and the log from the
// older one on, whole, and nothing before.
func logBeginsWithTheOlderSnapshot(t *testing.T, dir string) {
	t.Helper()
	names, err := readNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	var snapshots, segments []uint64
	for _, name := range names {
		if n, ok := snapshotNumber(name); ok {
			snapshots = append(snapshots, n)
		}
		if n, ok := wal.SegmentNumber(name); ok {
			segments = append(segments, n)
		}
	}
	if len(snapshots) != keptSnapshots || len(segments) == 0 || segments[0] != snapshots[0] {
		t.Errorf("there are snapshots %v and segments from %v on; want %d snapshots, and the log from the older one on",
			snapshots, segments[:min(1, len(segments))], keptSnapshots)
	}
}

// Without anything new there is nothing to write.
func TestSnapshotOfWhatIsOnDiskAlreadyIsNone(t *testing.T) {
	x := open(t, Config{Journal: quick(t, t.TempDir(), 0)})
	x.tenant(t, "acme")
	for range 3 {
		if err := x.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := x.Disk().Snapshots; n != 1 {
		t.Errorf("%d snapshots were written, want 1", n)
	}
	if err := open(t, Config{}).Snapshot(t.Context()); err != nil {
		t.Errorf("a table without a directory: %v", err)
	}
}

// A snapshot that was passed over at the start is not one of the two that are
// kept: the next takes its place, and the older one stays.
func TestNextSnapshotTakesThePlaceOfADamagedOne(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 0)})
	for i := range 2 {
		x.tenant(t, fmt.Sprint(i))
		if err := x.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	x.Close()
	flip(t, filepath.Join(dir, "snapshot-0000000000000003"), 1000)
	x = open(t, Config{Journal: quick(t, dir, 0)})
	if err := x.Snapshot(t.Context()); err != nil { // although nothing is new
		t.Fatal(err)
	}
	mustVerify(t, dir)
	x.tenant(t, "last")
	want := x.lasting()
	x.Close()
	flip(t, filepath.Join(dir, "snapshot-0000000000000003"), 1000)
	x = open(t, Config{Journal: quick(t, dir, 0)})
	if diff := diff(want, x.lasting()); diff != "" {
		t.Errorf("with the older snapshot alone (-before +after)\n%s", diff)
	}
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir)
	if names, _ := readNames(dir); slices.Contains(names, "snapshot-0000000000000003") {
		t.Errorf("the damaged snapshot stays: %v", names)
	}
}

func flip(t testing.TB, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Close does not leave somebody at work in a directory that is unlocked.
func TestCloseEndsASnapshot(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 0)})
	x.must(t, furnish)
	x.mu.Lock() // the snapshot waits to read the first shard
	var failed error
	done := make(chan struct{})
	go func() {
		failed = x.Snapshot(context.Background())
		close(done)
	}()
	for names := []string(nil); !strings.Contains(strings.Join(names, " "), partial); {
		names, _ = readNames(dir)
	}
	closed := make(chan error)
	go func() { closed <- x.Close() }()
	<-x.life.Done()
	for range 1000 { // in which Close would long be done
		lock, err := lockDir(dir)
		if err != nil {
			continue
		}
		lock.Close()
		if err := inTime(func() error { <-done; return nil }); err != nil {
			t.Error("the directory is unlocked while a snapshot is being written")
		}
		break
	}
	x.mu.Unlock()
	if <-done; !errors.Is(failed, ErrClosed) {
		t.Errorf("Snapshot = %v, want ErrClosed", failed)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	names, _ := readNames(dir)
	if slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, partial) }) {
		t.Errorf("the snapshot left %v", names)
	}
	if n := x.Disk().SnapshotFailures; n != 0 {
		t.Errorf("%d failures are counted", n)
	}
	if err := x.Snapshot(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a snapshot of a closed table: %v, want ErrClosed", err)
	}
}

// FuzzSnapshot reads whatever is in the frames of a snapshot, and whatever is in
// the file: it is refused or a table that can be read, and takes no more memory
// than the file has reason to.
func FuzzSnapshot(f *testing.F) {
	x := open(f, Config{Clock: newStopped().time})
	x.must(f, furnish)
	var b bytes.Buffer
	if err := x.Backup(context.Background(), &b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), false)
	f.Add(b.Bytes()[:b.Len()-1], false)
	f.Add([]byte(snapshotLine), false)
	f.Add(appendSections(nil, b.Bytes()), true)
	f.Fuzz(func(t *testing.T, in []byte, framed bool) {
		in = in[:min(len(in), 1<<16)]
		if framed {
			in = frameSections(in)
		}
		fresh := newTable(Config{})
		var err error
		took := allocated(func() { err = fresh.loadSnapshot(bytes.NewReader(in), int64(len(in))) })
		if most := uint64(1<<20 + 256*len(in)); took > most {
			t.Fatalf("loading %d bytes takes %d of memory, want at most %d", len(in), took, most)
		}
		_, bad := CheckBackup(bytes.NewReader(in), int64(len(in)), nil)
		if err != nil {
			return
		}
		if bad != nil && !framed {
			t.Fatalf("a snapshot was loaded that is damaged: %v", bad)
		}
		tester{fresh}.picture()
		var again bytes.Buffer
		if err := fresh.Backup(t.Context(), &again); err != nil {
			t.Fatal(err)
		}
		other := newTable(Config{})
		if err := other.loadSnapshot(bytes.NewReader(again.Bytes()), int64(again.Len())); err != nil {
			t.Fatalf("a table that was loaded can not be loaded again: %v", err)
		}
	})
}

// appendSections writes the frames of a snapshot as frameSections reads them:
// those that are not empty, each with its length in front, 16 bits.
func appendSections(dst, snapshot []byte) []byte {
	s, err := openSnapshot(bytes.NewReader(snapshot), int64(len(snapshot)))
	if err != nil {
		panic(err)
	}
	for _, x := range s.sections {
		payload, _ := wal.ReadFrameAt(s.r, x.offset, nil)
		if x.kind == frameBlock && len(payload) == 1+1+blockHead+blockTail {
			continue
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(payload)))
		dst = append(dst, payload...)
	}
	return dst
}

// frameSections makes a snapshot of frames with right checksums, in which shards
// without a block have an empty one.
func frameSections(in []byte) []byte {
	var b bytes.Buffer
	s, err := newSnapshotWriter(&b)
	if err != nil {
		panic(err)
	}
	shard := 0
	emit := func(payload []byte) {
		s.begin(payload[0])
		s.buf = append(s.buf, payload[1:]...)
		if err := s.end(); err != nil {
			panic(err)
		}
	}
	fill := func(until int) {
		for ; shard < until; shard++ {
			emit(append([]byte{frameBlock, byte(shard)}, make([]byte, blockHead+blockTail)...))
		}
	}
	for len(in) > 2 {
		n := min(int(binary.LittleEndian.Uint16(in)), len(in)-2)
		payload := in[2 : 2+n]
		in = in[2+n:]
		if n == 0 {
			continue
		}
		if payload[0] == frameBlock && n > 1 {
			fill(int(payload[1]))
			shard++
		}
		emit(payload)
	}
	fill(vmShards)
	if err := s.finish(1 << 20); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Reading a snapshot takes memory for what is in it, whatever it says is in it.
func TestSnapshotThatLiesTakesNoMemory(t *testing.T) {
	lie := func(edit func(*snapshotWriter)) []byte {
		var b bytes.Buffer
		s, _ := newSnapshotWriter(&b)
		edit(s)
		return b.Bytes()
	}
	empty := newDictionary()
	for name, file := range map[string][]byte{
		"one frame a thousand times": lie(func(s *snapshotWriter) {
			s.begin(frameRecords)
			s.buf = append(s.buf, make([]byte, 1000)...)
			s.end()
			s.begin(frameDictionary)
			s.buf = empty.append(s.buf)
			s.end()
			s.sections = append(slices.Repeat(s.sections[:1], 1000), s.sections[1])
			s.finish(1)
		}),
		"an empty frame": lie(func(s *snapshotWriter) {
			s.begin(frameDictionary)
			s.buf = empty.append(s.buf)
			s.end()
			head := wal.FrameHead(nil)
			s.sections = append(s.sections, section{frameDictionary, s.at, 0})
			s.w.Write(head[:])
			s.at += wal.FrameHeader
			s.finish(1)
		}),
		"a frame that the index does not name": lie(func(s *snapshotWriter) {
			s.begin(frameRecords)
			s.end()
			s.begin(frameDictionary)
			s.buf = empty.append(s.buf)
			s.end()
			s.sections = s.sections[1:]
			s.finish(1)
		}),
		"two dictionaries": lie(func(s *snapshotWriter) {
			for range 2 {
				s.begin(frameDictionary)
				s.buf = empty.append(s.buf)
				s.end()
			}
			s.finish(1)
		}),
		"a frame of an unknown kind": lie(func(s *snapshotWriter) {
			s.begin('?')
			s.end()
			s.finish(1)
		}),
		"an index of a million": lie(func(s *snapshotWriter) {
			end := s.at
			s.begin(frameEnd)
			s.buf = binary.AppendUvarint(append(s.buf, 1), 1_000_000)
			s.end()
			s.begin(frameTrailer)
			s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(end))
			s.end()
		}),
		"no index": lie(func(s *snapshotWriter) {
			s.begin(frameTrailer)
			s.buf = binary.LittleEndian.AppendUint64(s.buf, 1<<63)
			s.end()
		}),
	} {
		took := allocated(func() {
			if _, err := openSnapshot(bytes.NewReader(file), int64(len(file))); err == nil {
				t.Errorf("%s: is taken for a snapshot", name)
			}
		})
		if most := uint64(64<<10 + 64*len(file)); took > most {
			t.Errorf("%s: reading %d bytes takes %d of memory, want at most %d", name, len(file), took, most)
		}
	}
}

// allocated returns how many bytes fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
