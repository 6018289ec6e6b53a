package daemon

import (
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// TestAliveAmong: who is cut off takes nobody for dead, and so undoes nobody's tasks.
func TestAliveAmong(t *testing.T) {
	now := time.Now()
	long := now.Add(-time.Hour)
	members := func(states ...string) (list []cluster.Member) {
		for i, s := range states {
			list = append(list, cluster.Member{Name: string(rune('a' + i)), State: s, Self: i == 0, Seen: long})
		}
		return list
	}
	tests := []struct {
		name    string
		members []cluster.Member
		node    string
		alive   bool
		since   time.Time
	}{
		{"it is there", members("alive", "alive"), "b", true, long},
		{"it can not be reached just now", members("alive", "suspect"), "b", true, long},
		{"one of two is gone", members("alive", "dead"), "b", false, long},
		{"one of three is gone", members("alive", "dead", "alive"), "b", false, long},
		{"two of three are gone", members("alive", "dead", "dead"), "b", true, now},
		{"it left", members("alive", "alive"), "c", false, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			alive, since := aliveAmong(tt.members, tt.node, now)
			if alive != tt.alive || !since.Equal(tt.since) {
				t.Errorf("alive %v since %v, want %v since %v", alive, since, tt.alive, tt.since)
			}
		})
	}
}
