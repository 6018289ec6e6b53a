package cluster

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	rejoinEvery   = 5 * time.Second
	firstRejoin   = 250 * time.Millisecond // doubled each time, while nobody has been met
	rejoinsAtOnce = 4
	rejoinsEach   = 32          // addresses called on in a round
	rejoinSeed    = time.Minute // one that answers, but under another address than it tells
)

// rejoin calls on every seed and every known peer that is not alive, until Stop:
// memberlist never calls again on who it holds dead.
func (n *Node) rejoin() {
	answered := make(map[string]time.Time)
	soon := firstRejoin
	for {
		n.callAll(n.missing(answered), answered)
		wait := vary(rejoinEvery)
		if len(n.peers.alive()) == 0 && soon < rejoinEvery {
			wait, soon = vary(soon), 2*soon
		}
		if !pause(n.life, wait) {
			return
		}
	}
}

// missing returns the addresses to call on: some random ones, if there are many.
func (n *Node) missing(answered map[string]time.Time) []string {
	missing, alive := n.peers.missing()
	for _, seed := range n.cfg.Seeds {
		all, err := lookup(n.life, seed)
		if err != nil {
			n.log.Warn("seed is not found", "seed", seed, "error", err)
			continue
		}
		for _, addr := range all {
			missing = append(missing, addr.String())
		}
	}
	someone := len(n.peers.alive()) > 0
	missing = slices.DeleteFunc(missing, func(addr string) bool {
		at, ok := answered[addr]
		return alive[addr] || someone && ok && time.Since(at) < rejoinSeed
	})
	slices.Sort(missing)
	missing = slices.Compact(missing)
	rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
	return missing[:min(len(missing), rejoinsEach)]
}

// callAll calls on addresses, a few at a time, and notes who answered when. Who came
// to life meanwhile need not be called: one call brings a whole side of a partition.
func (n *Node) callAll(addrs []string, answered map[string]time.Time) {
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex
	slots := make(chan struct{}, rejoinsAtOnce)
	for _, addr := range addrs {
		select {
		case <-n.life.Done():
			return
		case slots <- struct{}{}:
		}
		if _, alive := n.peers.missing(); alive[addr] {
			<-slots
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if _, err := n.list.Load().Join([]string{addr}); err != nil {
				n.log.Debug("call on a missing peer", "addr", addr, "error", err)
				return
			}
			n.counts.rejoins.Add(1)
			mu.Lock()
			answered[addr] = time.Now()
			mu.Unlock()
		})
	}
}

// tend does what is to be done now and then.
func (n *Node) tend() {
	for pause(n.life, time.Second) {
		n.lines.flush()
		n.peers.forget(n.clock.Now())
	}
}
