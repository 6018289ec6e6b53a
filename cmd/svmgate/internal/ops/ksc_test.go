package ops

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/store"
)

// fakeCapacities counts how often it is asked.
type fakeCapacities struct {
	asked   atomic.Int32
	answers atomic.Pointer[[]ksc.Capacity]
}

func answering(list ...ksc.Capacity) *fakeCapacities {
	f := &fakeCapacities{}
	f.answers.Store(&list)
	return f
}

func (f *fakeCapacities) Capacity(ctx context.Context) []ksc.Capacity {
	f.asked.Add(1)
	if _, bounded := ctx.Deadline(); !bounded {
		panic("nobody bounds the wait")
	}
	return *f.answers.Load()
}

var _ Capacities = (*ksc.Servers)(nil)

func TestCenters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		fake := answering(ksc.Capacity{URL: "https://a.example:1", Used: 100, Limit: 500},
			ksc.Capacity{URL: "https://b.example:1", Err: errors.New("gone"), Limit: 500})
		c := NewCenters(fake, slog.New(slog.NewTextHandler(&log, nil)))
		p, registry := New(prometheus.NewRegistry(), quiet), prometheus.NewRegistry()
		p.ShowCenters(c)
		registry.MustRegister(NewSource(c.Families()...))
		metrics := func(want string) {
			t.Helper()
			var lines []string
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					lines = append(lines, strings.TrimPrefix(f.GetName(), "svmgate_ksc_")+" "+m.GetLabel()[0].GetValue()[8:9]+" "+
						strings.TrimSpace(strings.TrimPrefix(m.GetGauge().String(), "value:")))
				}
			}
			if got := strings.Join(lines, ", "); got != want {
				t.Errorf("metrics: %s, want %s", got, want)
			}
		}
		metrics("")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		synctest.Wait()
		metrics("remaining_virtual_servers a 400, up a 1, up b 0, virtual_servers a 100")
		for _, want := range []string{"https://a.example:1</th><td>100 of 500 virtual servers", "https://b.example:1</th><td>can not be asked: gone"} {
			if _, body := ask(p, "/debug/", nil); !strings.Contains(body, want) {
				t.Errorf("the index lacks %s:\n%s", want, body)
			}
		}
		// Gathering asks nobody; time does.
		for range 5 {
			if _, err := testutil.GatherAndCount(registry); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Minute + time.Second)
		if n := fake.asked.Load(); n != 11 {
			t.Errorf("asked %d times in ten minutes, want 11", n)
		}
		fake.answers.Store(&[]ksc.Capacity{{URL: "https://a.example:1", Used: 501, Limit: 500}, {URL: "https://b.example:1", Used: 1, Limit: 500}})
		time.Sleep(2 * time.Minute)
		metrics("remaining_virtual_servers a 0, remaining_virtual_servers b 499, up a 1, up b 1, virtual_servers a 501, virtual_servers b 1")
		fake.answers.Store(&[]ksc.Capacity{{URL: "https://a.example:1", Err: context.Canceled}})
		cancel()
		<-done
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		for i, want := range []string{"b.example:1 reason=gone", "a.example:1 used=501 limit=500", "b.example:1 used=1 limit=500"} {
			if len(lines) != 3 || !strings.Contains(lines[i], want) {
				t.Errorf("the log lacks %q as line %d of 3:\n%s", want, i+1, &log)
			}
		}
	})
}

// A center that a gateway could not ask because it was stopped is not silent.
func TestCentersEnd(t *testing.T) {
	var log bytes.Buffer
	c := NewCenters(answering(ksc.Capacity{URL: "https://a.example:1", Err: context.Canceled}), slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Run(ctx)
	if c.found() != nil || log.Len() > 0 {
		t.Errorf("found %+v, logged %s", c.found(), &log)
	}
}

func TestTaskMetrics(t *testing.T) {
	table, _ := world(t, store.Config{})
	ids := []store.TaskID{store.NewTaskID(), store.NewTaskID(), store.NewTaskID()}
	if err := table.Update(func(tx *store.Tx) error {
		for i, state := range []store.TaskState{store.TaskRunning, store.TaskCompleted, store.TaskRunning} {
			if _, err := tx.PutTask(store.Task{ID: ids[i], Type: "CreateTenant", Node: "n", State: state}); err != nil {
				return err
			}
		}
		_, err := tx.CancelTask(ids[2], "admin")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(NewSource(TaskFamilies(table)...))
	want := "# HELP svmgate_tasks Tasks by their present state, those of all gateways: each shows the same.\n# TYPE svmgate_tasks gauge\n"
	for _, line := range []string{"canceled 0", "completed 1", "created 0", "failed 0", "queued 0", "running 1", "starting 0", "stopping 1"} {
		state, n, _ := strings.Cut(line, " ")
		want += `svmgate_tasks{state="` + state + `"} ` + n + "\n"
	}
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
