package store

import (
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
)

// What a newer release writes is kept, journalled, counted, scanned, told, backed
// up and forgotten like anything else; of two the newer holds.
func TestUnknownKindsArePassedOn(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: openDir(t, dir)})
	for _, kind := range []Kind{16, 17, 200, 255} {
		key := Key{kind, [16]byte{byte(kind), 1}}
		var told []Record
		cancel := x.Subscribe(func(n *News) { told = append(told, n.Records...) })
		first := Record{Key: key, Version: Version{Clock: 1 << 20, Node: 1}, Value: []byte{0, 1, 2}}
		second := Record{Key: key, Version: Version{Clock: 1 << 21, Node: 1}, Value: []byte("second")}
		before := x.digest()
		x.apply(t, first)
		x.apply(t, second)
		x.apply(t, first)
		cancel()
		if diff := cmp.Diff([]Record{first, second}, told); diff != "" {
			t.Errorf("%v: told (-want +got):\n%s", kind, diff)
		}
		i := bucketOf(xxhash.Sum64(key.ID[:]))
		if now := x.digest(); now[i] == before[i] {
			t.Errorf("%v is in no digest", kind)
		}
		scanned := slices.ContainsFunc(x.bucket(i), func(r Record) bool { return cmp.Equal(r, second) })
		if !scanned {
			t.Errorf("%v is in no scan", kind)
		}
	}
	want, digest := x.lasting(), x.digest()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Journal: openDir(t, dir)})
	if diff := diff(want, x.lasting()); diff != "" || x.digest() != digest {
		t.Errorf("a restart changed the table:\n%s", diff)
	}
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Journal: openDir(t, dir)})
	if diff := diff(want, x.lasting()); diff != "" || x.digest() != digest {
		t.Errorf("a snapshot lost something:\n%s", diff)
	}
}

func (x tester) bucket(i int) (list []Record) {
	x.ScanBucket(i, func(r Record) bool {
		r.Value = slices.Clone(r.Value)
		list = append(list, r)
		return true
	})
	return list
}

// Of what a peer sends, what is no record is left out and counted, and the rest
// is taken.
func TestLenientBatches(t *testing.T) {
	clock := newStopped()
	good := Record{Key: Key{200, [16]byte{1}}, Version: clock.version(0), Value: []byte("x")}
	tenant := tenantRow{Name: "x"}
	ahead := activationRow{Off: clock.version(1e9)}
	bad := []Record{
		{Key: Key{KindTenant, [16]byte{1}}, Value: tenant.encode()}, // has no version
		{Key: Key{KindTenant, [16]byte{1}}, Version: clock.version(0), Value: []byte{0}},
		{Key: Key{KindVM, [16]byte{}}, Version: clock.version(0)},
		{Key: Key{KindActivation, [16]byte{1}}, Version: clock.version(0), Value: ahead.encode()},
		{Key: Key{KindActivation, [16]byte{1}}, Version: clock.version(0)},
	}
	x := open(t, Config{Clock: clock.time})
	news, err := x.Apply(Batch{Records: append(slices.Clone(bad), good), Lenient: true, From: "peer"})
	if err != nil || len(news.Records) != 1 {
		t.Errorf("Apply = %+v, %v; want the last of them taken", news, err)
	}
	if got := x.Stats().Unreadable; got != uint64(len(bad)) {
		t.Errorf("%d are counted, want %d", got, len(bad))
	}
	for _, r := range bad[1:] {
		if _, err := x.Apply(Batch{Records: []Record{r}}); err == nil {
			t.Errorf("%+v is no error in a batch that is not lenient", r)
		}
	}
}
