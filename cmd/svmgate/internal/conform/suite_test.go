package conform

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A test is a case: a sentence about behaviour, the lines that it covers, and what is
// said.
type test struct {
	name  string
	lines string  // ids, with spaces between
	on    setting // where it happens
	alone bool    // needs a single gateway, not a proxy before several
	talk  talk
}

// all are the cases, by subject.
func all() []test {
	return slices.Concat(transportCases(), accessCases(), tenantCases(), createCases(), addressCases(), bodyCases(), passwordCases(), textCases(), activationCases(),
		deletionCases(), vmCases(), reportCases(), periodCases(), taskCases(), cancelCases(), syntaxCases(), agentCases(), noKSCCases())
}

// TestConformance holds one gateway to every line of the documents.
func TestConformance(t *testing.T) { conform(t, false) }

// TestConformanceBehindProxy holds three gateways to them of which each request meets
// another: whatever one has acknowledged the next must know.
func TestConformanceBehindProxy(t *testing.T) { conform(t, true) }

func conform(t *testing.T, behindProxy bool) {
	tests := slices.DeleteFunc(all(), func(tt test) bool { return tt.alone && behindProxy })
	worlds, begin := map[setting]*world{}, time.Now()
	for _, tt := range tests {
		if worlds[tt.on] == nil {
			worlds[tt.on] = newWorld(t, tt.on, behindProxy)
		}
	}
	for _, w := range worlds {
		w.await(t, behindProxy)
	}
	t.Logf("gateways are ready after %v", time.Since(begin))
	r := newReport(tests)
	t.Run("case", func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				defer func() { r.note(tt.name, !t.Failed()) }()
				tt.talk.take(&client{T: t, world: worlds[tt.on], vars: variables{}})
			})
		}
	})
	for _, w := range worlds {
		w.passwordsAreNowhere(t)
		for _, g := range w.gateways {
			g.logsNothingOf(t, "panicked")
		}
	}
	text := r.text()
	t.Logf("%s\n%s", t.Name(), text)
	if *reportFile != "" && !behindProxy {
		if err := os.WriteFile(*reportFile, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	if problems := r.problems(behindProxy); len(problems) > 0 {
		t.Errorf("%d lines are not as they should be:\n%s", len(problems), strings.Join(problems, "\n"))
	}
}

// A report says which line is covered by which cases, and how those went.
type report struct {
	cases map[string][]string // of a line
	order []string            // the names of all cases

	mu     sync.Mutex
	passed map[string]bool
}

func newReport(tests []test) *report {
	r := &report{cases: map[string][]string{}, passed: map[string]bool{}}
	for _, tt := range tests {
		r.order = append(r.order, tt.name)
		for line := range strings.FieldsSeq(tt.lines) {
			r.cases[line] = append(r.cases[line], tt.name)
		}
	}
	return r
}

// note may be called from several goroutines.
func (r *report) note(name string, passed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed[name] = passed
}

func (r *report) result(name string) string {
	passed, ran := r.passed[name]
	switch {
	case !ran:
		return "not run"
	case passed:
		return "passed"
	}
	return "FAILED"
}

func (r *report) text() string {
	var b strings.Builder
	covered, passed := 0, 0
	for _, l := range lines {
		fmt.Fprintf(&b, "%-22s %s %s\n", l.id, l.mark, l.says)
		if l.elsewhere != "" {
			fmt.Fprintf(&b, "    not here: %s\n", l.elsewhere)
		}
		for _, name := range r.cases[l.id] {
			fmt.Fprintf(&b, "    %-7s %s\n", r.result(name), name)
		}
		if len(r.cases[l.id]) > 0 {
			covered++
		}
	}
	for _, name := range r.order {
		if r.passed[name] {
			passed++
		}
	}
	fmt.Fprintf(&b, "%d lines, %d of them covered here; %d cases, %d passed\n", len(lines), covered, len(r.order), passed)
	return b.String()
}

// problems are lines without a case, cases of lines that nobody wrote down, and names
// that are given twice. Behind a proxy a line may do without.
func (r *report) problems(behindProxy bool) (list []string) {
	known := map[string]bool{}
	for _, l := range lines {
		if known[l.id] {
			list = append(list, l.id+" is there twice")
		}
		known[l.id] = true
		if n := len(r.cases[l.id]); n == 0 && l.elsewhere == "" && !behindProxy {
			list = append(list, l.id+" has no case")
		} else if n > 0 && l.elsewhere != "" {
			list = append(list, l.id+" has a case, and a reason to have none")
		}
	}
	for id, names := range r.cases {
		if !known[id] {
			list = append(list, fmt.Sprintf("%s is no line, but %q covers it", id, names))
		}
	}
	sorted := slices.Sorted(slices.Values(r.order))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			list = append(list, fmt.Sprintf("two cases are called %q", sorted[i]))
		}
	}
	slices.Sort(list)
	return list
}

// A report that overlooks a line would be worth nothing.
func TestReport(t *testing.T) {
	r := newReport([]test{{name: "a", lines: "http.tls nonsense"}, {name: "a", lines: "csv.once"}})
	r.note("a", false)
	text := strings.Join(r.problems(false), "\n")
	for _, want := range []string{"http.basic has no case", "nonsense is no line", `two cases are called "a"`} {
		if !strings.Contains(text, want) {
			t.Errorf("problems are\n%s\nwant %s among them", text, want)
		}
	}
	if strings.Contains(text, "http.tls has no case") {
		t.Errorf("http.tls has a case: %s", text)
	}
	if !strings.Contains(r.text(), "FAILED  a") {
		t.Errorf("want the case FAILED in\n%s", r.text())
	}
}
