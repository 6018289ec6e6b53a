package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// A crowd is a directory of 300 VMs and 40 tenants, whose names tell where in the
// files they are: the VMs in blocks of a snapshot and in frames of the log, many
// in one.
type crowd struct {
	dir           string
	snapshot, log string // names of the files
}

func newCrowd(t *testing.T) crowd {
	t.Helper()
	c := crowd{dir: t.TempDir(), snapshot: "snapshot-0000000000000002", log: "log-0000000000000001"}
	x := open(t, Config{Journal: quick(t, c.dir, 0)})
	for begin := 0; begin < 300; begin += 100 {
		x.must(t, func(tx *Tx) error {
			var err error
			for n := begin; n < begin+100; n++ {
				err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(n), Name: fmt.Sprintf("name-of-vm-%03d", n)})))
			}
			return err
		})
	}
	x.must(t, func(tx *Tx) error {
		var err error
		for n := range byte(40) {
			err = errors.Join(err, only(tx.PutTenant(Tenant{ID: TenantID{n + 1}, Name: fmt.Sprintf("name-of-tenant-%03d", n)})))
		}
		return err
	})
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, c.dir)
	return c
}

// harm changes a byte of the value of a record, in one of the files, and returns
// what Verify is to call it.
func (c *crowd) harm(t *testing.T, r *rand.Rand) string {
	t.Helper()
	file := []string{c.snapshot, c.log}[r.IntN(2)]
	n := r.IntN(340)
	key, name := Key{KindVM, numberedBIOS(n)}, fmt.Sprintf("name-of-vm-%03d", n)
	if n >= 300 {
		key, name = Key{KindTenant, TenantID{byte(n - 300 + 1)}}, fmt.Sprintf("name-of-tenant-%03d", n-300)
	}
	c.replace(t, file, name, func(b []byte) { b[3] ^= 1 << r.IntN(8) })
	return file + " " + key.String()
}

// replace edits some bytes of a file.
func (c *crowd) replace(t *testing.T, file, text string, edit func([]byte)) {
	t.Helper()
	path := filepath.Join(c.dir, file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(b, []byte(text)); i >= 0 { // or it was harmed before
		edit(b[i : i+len(text)])
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// damages returns what Verify reports: files and records.
func (c *crowd) damages(t *testing.T) (out []string) {
	t.Helper()
	_, err := Verify(c.dir, nil, func(d Damage) { out = append(out, filepath.Base(d.File)+" "+d.Record) })
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// Exactly the records whose bytes were changed are named.
func TestVerifyNamesEveryDamagedRecord(t *testing.T) {
	c := newCrowd(t)
	files := contents(t, c.dir)
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 20 {
		writeFiles(t, c.dir, files)
		want := []string{}
		for range 1 + 3*round {
			want = append(want, c.harm(t, r))
		}
		slices.Sort(want)
		want = slices.Compact(want)
		if diff := cmp.Diff(want, c.damages(t)); diff != "" {
			t.Fatalf("round %d (-harmed +reported)\n%s", round, diff)
		}
	}
}

// Damage to what holds records together does not hide those that are hurt.
func TestOneDamageDoesNotHideAnother(t *testing.T) {
	vm, tenant := Key{KindVM, numberedBIOS(7)}, Key{KindTenant, TenantID{8}}
	hurt := func(file string) func(*testing.T, *crowd) []string {
		return func(t *testing.T, c *crowd) []string {
			c.replace(t, file, "name-of-vm-007", func(b []byte) { b[0]++ })
			c.replace(t, file, "name-of-tenant-007", func(b []byte) { b[0]++ })
			return []string{file + " " + vm.String(), file + " " + tenant.String()}
		}
	}
	tests := []struct {
		name string
		file string
		harm func([]byte)
		want string // besides the records
	}{
		{"first line of the log", "log-0000000000000001", func(b []byte) { b[3]++ }, "log-0000000000000001 "},
		{"seal of the log", "log-0000000000000001", func(b []byte) { b[len(b)-12]++ }, "log-0000000000000001 "},
		{"first line of the snapshot", "snapshot-0000000000000002", func(b []byte) { b[3]++ }, "snapshot-0000000000000002 "},
		{"trailer", "snapshot-0000000000000002", func(b []byte) { b[len(b)-1]++ }, "snapshot-0000000000000002 "},
		{"index", "snapshot-0000000000000002", func(b []byte) { b[len(b)-trailerSize-1]++ }, "snapshot-0000000000000002 "},
		{"dictionary", "snapshot-0000000000000002", func(b []byte) {
			s, err := openSnapshot(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				panic(err)
			}
			i := slices.IndexFunc(s.sections, func(x section) bool { return x.kind == frameDictionary })
			b[s.sections[i].offset+wal.FrameHeader+5]++
		}, "snapshot-0000000000000002 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCrowd(t)
			want := hurt(tt.file)(t, &c)
			path := filepath.Join(c.dir, tt.file)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tt.harm(b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			want = append(want, tt.want)
			slices.Sort(want)
			got := slices.Compact(c.damages(t))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-harmed +reported)\n%s", diff)
			}
		})
	}
}

// A record whose length is damaged is named, and so are damaged ones behind it;
// but for the very next one, whose place nobody knows. What is left of the damaged
// one may look like another.
func TestDamagedLengthOfARecordHidesNoOther(t *testing.T) {
	var list []byte
	var starts []int
	keys := make([]Key, 20)
	for n := range keys {
		row := tenantRow{Name: fmt.Sprint("tenant ", n), Description: strings.Repeat("x", n)}
		row.Administration = Administration{"s", "a", "u", "i", "t"} // many zeros in a row would look like lengths
		keys[n] = Key{KindTenant, TenantID{byte(n + 1)}}
		starts = append(starts, len(list))
		list = appendRecord(list, &Record{Key: keys[n], Version: Version{Clock: worldEpoch, Node: 1}, Value: row.encode()})
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		b := bytes.Clone(list)
		want := map[Key]bool{}
		for range 1 + r.IntN(4) {
			n := 2 * r.IntN(len(keys)/2)
			if want[keys[n]] {
				continue
			}
			want[keys[n]] = true
			switch at := starts[n]; r.IntN(3) {
			case 0: // its length
				b[at+r.IntN(4)] ^= 1 << r.IntN(8)
			case 1: // its checksum
				b[at+4+r.IntN(4)] ^= 1 << r.IntN(8)
			default: // its value
				b[at+recordHead+35] ^= 1 << r.IntN(8)
			}
		}
		got, sound := map[Key]bool{}, 0
		_ = eachRecord(b, func(r listed) error {
			if r.sound {
				sound++
			} else {
				got[r.Key] = true
			}
			return nil
		})
		for key := range want {
			if !got[key] {
				t.Fatalf("record %s was harmed and is not reported; %v are", key, got)
			}
		}
		if sound != len(keys)-len(want) || len(got) > 2*len(want) {
			t.Fatalf("%d records are sound, want %d; reported are %v, harmed %v", sound, len(keys)-len(want), got, want)
		}
	}
}

// A gateway that writes, begins segments, cuts the room behind them and removes
// old files meanwhile is no damage.
func TestVerifyWhileAGatewayWrites(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 1<<15)})
	x.must(t, furnish)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if n%50 == 49 {
				if err := x.Snapshot(t.Context()); err != nil {
					t.Error(err)
				}
			}
			err := x.Update(func(tx *Tx) error {
				return only(tx.PutVM(VM{BIOS: numberedBIOS(n % 100), UserData: strings.Repeat("x", n*331%5000)}))
			})
			if err != nil {
				t.Error(err)
			}
		}
	}()
	for range 60 {
		var last, whole int64
		sum, err := Verify(dir, func(done, total int64) {
			if done < last || done > total || whole != 0 && whole != total {
				t.Errorf("progress from %d of %d to %d of %d", last, whole, done, total)
			}
			last, whole = done, total
		}, func(d Damage) { t.Errorf("Verify reports %v", d) })
		if err != nil || sum.Records == 0 || last != whole {
			t.Errorf("Verify = %+v, %v; progress ended at %d of %d", sum, err, last, whole)
		}
	}
	close(stop)
	<-done
}

func TestVerifyTellsHowFarItIs(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 0)})
	for range 3 {
		x.must(t, func(tx *Tx) error {
			var err error
			for n := range 100 {
				err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(n), UserData: strings.Repeat("x", 40_000)})))
			}
			_, err2 := tx.PutTenant(Tenant{ID: NewTenantID(), Name: NewTenantID().String()})
			return errors.Join(err, err2)
		})
		for n := range 100 {
			x.deleteVM(t, numberedBIOS(n))
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	var at []int64
	sum, err := Verify(dir, func(done, _ int64) { at = append(at, done) }, func(d Damage) { t.Error(d) })
	if err != nil || len(at) < 4 || at[len(at)-1] != sum.Bytes || !slices.IsSorted(at) {
		t.Errorf("Verify = %+v, %v; it told of %v, want some steps that end at %d", sum, err, at, sum.Bytes)
	}
}

func TestVerifyCountsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 0)})
	x.must(t, furnish)
	x.tenant(t, "other")
	x.deleteVM(t, BIOSID{3})
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	sum := mustVerify(t, dir)
	want := Summary{Files: 2, Bytes: sum.Bytes, Records: 12, Tombstones: 3, Kinds: map[Kind]int64{
		KindEvent: 1, KindObservation: 1, KindProtection: 1,
		KindTenant: 2, KindActivation: 1, KindToken: 1, KindSVMConfig: 1, KindSVMFacts: 1, KindVM: 1, KindPlacement: 1, KindAccount: 1,
	}}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("Verify (-want +got)\n%s", diff)
	}
}

func TestVerifyOfWhatIsNoDataDirectory(t *testing.T) {
	report := func(d Damage) { t.Error(d) }
	if _, err := Verify(filepath.Join(t.TempDir(), "absent"), nil, report); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"letter.txt": "dear"})
	if _, err := Verify(dir, nil, report); err == nil || !strings.Contains(err.Error(), dir+" is not a data directory") {
		t.Errorf("a directory of letters: %v", err)
	}
}

// FuzzRecordList reads any list of records, of this release and of release 1: what
// is sound is what was written, and nothing is passed over in silence.
func FuzzRecordList(f *testing.F) {
	var list, list1 []byte
	for i := range 8 {
		r := worldRecord.Example(i)
		list, list1 = appendRecord(list, &r), appendRecord1(list1, &r)
	}
	f.Add(list)
	f.Add(list1)
	f.Add(list[:len(list)-1])
	f.Add(append([]byte{1, 0, 0, 0}, list...))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), 1<<14)]
		var again []byte
		unsound := 0
		_ = eachRecord(b, func(r listed) error {
			if r.sound {
				again = appendRecord(again, &r.Record)
			} else {
				unsound++
			}
			return nil
		})
		if unsound == 0 && len(again) != len(b) && !hasLongNumbers(b) {
			t.Fatalf("%x is sound and was read as %x", b, again)
		}
		if err := readRecords(b, func(Record) error { return nil }); (err == nil) != (unsound == 0) {
			t.Fatalf("readRecords = %v, with %d records that are not sound", err, unsound)
		}
		again = nil
		err := readRecords1(b, func(r Record) error {
			again = appendRecord1(again, &r)
			return nil
		})
		if err == nil && len(again) > len(b) {
			t.Fatalf("%x was read as %x", b, again)
		}
	})
}

// hasLongNumbers reports whether a list has versions in more bytes than they need.
func hasLongNumbers(b []byte) bool {
	long := false
	_ = eachRecord(b, func(r listed) error {
		body, _ := cutRecord(b, r.offset)
		long = long || len(appendRecord(nil, &r.Record)) != recordHead+len(body)
		return nil
	})
	return long
}
