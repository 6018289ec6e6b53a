package discovery

import (
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/store"
)

const (
	// TellEvery is how often a selector tells what it has seen.
	TellEvery = time.Second

	retellIn = 60 // tellings in which everything is told once, for what was lost: a minute

	// sameStart is how much older than this one a gateway may be so that all its picks
	// count: those of a gateway that served for a day are in the reports. For as long this
	// one may learn of SVMs that the others have had for a day.
	sameStart = time.Minute

	maxPeers      = 255         // other gateways that are heard
	peerForgotten = time.Minute // without hearing of it
)

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

// sent is what was told of an SVM.
type sent struct {
	sentPicks               int32
	sentSuspect, sentSilent bool
}

// A peer is another gateway.
type peer struct {
	epoch  uint64
	hash   uint64        // of its name
	heard  time.Duration // when it was heard last
	number int           // of the last telling, of all that were made or heard
	live   bool
	counts []int32 // picks that it told of, by index of the SVM

	// Of a gateway that is older than this one the first count of an SVM says nothing,
	// unless the SVM came after first, when the gateway was heard first, and not while this
	// one may still have been learning of SVMs. Known has bits for where there was a first
	// count.
	older bool
	first time.Duration
	known []uint64
}

// peers are the other gateways, and what was told to them.
type peers struct {
	own    uint64 // hash of this gateway's own name; 0 if it does not know it
	epoch  uint64 // when this one started
	byName map[string]*peer
	hashes []uint64 // of the names of those that are live
	number int      // of tellings made and heard so far
	heard  time.Duration
	ever   bool // whether any was heard

	tellAt time.Duration // the next telling
	told   int           // its number
	toldAt int64         // milliseconds since 1970; 0: there was none
	cursor int           // the next SVM to be told of though nothing changed
	round  bool          // all others have told since, or there are none
}

// follow brings up who is there, and reports whether names have changed, and whether a
// round has just become complete.
func (p *peers) follow(at moment, gateways int32) (names, round bool) {
	heard := int32(0)
	for _, o := range p.byName {
		if live := at.since-o.heard < peerForgotten; live != o.live {
			o.live, names = live, true
		}
		if o.number > p.told {
			heard++
		}
	}
	if names {
		p.hashes = p.hashes[:0]
		for _, o := range p.byName {
			if o.live {
				p.hashes = append(p.hashes, o.hash)
			}
		}
	}
	was := p.round
	p.round = gateways == 1 || heard >= gateways-1
	return names, p.round && !was
}

// gateway returns the peer of a name, or nil if there are too many others, or if it has
// started anew since it told this.
func (p *peers) gateway(name string, epoch uint64, at moment) *peer {
	o := p.byName[name]
	if o == nil {
		if len(p.byName) >= maxPeers && !p.evict(at) {
			return nil
		}
		if p.byName == nil {
			p.byName = map[string]*peer{}
		}
		o = &peer{epoch: epoch, hash: xxhash.Sum64String(name), first: at.since}
		o.older = epoch < p.epoch && p.epoch-epoch > uint64(sameStart)
		p.byName[name] = o
	}
	if epoch < o.epoch && at.since-o.heard < peerForgotten { // from before it started anew, and late
		return nil
	}
	if o.epoch != epoch { // it has started anew, and counts from 0
		o.epoch, o.older, o.counts, o.known = epoch, false, nil, nil
	}
	p.number++
	p.heard, p.ever = at.since, true
	o.heard, o.number = at.since, p.number
	return o
}

// evict makes room by forgetting a gateway that was not heard for long.
func (p *peers) evict(at moment) bool {
	for name, o := range p.byName {
		if at.since-o.heard >= peerForgotten {
			delete(p.byName, name)
			return true
		}
	}
	return false
}

// news is how many more picks a gateway tells of than before, of an SVM that there is
// since a moment.
func (o *peer) news(i int, picks int32, since time.Duration) int32 {
	for i >= len(o.counts) {
		o.counts = append(o.counts, make([]int32, i+1-len(o.counts)+i/4)...)
	}
	for i/64 >= len(o.known) {
		o.known = append(o.known, 0)
	}
	was := o.counts[i]
	o.counts[i] = picks
	if o.older && o.known[i/64]>>(i%64)&1 == 0 {
		o.known[i/64] |= 1 << (i % 64)
		if since <= max(o.first, sameStart) {
			return 0
		}
	}
	return picks - was
}

// Hear takes in what another gateway told. Epoch is when that gateway started, in
// nanoseconds since 1970 by its own clock: whenever it has started anew it is another,
// and its picks count from 0. Of one that is older than this one, by more than a
// minute, and was not heard before, the first count of each SVM is where counting begins. Repeats and losses do no
// harm: what was lost is told again within a minute. Unknown SVMs are ignored, and so
// are gateways when there are too many. Hear may be called by any number of goroutines,
// and keeps nothing of list.
func (s *Selector) Hear(gateway string, epoch uint64, list []Sighting) {
	if gateway == s.node {
		return
	}
	byID := s.catalog.Load().byID
	at := s.momentNow()
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.peers.gateway(gateway, epoch, at)
	if o == nil {
		return
	}
	for _, told := range list {
		i, ok := byID[told.SVM]
		if !ok || i >= len(l.books) {
			continue
		}
		b := &l.books[i]
		if news := o.news(i, told.Picks, b.came); news != 0 {
			b.heard += news
			l.touch(i)
		}
		if told.Suspect {
			b.believed = at.since + believeFor
			l.touch(i)
		}
		if told.Silent {
			b.elsewhere = at.since + silenceHolds
			l.touch(i)
		}
	}
}

// toTell returns what is to be told now, and counts it as told.
func (s *Selector) toTell(at moment) []Sighting {
	l := s.ledger
	p, gateways := &l.peers, l.gateways.Load()
	if s.tell == nil || gateways == 1 || at.since < p.tellAt || len(l.books) == 0 {
		return nil
	}
	p.tellAt = at.since + TellEvery
	p.number++
	p.told, p.toldAt, p.round = p.number, at.wall, false
	turn := len(l.books)/retellIn + 1
	var list []Sighting
	for i := range l.books {
		b := &l.books[i]
		if !b.present {
			continue
		}
		now := Sighting{SVM: b.id, Picks: s.table.Picks(i) - b.origin, Suspect: b.doubted(at), Silent: b.silent(at)}
		inTurn := (i-p.cursor+len(l.books))%len(l.books) < turn
		news := sent{now.Picks, now.Suspect, now.Silent}
		if news != b.sent || now.Suspect || inTurn {
			list = append(list, now)
			b.sent = news
		}
		if told := now.Picks + b.origin; b.told != told || b.hardCap > 0 {
			b.told, b.retold = told, true
			l.touch(i)
			s.bring(i)
		}
	}
	p.cursor = (p.cursor + turn) % len(l.books)
	return list
}
