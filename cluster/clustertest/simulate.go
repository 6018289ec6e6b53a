package clustertest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// A Simulation is a world in which a seed chooses all that happens.
type Simulation[T Table] struct {
	// Options of the world. The seed chooses Seed, Nodes and Faults.
	Options[T]

	// Lasts is how long there are faults, on average; if 0, a minute.
	Lasts time.Duration

	// Change changes a table in a way that chance chooses.
	Change func(chance *rand.Rand, table T)

	// Check is called at the end, when tables are equal. If nil, World.Check.
	Check func(*World[T])
}

// Simulate runs a simulation: three to seven nodes, changes, cuts, crashes, wrong
// clocks. Then all is well again, and the test fails unless all tables are equal
// within a minute, and hold what they must.
func Simulate[T Table](t *testing.T, seed uint64, s Simulation[T]) {
	synctest.Test(t, func(t *testing.T) {
		chance := rand.New(rand.NewPCG(seed, 0))
		s.Seed, s.Nodes = seed, 3+chance.IntN(5)
		s.Faults = someFaults(chance)
		r := &run[T]{World: NewWorld(t, s.Options), chance: chance, change: s.Change}
		r.Logf("%d nodes, %+v", s.Nodes, s.Faults)
		r.faults(time.Duration((0.5 + chance.Float64()) * float64(cmp.Or(s.Lasts, time.Minute))))
		r.allWell()
		took := r.Settle(time.Minute)
		time.Sleep(15 * time.Second) // whatever still comes must change nothing
		r.Logf("equal after %v", took)
		if !r.Equal() {
			t.Errorf("tables were equal, and are not any more:\n%s", r.Describe())
		}
		if s.Check == nil {
			r.Check()
		} else {
			s.Check(r.World)
		}
	})
}

func someFaults(chance *rand.Rand) Faults {
	ms := func(most float64) time.Duration { return time.Duration(chance.Float64() * most * 1e6) }
	bad := chance.Float64() // some networks are good
	return Faults{Loss: 0.25 * bad * chance.Float64(), Duplicate: 0.1 * bad, Delay: ms(20), Jitter: ms(200 * bad)}
}

// A run is a simulation under way.
type run[T Table] struct {
	*World[T]
	chance *rand.Rand
	change func(*rand.Rand, T)
}

// faults lets things happen for a while.
func (r *run[T]) faults(lasts time.Duration) {
	for i := range r.Len() {
		r.Wall(i).Set(r.skew(2 * time.Second))
	}
	events := []struct {
		weight int
		happen func(i int)
	}{
		{200, r.write},
		{4, r.writeMany},
		{4, r.part},
		{4, r.cutOff},
		{8, r.heal},
		{4, func(i int) { r.Logf("n%d crashes", i); r.Crash(i) }},
		{2, r.stopOne},
		{1, r.loseDisk},
		{10, r.startOne},
		{2, r.pause},
		{10, func(i int) { r.Resume(r.nodes[i].name) }},
		{2, r.turnClock},
		{1, func(int) { f := someFaults(r.chance); r.Logf("%+v", f); r.SetFaults(f) }},
	}
	total := 0
	for _, e := range events {
		total += e.weight
	}
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		time.Sleep(time.Duration(r.chance.ExpFloat64() * float64(150*time.Millisecond)))
		n, i := r.chance.IntN(total), r.chance.IntN(r.Len())
		for _, e := range events {
			if n -= e.weight; n < 0 {
				e.happen(i)
				break
			}
		}
	}
}

// allWell ends whatever is wrong.
func (r *run[T]) allWell() {
	r.Logf("all is well")
	r.Heal()
	r.SetFaults(Faults{Delay: time.Millisecond})
	for i := range r.Len() {
		r.Wall(i).Set(r.skew(2 * time.Second))
		r.Resume(r.nodes[i].name)
		r.Start(i)
	}
}

func (r *run[T]) skew(most time.Duration) time.Duration {
	return time.Duration((2*r.chance.Float64() - 1) * float64(most))
}

// startOne starts the next node that does not run.
func (r *run[T]) startOne(i int) {
	for range r.Len() {
		if r.running(i) == nil {
			r.Logf("n%d starts", i)
			r.Start(i)
			return
		}
		i = (i + 1) % r.Len()
	}
}

// stopOne stops a node, which goes on first if it is paused: it could not stop.
func (r *run[T]) stopOne(i int) {
	r.Logf("n%d stops", i)
	r.Resume(r.nodes[i].name)
	r.Stop(i)
}

// pause pauses a node, but not one that is to stop.
func (r *run[T]) pause(i int) {
	if r.running(i) != nil {
		r.Logf("n%d pauses", i)
		r.Pause(r.nodes[i].name)
	}
}

func (r *run[T]) write(i int) {
	if table, running := r.Table(i); running {
		r.change(r.chance, table)
	}
}

func (r *run[T]) writeMany(i int) {
	if r.running(i) != nil {
		r.Logf("n%d writes much", i)
		for range 300 {
			r.write(i)
		}
	}
}

// part puts nodes into two groups, and leaves some alone.
func (r *run[T]) part(int) {
	names := r.Names(0, r.Len())
	r.chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	a := r.chance.IntN(len(names))
	b := a + r.chance.IntN(len(names)-a)
	groups := [][]string{names[:a], names[a:b]}
	for _, alone := range names[b:] {
		groups = append(groups, []string{alone})
		if len(groups) == 4 {
			break
		}
	}
	r.Logf("a partition: %v", groups)
	r.Partition(groups...)
}

func (r *run[T]) cutOff(i int) {
	j := r.chance.IntN(r.Len())
	r.Logf("no way from n%d to n%d", i, j)
	r.Cut(r.nodes[i].name, r.nodes[j].name)
}

func (r *run[T]) heal(int) {
	r.Logf("all ways are open")
	r.Heal()
}

// loseDisk leaves most tables: little could be asked of few.
func (r *run[T]) loseDisk(i int) {
	r.mu.Lock()
	left := len(r.tablesLocked())
	r.mu.Unlock()
	if left > r.Len()/2+1 {
		r.Logf("n%d crashes, and loses its disk", i)
		r.Crash(i)
		r.LoseDisk(i)
	}
}

// turnClock makes a clock wrong, or right.
func (r *run[T]) turnClock(i int) {
	ahead := r.skew(2 * time.Second)
	if r.chance.IntN(2) == 0 {
		ahead = r.skew(2 * time.Hour)
	}
	r.Logf("the clock of n%d is %v ahead", i, ahead.Round(time.Millisecond))
	r.Wall(i).Set(ahead)
}

// ChangeMap is a change of a map: most of them meet others of the same key.
func ChangeMap(chance *rand.Rand, m *cluster.Map) {
	key := cluster.Key{Kind: 1}
	switch n := chance.IntN(100); {
	case n < 70:
		key.ID[0] = byte(chance.IntN(30))
	default:
		key.Kind = 2
		key.ID[0], key.ID[1] = byte(chance.IntN(256)), byte(chance.IntN(256))
	}
	value := fmt.Sprintf("%x", chance.Uint64())
	if chance.IntN(4) == 0 {
		m.Delete(key)
	} else if err := m.Set(key, []byte(value)); err != nil {
		panic(err)
	}
}
