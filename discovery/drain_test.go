package discovery

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Agents leave an SVM that drains evenly over the time that was said, each once, whether
// they tell where they are or not; and what they do is counted.
func TestAgentsLeaveInTheirTurn(t *testing.T) {
	for _, tells := range []bool{true, false} {
		t.Run(fmt.Sprint("tells=", tells), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { leaveInTurn(t, tells) })
		})
	}
}

func leaveInTurn(t *testing.T, tells bool) {
	const agents = 2000
	table, err := store.Open(store.Config{})
	must(t, err)
	defer table.Close()
	s, err := New(Config{Table: table})
	must(t, err)
	defer s.Close()
	drained := store.SVMID{1}
	must(t, table.Update(func(tx *store.Tx) error {
		for i := range byte(4) {
			if _, err := tx.ConfigureSVM(store.SVMID{i + 1}, store.SVMConfig{Address: "10.9.0.7", Pinned: true}, store.Ready); err != nil {
				return err
			}
		}
		for i := range agents {
			if _, err := tx.PutVM(store.VM{BIOS: store.BIOSID{1, byte(i >> 8), byte(i)}}); err != nil {
				return err
			}
		}
		return nil
	}))
	at := make([]store.SVMID, agents)
	moved := 0
	ask := func() (there int) {
		s.Wait()
		for i := range at {
			q := Query{BIOS: store.BIOSID{1, byte(i >> 8), byte(i)}}
			if tells {
				q.Current = at[i]
			}
			var a Answer
			s.Select(&q, &a)
			if a.Result != Assigned {
				t.Fatalf("agent %d: %v", i, a.Result)
			}
			is := a.SVMs()[0].SVM.ID
			if at[i] != is && !at[i].IsZero() {
				if at[i] != drained {
					t.Errorf("agent %d moves from %v, which does not drain", i, at[i])
				}
				moved++
			}
			if at[i] = is; is == drained {
				there++
			}
		}
		return there
	}
	had := ask()
	if had < agents/5 {
		t.Fatalf("%d of %d agents are on the SVM", had, agents)
	}
	time.Sleep(time.Minute)
	must(t, table.Update(func(tx *store.Tx) error { _, err := tx.DrainSVM(drained, 20*time.Minute); return err }))
	for minute := range 21 {
		want := had - had*minute/20
		if there := ask(); there < want-had/10 || there > want+had/10 || minute == 20 && there > 0 {
			t.Errorf("after %d minutes %d of %d are there, want about %d", minute, there, had, want)
		}
		time.Sleep(time.Minute)
	}
	if got := s.Stats(); moved != had || got.Moved != uint64(moved) || got.Placed != agents {
		t.Errorf("%d moved, counted %+v; want %d to move once, %d to be placed", moved, got, had, agents)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
