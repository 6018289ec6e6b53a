package ops

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

const (
	// centersEvery is how often Kaspersky Security Centers are asked for their room.
	centersEvery = time.Minute
	// scarce is how many virtual servers less than which a center can still have are told
	// of in the log.
	scarce = 25
)

// Capacities tells how many virtual servers Kaspersky Security Centers have;
// [*ksc.Servers] does.
type Capacities interface {
	Capacity(ctx context.Context) []ksc.Capacity
}

// Centers keeps what Kaspersky Security Centers last said of their room. It asks them in
// the background, so that nobody who gathers metrics waits for them.
type Centers struct {
	from Capacities
	log  *slog.Logger
	last atomic.Pointer[room]
	told map[string]string // by URL: what the log has of it
}

// room is what was found at a moment.
type room struct {
	Asked   time.Time
	Centers []ksc.Capacity
}

// NewCenters returns Centers that ask from once [Centers.Run] runs.
func NewCenters(from Capacities, log *slog.Logger) *Centers {
	return &Centers{from: from, log: log, told: map[string]string{}}
}

// Run asks at once and then every minute, until ctx ends. It logs when a center can not
// be asked, or has little room left, and when that is over.
func (c *Centers) Run(ctx context.Context) {
	tick := time.NewTicker(centersEvery)
	defer tick.Stop()
	for {
		c.ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Centers) ask(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, centersEvery)
	defer cancel()
	found := c.from.Capacity(bounded)
	if ctx.Err() != nil { // that they could not be asked is no fault of theirs
		return
	}
	c.last.Store(&room{time.Now(), found})
	for _, center := range found {
		c.tell(&center)
	}
}

// tell logs what is new about a center.
func (c *Centers) tell(center *ksc.Capacity) {
	state := ""
	switch left := center.Limit - center.Used; {
	case center.Err != nil:
		state = "silent"
	case left < scarce:
		state = "scarce"
	}
	before := c.told[center.URL]
	if c.told[center.URL] = state; state == before {
		return
	}
	log := c.log.With("ksc", center.URL)
	switch state {
	case "silent":
		log.Warn("a Kaspersky Security Center can not be asked: complete tenants can be neither created nor removed there", "reason", center.Err.Error())
	case "scarce":
		log.Warn("a Kaspersky Security Center has little room left for virtual servers", "used", center.Used, "limit", center.Limit)
	default:
		log.Info("a Kaspersky Security Center answers, and has room for virtual servers", "used", center.Used, "limit", center.Limit)
	}
}

// found returns what was found last; nil before that.
func (c *Centers) found() *room {
	if c == nil {
		return nil
	}
	return c.last.Load()
}

// Families tells what was found last. Of a center that could not be asked then, only that
// is told: older figures would look like present ones.
func (c *Centers) Families() []Family {
	each := func(fn func(ksc.Capacity, Emit)) func(Emit) {
		return func(emit Emit) {
			if r := c.found(); r != nil {
				for _, center := range r.Centers {
					fn(center, emit)
				}
			}
		}
	}
	figure := func(name, help string, value func(ksc.Capacity) int) Family {
		return Family{Name: name, Help: help, Labels: []string{"ksc"}, Read: each(func(center ksc.Capacity, emit Emit) {
			if center.Err == nil {
				emit(float64(value(center)), center.URL)
			}
		})}
	}
	return []Family{
		{
			Name: "ksc_up", Help: "Whether a Kaspersky Security Center could be asked within the last minute (1) or not (0).", Labels: []string{"ksc"},
			Read: each(func(center ksc.Capacity, emit Emit) { emit(number(center.Err == nil), center.URL) }),
		},
		figure("ksc_virtual_servers", "Virtual Administration Servers of a Kaspersky Security Center.",
			func(c ksc.Capacity) int { return c.Used }),
		figure("ksc_remaining_virtual_servers", "Virtual Administration Servers that a Kaspersky Security Center can still have.",
			func(c ksc.Capacity) int { return max(0, c.Limit-c.Used) }),
	}
}

// TaskFamilies tells the tasks of a table, those of all gateways.
func TaskFamilies(t *store.Table) []Family {
	return []Family{{
		Name: "tasks", Help: "Tasks by their present state, those of all gateways: each shows the same.", Labels: []string{"state"},
		Read: func(emit Emit) {
			var n [store.TaskCanceled + 1]int
			for _, each := range t.Tasks() {
				n[task.View(each).State]++
			}
			for state, count := range n {
				emit(float64(count), store.TaskState(state).String())
			}
		},
	}}
}
