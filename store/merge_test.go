package store

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// The laws of the package comment, over random records of every kind: tables
// that heard the same records are equal in all that can be read of them, in
// whatever order, batches and repetitions the records came.
func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(worldRecord, 1, 40).Draw(t, "records")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		inOrder, shuffled := openTable(t, "a"), openTable(t, "b")
		for _, rec := range records {
			inOrder.apply(t, rec)
		}
		shuffled.applyShuffled(t, r, records)
		inOrder.mustEqual(t, shuffled)

		before := shuffled.Stats().Revision
		news, err := shuffled.Apply(Batch{Records: records})
		if err != nil || len(news.Records) != 0 || shuffled.Stats().Revision != before {
			t.Fatalf("the same records again are news: %v, %v", news.Records, err)
		}
		for _, rec := range records {
			if !shuffled.Holds(rec) {
				t.Fatalf("a table that heard %v does not hold it", rec)
			}
		}
	})
}

// a + b = b + a and (a + b) + c = a + (b + c), where + merges whole tables.
func TestTablesMergeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := [3][]Record{}
		for i := range parts {
			parts[i] = rapid.SliceOfN(worldRecord, 0, 12).Draw(t, "part")
		}
		table := func(i int) tester {
			x := openTable(t, string('a'+rune(i)))
			x.apply(t, parts[i]...)
			return x
		}
		left := table(0) // (a + b) + c
		left.hear(t, table(1))
		left.hear(t, table(2))
		bc := table(1)
		bc.hear(t, table(2))
		right := table(0) // a + (b + c)
		right.hear(t, bc)
		reverse := table(2) // c + b + a
		reverse.hear(t, table(1), table(0))
		left.mustEqual(t, right)
		left.mustEqual(t, reverse)
	})
}

func openTable(t *rapid.T, node string) tester {
	table, err := Open(Config{Node: node})
	if err != nil {
		t.Fatal(err)
	}
	return tester{table}
}

func (x tester) apply(t failer, records ...Record) {
	t.Helper()
	if _, err := x.Apply(Batch{Records: records}); err != nil {
		t.Fatal(err)
	}
}

// applyShuffled applies the records in another order, in batches, some of them
// twice.
func (x tester) applyShuffled(t failer, r *rand.Rand, records []Record) {
	t.Helper()
	records = append(append([]Record{}, records...), records[:r.IntN(len(records))]...)
	r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	for len(records) > 0 {
		n := 1 + r.IntN(len(records))
		x.apply(t, records[:n]...)
		records = records[n:]
	}
}
