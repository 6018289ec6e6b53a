package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Who drains SVMs is told where their agents will be, and who will have none.
func TestDrainTellsWhere(t *testing.T) {
	g := newCrowd(t)
	out := g.must("svm", "drain", "svm-1", "svm-2", "--over", "1h")
	wantAll(t, "drain", out, "SVM svm-1 (", "SVM svm-2 (", "From svm-1 will go ", "From svm-2 will go ", " to svm-3")
	sum := 0
	for _, n := range regexp.MustCompile(`(\d+) to svm-[34]`).FindAllStringSubmatch(out, -1) {
		agents, err := strconv.Atoi(n[1])
		check(t, err)
		sum += agents
	}
	if sum < 40 || sum > 110 {
		t.Errorf("%d of 150 agents move from half of the SVMs:\n%s", sum, out)
	}
	wantAll(t, "draining all", g.must("svm", "drain", "svm-3", "svm-4", "--over", "0"), "150 agents will find no SVM: for 150 none passes the filters")
}

func TestGoals(t *testing.T) {
	f := discovery.Forecast{FlowCount: 7}
	if got := goals(&f, store.SVMID{1}); got != "" {
		t.Errorf("of nobody: %q", got)
	}
	for i := range byte(7) {
		f.Flows = append(f.Flows, discovery.Flow{
			From: discovery.SVMName{ID: store.SVMID{i / 6}, Name: fmt.Sprint("svm-", i/6)}, To: discovery.SVMName{ID: store.SVMID{9}, Name: fmt.Sprint("to-", i)}, Agents: 10 - int(i),
		})
	}
	for from, want := range []string{
		"From svm-0 will go 10 to to-0, 9 to to-1, 8 to to-2, 7 to to-3, 6 to to-4, some elsewhere",
		"From svm-1 will go 4 to to-6",
	} {
		if got := goals(&f, store.SVMID{byte(from)}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f.FlowCount++ // more than are listed
	if got, want := goals(&f, store.SVMID{1}), "From svm-1 will go 4 to to-6, some elsewhere"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
