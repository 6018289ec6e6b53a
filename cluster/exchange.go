package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	errRefused = errors.New("cluster: one of the two was away for longer than tombstones are kept")
	errLiar    = errors.New("cluster: a summary under another name")
)

// A sight is what an exchange showed.
type sight struct {
	theirs *summary
	twice  set  // differed in the exchange before, too, a while ago
	all    bool // twice is all that this node lacks, but for news
	begins bool // they differ, and did not exchange in the last seconds: look again soon
}

// exchange tells a peer this node's digest, as much of it as may differ, and hears
// the peer's.
func (r *repair) exchange(ctx context.Context, peer string) (*sight, error) {
	r.mu.Lock()
	full := r.relationLocked(peer).first.groups()
	r.mu.Unlock()
	ours := r.summary()
	defer summaries.Put(ours)
	ours.full = full
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	sent := r.clock.steady()
	answer, err := r.ask(ctx, peer, askDigest, ours.append(nil))
	if err != nil {
		return nil, err
	}
	theirs, err := readSummary(answer)
	if err != nil {
		return nil, err
	}
	heard := sent.Add(r.clock.steady().Sub(sent) / 2)
	return r.heard(peer, theirs, theirs.wall.Sub(heard), true)
}

// answerDigest answers askDigest.
func (r *repair) answerDigest(peer string, body []byte) ([]byte, error) {
	theirs, err := readSummary(body)
	if err != nil {
		return nil, err
	}
	seen, err := r.heard(peer, theirs, theirs.wall.Sub(r.clock.steady()), false)
	if err != nil && !errors.Is(err, errRefused) {
		return nil, err
	}
	ours := r.summary()
	defer summaries.Put(ours)
	ours.refusal = err != nil
	if !ours.refusal {
		for g := range ours.sums {
			if ours.sums[g] != theirs.sums[g] {
				ours.full |= 1 << g
			}
		}
		if seen.begins {
			r.call(peer, again/2)
		}
	}
	return ours.append(nil), nil
}

// localState is what memberlist's push/pull carries: a summary with the whole digest.
func (r *repair) localState() []byte {
	ours := r.summary()
	defer summaries.Put(ours)
	ours.full, ours.refusal = 1<<groups-1, r.out.Load()
	buf := ours.append(nil)
	r.counts.localStateSize.Store(int64(len(buf)))
	return buf
}

// A told is a summary that nobody asked for, and by how much its clock led.
type told struct {
	theirs *summary
	lead   time.Duration
}

// hear takes what push/pull brought.
func (r *repair) hear(t told) {
	seen, err := r.heard(t.theirs.name, t.theirs, t.lead, false)
	if err == nil && (seen.begins || !r.ready.Load()) {
		r.call(t.theirs.name, again/4)
	}
}

// summaries are lent, as digests are.
var summaries = sync.Pool{New: func() any { return new(summary) }}

// summary returns this node's, of which no group is to be told in full yet. It is on
// loan until it goes back to summaries.
func (r *repair) summary() *summary {
	s := summaries.Get().(*summary)
	*s = summary{name: r.self, ready: r.ready.Load(), partial: r.partial(), wall: r.clock.wall()}
	r.table.Digest(&s.digest)
	s.sums = s.digest.sums()
	r.tenure.tell(s, s.empty())
	return s
}

// heard takes a peer's summary, however it came: its clock, which leads the steady
// time by lead, what it has forgotten, and what differs. asked says whether this
// node asked for it.
func (r *repair) heard(peer string, theirs *summary, lead time.Duration, asked bool) (*sight, error) {
	if theirs.name != peer || peer == r.self {
		return nil, errLiar
	}
	if r.out.Load() {
		return nil, errRefused
	}
	r.counts.exchanges.Add(1)
	r.mu.Lock()
	rel := r.relationLocked(peer)
	rel.ready = theirs.ready
	if asked { // anybody may send again what was true once
		rel.lead, rel.leadAt = lead, time.Now()
	}
	r.mu.Unlock()
	r.judgeClock(r.live())

	ours := digestOf(r.table)
	defer ours.done()
	forget, err := r.tenure.heard(theirs, r.self, *ours == Digest{}, r.clock)
	r.refuse(peer, err != nil || theirs.refusal)
	switch {
	case err != nil:
		return nil, err
	case theirs.refusal:
		return nil, fmt.Errorf("%w, says %s", errRefused, peer)
	}
	if !forget.IsZero() {
		r.table.Forget(forget.UnixMilli())
		r.table.Digest(ours)
	}
	return r.saw(peer, theirs, ours, asked), nil
}

// saw remembers what differed in an exchange. Groups of which the peer told nothing
// in full were equal when it answered, if this node asked; else they are not known.
func (r *repair) saw(peer string, theirs *summary, ours *Digest, asked bool) *sight {
	now := time.Now()
	differ, all := theirs.differing(ours)
	all = all || asked
	n := differ.len()
	r.mu.Lock()
	defer r.mu.Unlock()
	rel := r.relationLocked(peer)
	rel.exchanged = now
	seen := &sight{theirs: theirs}
	if n == 0 && all {
		rel.since, rel.differing = time.Time{}, 0
		rel.first, rel.firstAt = set{}, time.Time{}
		r.counts.differing.Store(0)
		seen.all = true
		return seen
	}
	since := now.Sub(rel.firstAt)
	seen.begins = since > 3*again
	if rel.since.IsZero() {
		rel.since = now
	}
	if !all {
		return seen
	}
	rel.differing = n
	r.counts.differing.Store(int64(n))
	switch {
	case since > 3*exchangeEvery:
		rel.first, rel.firstAt = differ, now
	case asked && since >= again/2:
		seen.twice = differ
		seen.twice.and(&rel.first)
		seen.all = true
		rel.first, rel.firstAt = differ, now
	}
	return seen
}

// judgeClock lets the clock look at those of live peers that were heard lately.
func (r *repair) judgeClock(live []string) {
	var leads []time.Duration
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, peer := range live {
		if rel := r.peers[peer]; rel != nil && !rel.leadAt.IsZero() && now.Sub(rel.leadAt) < leadHolds {
			leads = append(leads, rel.lead)
		}
	}
	before := r.clock.Now()
	r.clock.judge(leads, !r.seeds && len(live) == 0)
	if r.clock.Now().Sub(before).Abs() > agree {
		r.tries = [Buckets]try{} // what the table refused for its time it may take now
	}
}

// leadHolds is for how long a peer's clock is believed to go on as it was heard.
const leadHolds = 2 * time.Minute

// forgetLeads asks some peers what the time is, and believes nothing it heard before.
func (r *repair) forgetLeads(live []string) {
	r.mu.Lock()
	for _, rel := range r.peers {
		rel.leadAt = time.Time{}
	}
	r.tries = [Buckets]try{}
	r.mu.Unlock()
	r.log.Warn("this machine's clock was set, or it was suspended; peers are asked for the time",
		"by", (r.clock.machine() - r.clock.state.Load().wall).Round(time.Second))
	for _, peer := range live[:min(len(live), maxCalls)] {
		r.call(peer, 0)
	}
}

// shuns reports whether nothing may be merged from a peer.
func (r *repair) shuns(peer string) bool {
	if r.out.Load() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rel := r.peers[peer]
	return rel != nil && rel.refuses
}

func (r *repair) refuse(peer string, refuses bool) {
	r.mu.Lock()
	rel := r.relationLocked(peer)
	before := rel.refuses
	rel.refuses = refuses
	r.mu.Unlock()
	if refuses && !before {
		r.log.Warn("nothing is exchanged with a peer: one of the two was away for longer than tombstones are kept", "peer", peer)
	}
}
