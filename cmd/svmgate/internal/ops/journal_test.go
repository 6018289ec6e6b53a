package ops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/svmgate/svmgate/store"
)

func TestAppendsCountFailures(t *testing.T) {
	a := NewAppends(prometheus.NewRegistry(), quiet)
	a.Observe(3, time.Millisecond, store.ErrReadOnly)
	a.Observe(2, time.Millisecond, nil)
	if got := testutil.ToFloat64(a.failed); got != 1 {
		t.Errorf("failures = %v, want 1", got)
	}
	if got := testutil.ToFloat64(a.records); got != 2 {
		t.Errorf("records = %v, want 2", got)
	}
}

// A thousand refused changes are one line, and so is the end of it.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	full := fmt.Errorf("%w: %w", store.ErrReadOnly, syscall.ENOSPC)
	quota := fmt.Errorf("%w: %w", store.ErrReadOnly, syscall.EDQUOT)
	broken := fmt.Errorf("%w: %w; restart the gateway", store.ErrReadOnly, syscall.EIO)
	const (
		isFull = "level=ERROR .*changes are refused.* reason=.*(no space|quota)"
		broke  = "level=ERROR .*changes are refused.* reason=.*restart the gateway"
		again  = "level=INFO .*changes are accepted again"
	)
	tests := []struct {
		name    string
		appends []error
		want    []string // patterns of the lines
	}{
		{"nothing is said while all is well", []error{nil, nil}, nil},
		{"a full disk, and space again", []error{nil, full, full, full, nil, nil},
			[]string{isFull, again}},
		{"a quota is a full disk", []error{quota, quota, nil}, []string{isFull, again}},
		{"a second time", []error{full, nil, full}, []string{isFull, again, isFull}},
		{"a broken journal", []error{broken, broken}, []string{broke}},
		{"it gets worse", []error{full, broken, broken}, []string{isFull, broke}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			a := NewAppends(prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&log, nil)))
			for _, err := range tt.appends {
				a.Observe(1, time.Millisecond, err)
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if log.Len() == 0 {
				lines = nil
			}
			if len(lines) != len(tt.want) {
				t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(tt.want), log.String())
			}
			for i, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(lines[i]) {
					t.Errorf("line %d is %s, want %s", i+1, lines[i], want)
				}
			}
		})
	}
}

func TestReadinessFollowsTheDisk(t *testing.T) {
	full := fmt.Errorf("%w: %w", store.ErrReadOnly, syscall.ENOSPC)
	tests := []struct {
		name           string
		fault, refused error
		unready        error
		code           int
		says           []string
		full           float64
	}{
		{"all is well", nil, nil, nil, 200, []string{"ready\n"}, 0},
		{"a full disk", nil, full, nil, 200, []string{"ready; ", "was refused", "no space left"}, 1},
		{"an error of writing", nil, store.ErrReadOnly, nil, 200, []string{"ready; ", "was refused"}, 0},
		{"a failed fsync", errors.New("sector 17; restart the gateway"), store.ErrReadOnly, nil, 503, []string{"not ready: sector 17; restart the gateway\n"}, 0},
		{"while it stops", nil, full, errors.New("draining"), 503, []string{"not ready: draining\n"}, 1},
	}
	for _, tt := range tests {
		p := New(prometheus.NewRegistry(), quiet)
		a := NewAppends(prometheus.NewRegistry(), quiet)
		p.Watch(func() error { return tt.fault }, a)
		p.SetReady(tt.unready)
		for _, err := range []error{full, nil, tt.refused} {
			a.Observe(1, time.Millisecond, err)
		}
		code, body := ask(p, "/readyz", nil)
		if code != tt.code || p.Ready() != (tt.code == 200) {
			t.Errorf("%s: %d %q and Ready is %v, want %d", tt.name, code, body, p.Ready(), tt.code)
		}
		for _, says := range tt.says {
			if !strings.Contains(body, says) {
				t.Errorf("%s: %q, want it to contain %q", tt.name, body, says)
			}
		}
		if got := testutil.ToFloat64(a.full); got != tt.full {
			t.Errorf("%s: full is %v, want %v", tt.name, got, tt.full)
		}
	}
}

// The age of a snapshot that was never written is not fifty years.
func TestNoSnapshotHasNoAge(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(NewSource(DiskFamilies(func() store.DiskStats { return store.DiskStats{Fault: io.ErrShortWrite} })...))
	if n, err := testutil.GatherAndCount(r, "svmgate_snapshot_age_seconds"); n != 0 || err != nil {
		t.Errorf("%d ages, %v; want none", n, err)
	}
	want := "# HELP svmgate_journal_broken Whether nothing can be written until a restart (1) or not (0).\n" +
		"# TYPE svmgate_journal_broken gauge\nsvmgate_journal_broken 1\n"
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "svmgate_journal_broken"); err != nil {
		t.Error(err)
	}
}
