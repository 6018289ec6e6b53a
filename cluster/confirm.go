package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// retryConfirm is how long after a failure a member is asked again, give or take a
// half: it was busy, or the connection broke.
const retryConfirm = 100 * time.Millisecond

// A Confirmation says who has applied records.
type Confirmation struct {
	Applied []string // names, this node's among them
	Missing []string // known members that have not answered, or not yet
}

// Confirm sends records, which this node has applied, to every known member, and
// waits until enough of them have them on disk, or ctx ends, or nobody is left who
// could answer. enough is how many members, this one included; all known ones if
// 0 or more than there are. What is known is what Members returns. Records that this
// node spreads reach those, too, that Confirm did not wait for.
func (n *Node) Confirm(ctx context.Context, records []Record, enough int) Confirmation {
	members := n.Members()
	if enough <= 0 || enough > len(members) {
		enough = len(members)
	}
	ctx, cancel := context.WithCancel(ctx)
	chunks := chunk(records)
	applied := make(chan string, len(members))
	var sending sync.WaitGroup
	for _, m := range members {
		if !m.Self && m.State != "dead" {
			sending.Go(func() {
				if n.confirmBy(ctx, m.Name, chunks) {
					applied <- m.Name
				}
			})
		}
	}
	over := make(chan struct{})
	go func() {
		sending.Wait()
		close(over)
	}()
	c := Confirmation{Applied: []string{n.cfg.Name}}
	for waiting := true; waiting && len(c.Applied) < enough; {
		select {
		case name := <-applied:
			c.Applied = append(c.Applied, name)
		case <-over:
			waiting = false
		}
	}
	cancel()
	<-over
	close(applied)
	for name := range applied {
		c.Applied = append(c.Applied, name)
	}
	slices.Sort(c.Applied)
	for _, m := range members {
		if !m.Self && !slices.Contains(c.Applied, m.Name) {
			c.Missing = append(c.Missing, m.Name)
		}
	}
	return c
}

// Majority is how many of the known members are more than half of them.
func (n *Node) Majority() int { return len(n.Members())/2 + 1 }

// chunk encodes records in parts that one question can carry.
func chunk(records []Record) [][]byte {
	var chunks [][]byte
	var last []byte
	for i := range records {
		if len(last) > 0 && len(last)+recordSize(&records[i]) > maxChunk {
			chunks, last = append(chunks, last), nil
		}
		last = appendRecords(last, records[i])
	}
	return append(chunks, last)
}

// confirmBy sends chunks to a peer until it has applied them all, refuses, is gone,
// or ctx ends.
func (n *Node) confirmBy(ctx context.Context, peer string, chunks [][]byte) bool {
	for len(chunks) > 0 {
		_, err := n.ask(ctx, peer, askConfirm, chunks[0])
		if err == nil {
			chunks = chunks[1:]
			continue
		}
		if _, refused := errors.AsType[Refusal](err); refused || isAny(err, ErrNoMember, errStopped) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryConfirm/2 + rand.N(retryConfirm)):
		}
	}
	return true
}

func isAny(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(target error) bool { return errors.Is(err, target) })
}

// answerConfirm answers askConfirm: when the records last, unless some were refused.
func (n *Node) answerConfirm(peer string, body []byte) ([]byte, error) {
	r := reader{rest: body}
	records := r.records()
	if r.end() != nil || slices.ContainsFunc(records, func(r Record) bool { return r.Key.Kind == 0 }) {
		return nil, errMalformed
	}
	if n.refuses(peer) {
		return nil, errors.New("one of the two was away for longer than tombstones are kept")
	}
	if err := n.cfg.Table.Merge(peer, records); err != nil {
		return nil, err
	}
	if table, ok := n.cfg.Table.(Holder); ok && !table.Holds(records) {
		return nil, errors.New("refused here, as too far in the future perhaps: look at the clocks")
	}
	return nil, nil
}
