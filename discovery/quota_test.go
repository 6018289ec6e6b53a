package discovery_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/discovery"
)

func TestQuotasAddUpToWhatIsLeft(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.Uint64Min(1), 1, 20, rapid.ID).Draw(r, "names")
		svm, left := rapid.Uint64().Draw(r, "svm"), rapid.Int32Range(0, 1<<30).Draw(r, "left")
		n, sum, ranks := int32(len(names)), int32(0), map[int32]bool{}
		for i, own := range names {
			others := append(append([]uint64(nil), names[:i]...), names[i+1:]...)
			rank := discovery.RankOf(svm, own, others, n)
			ranks[rank] = true
			quota := discovery.Quota(left, n, rank)
			if quota < left/n || quota > left/n+1 {
				r.Errorf("of %d, %d gateways, one has %d", left, n, quota)
			}
			sum += quota
		}
		if sum != left || len(ranks) != len(names) {
			r.Errorf("the quotas of %d gateways add up to %d of %d; ranks %v", n, sum, left, ranks)
		}
	})
}

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name                string
		left, n, rank, want int32
	}{
		{"alone, all that is left", 7, 1, -1, 7},
		{"the first ranks have the remainder", 7, 3, 0, 3},
		{"the others do not", 7, 3, 1, 2},
		{"nor does who does not know its rank", 7, 3, -1, 2},
		{"less than one for each", 2, 3, 2, 0},
		{"nothing", 0, 3, 0, 0},
		{"what is over counts for each", -4, 3, 0, -4},
	} {
		if got := discovery.Quota(c.left, c.n, c.rank); got != c.want {
			t.Errorf("%s: quota(%d, %d, %d) = %d, want %d", c.name, c.left, c.n, c.rank, got, c.want)
		}
	}
	if got := discovery.RankOf(1, 2, []uint64{3, 4}, 4); got != -1 {
		t.Errorf("with a gateway whose name is unknown the rank is %d, want -1", got)
	}
	if got := discovery.RankOf(1, 0, []uint64{3}, 2); got != -1 {
		t.Errorf("without an own name the rank is %d, want -1", got)
	}
}

// In a round a gateway may have what is left, less the others' parts of the most that was.
func TestFreeLeavesTheOthersWhatTheyMayHavePicked(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.Int32Range(1, 16).Draw(r, "gateways")
		most := rapid.Int32Range(0, 1000).Draw(r, "most")
		left := rapid.Int32Range(0, most).Draw(r, "left")
		rank := rapid.Int32Range(0, n-1).Draw(r, "rank")
		taken := discovery.Free(left, most, n, rank)
		others := int32(0)
		for other := range n {
			if other != rank {
				others += discovery.Quota(most, n, other)
			}
		}
		if taken < 0 || taken > discovery.Quota(left, n, rank) || taken > 0 && taken+others > left {
			r.Errorf("%d are free of %d when others may have picked %d", taken, left, others)
		}
		if left == most && taken != discovery.Quota(left, n, rank) {
			r.Errorf("%d are free of %d though nobody picked, want %d", taken, left, discovery.Quota(left, n, rank))
		}
	})
}
