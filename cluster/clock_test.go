package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestMajorityOfClocks(t *testing.T) {
	s, hour := time.Second, time.Hour
	tests := []struct {
		name   string
		peers  []time.Duration // leads; this node's is 0
		median time.Duration
		ours   bool
		found  bool
	}{
		{"alone", nil, 0, false, false},
		{"two that agree", []time.Duration{10 * s}, 0, true, true},
		{"two that differ", []time.Duration{hour}, 0, false, false},
		{"two against this one", []time.Duration{hour, hour + 2*s}, hour, false, true},
		{"one with this one", []time.Duration{hour, 2 * s}, 0, true, true},
		{"three that differ", []time.Duration{hour, -hour}, 0, false, false},
		{"two and two", []time.Duration{hour, hour, s}, 0, false, false},
		{"three of five", []time.Duration{hour, -hour, -hour, -hour}, -hour, false, true},
		{"three of five with this one", []time.Duration{hour, -hour, s, 2 * s}, s, true, true},
		{"a chain, and this one at its end", []time.Duration{20 * s, 40 * s}, 0, true, true},
		{"a chain that leaves this one out", []time.Duration{31 * s, 40 * s, 50 * s}, 40 * s, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			median, ours, found := majority(append(tt.peers, 0), 0)
			if found != tt.found || ours != tt.ours || found && median != tt.median {
				t.Errorf("got %v, ours %t, found %t; want %v, %t, %t", median, ours, found, tt.median, tt.ours, tt.found)
			}
		})
	}
}

// TestFewWrongClocksChangeNothing: whatever less than half of all say, the time is
// among what the others say.
func TestFewWrongClocksChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		right := rapid.SliceOfN(rapid.Int64Range(0, int64(agree)), 2, 20).Draw(t, "right")
		wrong := rapid.SliceOfN(rapid.Int64Range(-4e18, 4e18), 0, len(right)-1).Draw(t, "wrong")
		var leads []time.Duration
		for _, l := range append(right, wrong...) {
			leads = append(leads, time.Duration(l))
		}
		own := rapid.SampledFrom(leads).Draw(t, "own")
		median, ours, found := majority(leads, own)
		if !found || !ours && (median < -agree || median > 2*agree) {
			t.Fatalf("got %v, ours %t, found %t", median, ours, found)
		}
		if own >= 0 && own <= agree && !ours {
			t.Fatalf("%v is right, and held to be wrong", own)
		}
	})
}

// A settable clock is the wall clock plus something.
type settable struct{ lead time.Duration }

func (s *settable) now() time.Time { return time.Now().Add(s.lead) }

func TestClock(t *testing.T) {
	type step struct {
		what  string
		set   time.Duration   // lead of the machine's clock
		peers []time.Duration // leads; nil: no judgement
		alone bool
		want  time.Duration // lead of Now
		wrong bool
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"nobody to ask", []step{
			{what: "at the start", set: time.Hour, want: time.Hour},
			{what: "set", set: -time.Hour, alone: true, peers: []time.Duration{}, want: -time.Hour},
			{what: "set again", set: 0, want: 0},
		}},
		{"peers out of reach", []step{
			{what: "at the start", peers: []time.Duration{}, want: 0},
			{what: "set", set: time.Hour, want: 0},
			{what: "asked for in vain", set: time.Hour, peers: []time.Duration{}, want: 0},
			{what: "peers agree with it", set: time.Hour, peers: []time.Duration{time.Hour, time.Hour}, want: time.Hour},
		}},
		{"slow drift is followed", []step{
			{peers: []time.Duration{}, want: 0},
			{set: 20 * time.Second, peers: []time.Duration{}, want: 20 * time.Second},
			{set: 40 * time.Second, peers: []time.Duration{}, want: 40 * time.Second},
		}},
		{"wrong from the start", []step{
			{what: "nobody heard", set: time.Hour, peers: []time.Duration{}, want: time.Hour},
			{what: "one heard", set: time.Hour, peers: []time.Duration{0}, want: time.Hour},
			{what: "two heard", set: time.Hour, peers: []time.Duration{0, time.Second}, want: 0, wrong: true},
			{what: "all gone", set: time.Hour, peers: []time.Duration{}, want: 0, wrong: true},
			{what: "set more", set: 2 * time.Hour, want: 0, wrong: true},
			{what: "put right", set: 0, peers: []time.Duration{0, time.Second}, want: 0},
		}},
		{"a peer is wrong", []step{
			{peers: []time.Duration{0, 365 * 24 * time.Hour}, want: 0},
			{peers: []time.Duration{365 * 24 * time.Hour}, want: 0},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wall := settable{lead: tt.steps[0].set}
				c, judged := NewClock(wall.now), wall.lead
				for i, s := range tt.steps {
					jump := (s.set - judged).Abs() > agree
					wall.lead = s.set
					time.Sleep(time.Minute)
					if c.jumped() != jump {
						t.Errorf("step %d, %s: jumped is %t", i, s.what, !jump)
					}
					if s.peers != nil {
						c.judge(s.peers, s.alone)
						judged = s.set
					}
					if got := time.Until(c.Now()); got != s.want {
						t.Errorf("step %d, %s: Now leads by %v, want %v", i, s.what, got, s.want)
					}
					if got := c.state.Load().wrong; got != s.wrong {
						t.Errorf("step %d, %s: wrong is %t", i, s.what, got)
					}
				}
			})
		})
	}
}

func BenchmarkClock(b *testing.B) {
	c := NewClock(time.Now)
	c.judge([]time.Duration{0, 0}, false)
	b.Run("clock=ours", func(b *testing.B) {
		for b.Loop() {
			_ = c.Now()
		}
	})
	b.Run("clock=machine's", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
}
