package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
)

var oldKey, newKey = slices.Repeat([]byte{1}, 32), slices.Repeat([]byte{2}, 16)

// A keyFile is what SaveKeys saves to.
type keyFile struct {
	mu   sync.Mutex
	keys [][]byte
	full bool
}

func (f *keyFile) save(keys [][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return errors.New("no space left on device")
	}
	f.keys = slices.Clone(keys)
	return nil
}

func (f *keyFile) has(keys ...[]byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.EqualFunc(f.keys, keys, slices.Equal)
}

// keyNames returns the names of the two keys.
func keyNames(t *testing.T, m member) (oldName, newName string) {
	answers, err := m.ChangeKeys(t.Context(), cluster.ListKeys, nil)
	if err != nil || len(answers[0].Keys) != 2 {
		t.Fatalf("got %+v (%v), want two keys of each", answers, err)
	}
	return answers[0].Keys[0], answers[0].Keys[1]
}

// TestKeysAreReplaced replaces the key of three nodes over real sockets, while all
// of them write.
func TestKeysAreReplaced(t *testing.T) {
	files := make([]keyFile, 3)
	var all []member
	for i := range files {
		cfg := cluster.Config{Name: fmt.Sprint("n", i), Keys: [][]byte{oldKey}, SaveKeys: files[i].save}
		if i > 0 {
			cfg.Seeds = []string{all[0].Addr()}
		}
		all = append(all, start(t, cfg))
	}
	await(t, "all see all", 10*time.Second, met(all))

	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	count := make([]int, len(all))
	for i, m := range all {
		writing.Go(func() {
			for ; ctx.Err() == nil; count[i]++ {
				if err := m.table.Set(key(lasting, count[i]*len(all)+i), []byte("written")); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	steps := []struct {
		by     member
		change cluster.KeyChange
		key    []byte
		then   [][]byte
	}{
		{all[0], cluster.AddKey, newKey, [][]byte{oldKey, newKey}},
		{all[1], cluster.UseKey, newKey, [][]byte{newKey, oldKey}},
		{all[2], cluster.RemoveKey, oldKey, [][]byte{newKey}},
	}
	for _, s := range steps {
		time.Sleep(100 * time.Millisecond)
		answers, err := s.by.ChangeKeys(t.Context(), s.change, s.key)
		if err != nil || len(answers) != len(all) {
			t.Fatalf("%s: got %+v (%v), want an answer of each", s.change, answers, err)
		}
		for i, a := range answers {
			if a.Err != "" || len(a.Keys) != len(s.then) || a.Node != all[i].Name() || !slices.Equal(a.Keys, answers[0].Keys) {
				t.Errorf("%s: got %+v, want %d keys of %s", s.change, a, len(s.then), all[i].Name())
			}
			if !files[i].has(s.then...) {
				t.Errorf("%s: %s has not saved what it holds", s.change, a.Node)
			}
		}
	}
	time.Sleep(100 * time.Millisecond)
	stop()
	writing.Wait()
	total := count[0] + count[1] + count[2]
	await(t, fmt.Sprintf("all %d writes everywhere", total), 30*time.Second, func() bool {
		return all[0].table.Len() == total && all[1].table.Len() == total && all[2].table.Len() == total
	})
	for _, m := range all {
		if s := m.Stats(); s.Alive != len(all) {
			t.Errorf("%s sees %d alive, want %d", m.Name(), s.Alive, len(all))
		}
	}

	// A node with the old key alone is a stranger now, one with the new key is not.
	stranger := start(t, cluster.Config{Name: "stranger", Keys: [][]byte{oldKey}, Seeds: []string{all[0].Addr()}})
	friend := start(t, cluster.Config{Name: "friend", Keys: [][]byte{newKey}, Seeds: []string{all[0].Addr()}})
	await(t, "the friend there", 10*time.Second, met(append(all, friend)))
	if s := stranger.Stats(); s.Members != 1 {
		t.Errorf("with the old key a node sees %d members, want itself", s.Members)
	}
}

// rotating starts three nodes in virtual time with the keys that each has.
func rotating(t *testing.T, n *clustertest.Network, files []keyFile, keys ...[][]byte) []member {
	next := 0
	all := startOn(t, n, len(keys), func(cfg *cluster.Config) {
		cfg.Keys, cfg.SaveKeys = keys[next], files[next].save
		next++
	})
	await(t, "all see all", 10*time.Second, met(all))
	return all
}

var both = [][]byte{oldKey, newKey}

func TestChangesOfKeysThatAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		keys   [3][][]byte
		crash  bool // n2 is dead
		change cluster.KeyChange
		key    []byte
		says   string // of the error
	}{
		{"using what one does not have", [3][][]byte{both, both, {oldKey}}, false, cluster.UseKey, newKey, "because of member n2: it does not have the key; add it first"},
		{"using while one is dead", [3][][]byte{both, both, both}, true, cluster.UseKey, newKey, "because of member n2: cluster: the member is dead"},
		{"removing what one uses", [3][][]byte{both, {newKey, oldKey}, both}, false, cluster.RemoveKey, newKey, "because of member n1: it uses the key; use another first"},
		{"removing what this node uses", [3][][]byte{both, {newKey, oldKey}, both}, false, cluster.RemoveKey, oldKey, "because of member n0: it uses the key; use another first"},
		{"removing while one is dead", [3][][]byte{both, both, both}, true, cluster.RemoveKey, newKey, "because of member n2: cluster: the member is dead"},
		{"something else", [3][][]byte{both, both, both}, false, "forget", newKey, "use list, add, use or remove"},
		{"a key of another size", [3][][]byte{both, both, both}, false, cluster.AddKey, make([]byte, 20), "a key has 16, 24 or 32 bytes, not 20"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond})
				files := make([]keyFile, 3)
				all := rotating(t, n, files, tt.keys[:]...)
				if tt.crash {
					n.Crash("n2")
					time.Sleep(time.Minute)
				}
				before, _ := all[0].ChangeKeys(t.Context(), cluster.ListKeys, nil)
				answers, err := all[0].ChangeKeys(t.Context(), tt.change, tt.key)
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %+v and %v, want the error %q", answers, err, tt.says)
				}
				after, _ := all[0].ChangeKeys(t.Context(), cluster.ListKeys, nil)
				if fmt.Sprint(before) != fmt.Sprint(after) {
					t.Errorf("then they hold %+v, want as before %+v", after, before)
				}
				for i := range files {
					if !files[i].has() {
						t.Errorf("n%d saved something", i)
					}
				}
				// Nobody is kept from changing keys now.
				if answers, err := all[1].ChangeKeys(t.Context(), cluster.AddKey, newKey); err != nil || answers[0].Err != "" {
					t.Errorf("then adding is answered with %+v (%v)", answers, err)
				}
			})
		})
	}
}

func TestAKeyIsAddedWhileAMemberIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond})
		old := [][]byte{oldKey}
		all := rotating(t, n, make([]keyFile, 3), old, old, old)
		n.Crash("n1")
		time.Sleep(time.Minute)
		answers, err := all[0].ChangeKeys(t.Context(), cluster.AddKey, newKey)
		if err != nil || len(answers) != 3 || len(answers[0].Keys) != 2 || answers[1].Err == "" || len(answers[2].Keys) != 2 {
			t.Errorf("got %+v (%v), want two keys of n0 and n2, and an error of n1", answers, err)
		}
	})
}

func TestAMemberThatCanNotSaveKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond})
		files := make([]keyFile, 3)
		all := rotating(t, n, files, both, both, both)
		files[1].full = true
		oldName, newName := keyNames(t, all[0])
		answers, err := all[0].ChangeKeys(t.Context(), cluster.UseKey, newKey)
		if err != nil || !strings.Contains(answers[1].Err, "no space left") || answers[0].Err != "" || answers[2].Err != "" {
			t.Errorf("got %+v (%v), want the error of n1", answers, err)
		}
		answers, _ = all[0].ChangeKeys(t.Context(), cluster.ListKeys, nil)
		for i, first := range []string{newName, oldName, newName} {
			if len(answers[i].Keys) != 2 || answers[i].Keys[0] != first {
				t.Errorf("n%d holds %v, want %s first", i, answers[i].Keys, first)
			}
		}
	})
}

func TestKeysOfATrafficInTheClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := startOn(t, clustertest.NewNetwork(1, clustertest.Faults{}), 1, nil)
		if answers, err := all[0].ChangeKeys(t.Context(), cluster.AddKey, newKey); err == nil {
			t.Errorf("got %+v, want an error", answers)
		}
	})
}
