package discovery

import (
	"time"

	"github.com/svmgate/svmgate/store"
)

// TellEvery is how often a selector tells what it has seen.
const TellEvery = 2 * time.Second

// A Sighting is what one gateway knows of an SVM that the others do not see for
// themselves.
type Sighting struct {
	SVM store.SVMID

	// Picks are the agents that it sent there, less those that it sent elsewhere,
	// since it started. The count wraps around.
	Picks int32

	Suspect bool // agents or probes could not reach it
	Silent  bool // it went down here for want of reports, not long ago
}

// Hear takes in what another gateway told. Epoch is different whenever that gateway
// has started anew, and its picks from 0. What is heard is forgotten when the
// gateway was not heard for a while; repeats and losses do no harm. Hear may be
// called by any number of goroutines, and keeps nothing of list.
func (s *Selector) Hear(gateway string, epoch uint64, list []Sighting) {
	_, _, _ = gateway, epoch, list
}
