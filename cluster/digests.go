package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// askAllWait is how long a question to every member waits for those that are slow.
const askAllWait = 5 * time.Second

var errDead = errors.New("cluster: the member is dead, as far as this node knows")

// A said is what a member answered.
type said struct {
	name string
	body []byte
	err  error
}

// askAll asks every known member, this node included, and returns what each said,
// by name. It does not wait for the dead.
func (n *Node) askAll(ctx context.Context, what question, body func(name string) []byte) []said {
	ctx, cancel := context.WithTimeout(ctx, askAllWait)
	defer cancel()
	members := n.Members()
	all := make([]said, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		all[i].name = m.Name
		asked.Go(func() {
			switch {
			case m.Self:
				all[i].body, all[i].err = n.asks.answers[what](m.Name, body(m.Name))
			case m.State == "dead":
				all[i].err = errDead
			default:
				all[i].body, all[i].err = n.ask(ctx, m.Name, what, body(m.Name))
			}
		})
	}
	asked.Wait()
	return all
}

// A TableDigest is a member's table in short.
type TableDigest struct {
	Node string `json:"node"`
	Root string `json:"root"` // equal for equal tables; 16 hexadecimal digits
	Err  string `json:"error,omitempty"`
}

// Digests asks every known member for its table's digest, by name.
func (n *Node) Digests(ctx context.Context) []TableDigest {
	all := n.askAll(ctx, askRoot, func(string) []byte { return nil })
	digests := make([]TableDigest, len(all))
	for i, s := range all {
		digests[i].Node = s.name
		switch {
		case s.err == nil && len(s.body) == 8:
			digests[i].Root = fmt.Sprintf("%016x", s.body)
		case s.err == nil:
			digests[i].Err = errMalformed.Error()
		default:
			digests[i].Err = s.err.Error()
		}
	}
	return digests
}

// answerRoot answers askRoot.
func (n *Node) answerRoot(string, []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, rootOf(n.cfg.Table)), nil
}
