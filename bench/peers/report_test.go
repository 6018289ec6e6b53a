package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

func TestFigures(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   figure
	}{
		{nil, figure{}},
		{[]float64{7}, figure{7, 7, 7}},
		{[]float64{4, 1, 3, 2}, figure{2.5, 1.75, 3.25}},
		{[]float64{5, 1, 4, 2, 3}, figure{3, 2, 4}},
	} {
		if got := figureOf(tt.values); got != tt.want {
			t.Errorf("figureOf(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}

// Ratios are those of one round each: a machine that is slow for a while makes none.
func TestRatiosAreOfOneRound(t *testing.T) {
	rounds := func(cpu ...float64) (m []measure) {
		for _, c := range cpu {
			m = append(m, measure{CPU: c, Rate: 1e9 / c})
		}
		return m
	}
	fast := &row{group: plain, name: "fasthttp, constant", rounds: rounds(8000, 8000, 16000, 8000, 16000)}
	gate := &row{group: plain, name: "svmgate", version: "1", bytes: 516, rounds: rounds(8800, 8800, 17600, 17600, 8800)}
	g := groupOf([]*row{gate, fast})
	if got := g.Rows[0]; got.Ratio.Median != 1.1 || got.CPU.Median != 8.8 || g.Rows[1].Ratio != (figure{1, 1, 1}) {
		t.Errorf("%+v, want 1.1 times as much", g)
	}
	dir := filepath.Join(t.TempDir(), "results")
	rep := report{occasion: occasion{World: map[string]int{"vms": 7}, Command: "peers"}, Groups: []group{g}, Skipped: map[string]string{"nginx": "there is none"}}
	if err := save(dir, "peers", &rep); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "peers.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| server | version | answer, bytes | CPU, µs | × fasthttp, constant |",
		"| svmgate | 1 | 516 | 8.80 | 1.100 | 1.100 to 1.100 | 113636 | 100 % |", "\n- nginx: there is none\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

// The first round does not count, and an error names the server.
func TestRounds(t *testing.T) {
	p, err := start(-1, t.TempDir(), nil, "/bin/sleep", "60")
	if err != nil {
		t.Skip(err)
	}
	defer p.stop()
	var asked, closed int
	r := &row{name: "a", server: p, slice: func(time.Duration) (int, error) { asked++; return 10, nil }, close: func() { closed++ }}
	if err := runRounds(t.Context(), []*row{r}, 3, 0, io.Discard); err != nil || asked != 4 || len(r.rounds) != 3 || closed != 1 {
		t.Errorf("%v: asked in %d rounds, %d count, closed %d times; want 4, 3 and 1", err, asked, len(r.rounds), closed)
	}
	r.slice = func(time.Duration) (int, error) { return 0, errors.New("it is gone") }
	if err := runRounds(t.Context(), []*row{r}, 3, 0, io.Discard); err == nil || err.Error() != "a: it is gone" {
		t.Errorf("%v, want who and why", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := runRounds(ctx, []*row{r}, 3, 0, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v after an interrupt", err)
	}
}

// The directory that gateways start with has all of the world, and its tokens.
func TestWorld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	if err := testWorld.write(dir); err != nil {
		t.Fatal(err)
	}
	other := dir + "-2"
	if err := copyTo(other, dir); err != nil {
		t.Fatal(err)
	}
	journal, err := store.OpenDir(other)
	if err != nil {
		t.Fatal(err)
	}
	table, err := store.Open(store.Config{Node: node, Journal: journal})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for i := range testWorld.VMs {
		tenant, ok := table.TenantByToken(tokenSum(testWorld.tokens[i%len(testWorld.tokens)]))
		if want := testWorld.VM(i).Tenant; !ok || tenant != want {
			t.Fatalf("the token of VM %d is that of tenant %v, %t; want %v", i, tenant, ok, want)
		}
		if got, want := string(appendID(nil, &testWorld.bios[i])), testWorld.BIOS(i).String(); got != want {
			t.Fatalf("VM %d is asked for as %s, want %s", i, got, want)
		}
	}
	if stats := table.Stats(); stats.VMs != testWorld.VMs || stats.SVMs != testWorld.SVMs {
		t.Errorf("the table has %+v", stats)
	}
}
