// Command cluster is three nodes that keep a table alike: they meet, one learns what
// another writes, and one that was away learns what it missed. Run it with
//
//	go run ./examples/cluster
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// A member is a node and what outlasts it: its table, and what it knew of its peers.
// A program that is to survive a restart keeps both on disk.
type member struct {
	name  string
	seeds []string
	clock *cluster.Clock
	table *cluster.Map
	state cluster.State
	node  *cluster.Node
}

func main() {
	a, b, c := newMember("a"), newMember("b"), newMember("c")
	a.start(true) // the first of all is ready though there is nobody to ask
	b.seeds, c.seeds = []string{a.node.Addr()}, []string{a.node.Addr()}
	b.start(false)
	c.start(false)

	must(a.table.Set(key("colour"), []byte("blue")))
	took := until(func() bool { return b.value("colour") == "blue" && c.value("colour") == "blue" })
	fmt.Printf("a wrote, and b and c had it %v after they started\n", took)

	must(b.table.Set(key("colour"), []byte("green")))
	took = until(func() bool { return a.value("colour") == "green" && c.value("colour") == "green" })
	fmt.Printf("b wrote, and a and c had it after %v\n", took)

	c.stop()
	must(a.table.Set(key("shape"), []byte("round")))
	b.table.Delete(key("colour"))
	fmt.Println("c is away: a writes, b deletes")

	c.start(false)
	took = until(func() bool { return c.value("shape") == "round" && c.value("colour") == "" })
	fmt.Printf("c is back, and had what it missed after %v\n", took)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	until(func() bool { ready, _ := c.node.Ready(); return ready })
	for _, d := range a.node.Digests(ctx) {
		fmt.Printf("%s has the table %s %s\n", d.Node, d.Root, d.Err)
	}
	for _, m := range []*member{a, b, c} {
		m.stop()
	}
}

func newMember(name string) *member {
	clock := cluster.NewClock(time.Now)
	return &member{name: name, clock: clock, table: cluster.NewMap(name, clock)}
}

func (m *member) start(bootstrap bool) {
	node, err := cluster.Start(cluster.Config{
		Name: m.name, Table: m.table, Clock: m.clock,
		Seeds: m.seeds, Bootstrap: bootstrap,
		State: m.state, Save: func(s cluster.State) error { m.state = s; return nil },
	})
	must(err)
	m.node = node
	m.table.OnChange(node.Spread)
}

func (m *member) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	must(m.node.Stop(ctx))
}

func (m *member) value(id string) string {
	value, _ := m.table.Get(key(id))
	return string(value)
}

// key makes a key of a short name.
func key(id string) (k cluster.Key) {
	k.Kind = 1
	copy(k.ID[:], id)
	return k
}

// until waits, and returns how long it took.
func until(done func() bool) time.Duration {
	start := time.Now()
	for !done() {
		if time.Since(start) > 30*time.Second {
			log.Fatal("the nodes do not agree")
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start).Round(time.Millisecond)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
