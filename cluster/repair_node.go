package cluster

// What of repair the other parts of a node use. None of it waits, but for what
// startRepair starts.

// initRepair says who answers; memberlist has not started yet.
func (n *Node) initRepair() {
	r := &n.repair
	r.init(&n.cfg, n.clock, n.log)
	r.life, r.ask, r.live = n.life, n.ask, n.livePeers
	r.hint = func(peer string, root uint64) {
		if err := n.sendPacket(peer, appendHint(nil, r.self, root)); err != nil {
			n.log.Debug("send hint", "peer", peer, "error", err)
		}
	}
	n.answer(askDigest, r.answerDigest)
	n.answer(askPull, r.servePull)
}

// startRepair starts what runs until n.life ends, counted in n.work.
func (n *Node) startRepair() {
	n.work.Go(n.repair.run)
	if n.cfg.Save != nil {
		n.work.Go(func() { n.repair.keepState(n.knownPeers, n.cfg.Save) })
	}
}

// localState is asked by push/pull: at most 64 KiB.
func (n *Node) localState(bool) []byte { return n.repair.localState() }

// mergeRemoteState is told by push/pull. If there is no room, it is told again.
func (n *Node) mergeRemoteState(buf []byte, _ bool) {
	theirs, err := readSummary(buf)
	if err != nil {
		n.counts.malformed.Add(1)
		return
	}
	select {
	case n.repair.told <- told{theirs, theirs.wall.Sub(n.clock.steady())}:
	default:
	}
}

// heardHint is told the root of a peer's digest.
func (n *Node) heardHint(peer string, root uint64) {
	select {
	case n.repair.roots <- heardRoot{peer, root}:
	default:
	}
}

// hintSoon has hints sent at once: news was dropped.
func (n *Node) hintSoon() {
	select {
	case n.repair.hurry <- struct{}{}:
	default:
	}
}

// refuses reports whether nothing may be taken from peer because it is stale, or
// this node is; peer "" asks for this node alone.
func (n *Node) refuses(peer string) bool { return n.repair.shuns(peer) }

// describe fills in what exchanges told of a member.
func (n *Node) describe(m *Member) { n.repair.describe(m) }

// repairStats fills in counts of exchanges and repair, and of the clock.
func (n *Node) repairStats(s *Stats) {
	c := &n.repair.counts
	s.Exchanges = c.exchanges.Load()
	s.PulledRecords, s.PulledBytes = c.pulledRecords.Load(), c.pulledBytes.Load()
	s.ServedRecords, s.ServedBytes = c.servedRecords.Load(), c.servedBytes.Load()
	s.Differing = int(c.differing.Load())
	s.LocalStateSize = int(c.localStateSize.Load())
	state := n.clock.state.Load()
	s.ClockOffset, s.ClockWrong = state.error, state.wrong
}
