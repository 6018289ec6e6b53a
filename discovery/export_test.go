package discovery

// The arithmetic of law.go is not exported: it is a promise between gateways,
// not to callers. Tests compare it with their own, number by number, because
// worlds do not reach its edges.
var (
	NegLog2   = negLog2
	Cost      = cost
	Inverse   = inverse
	Probe     = probe
	Slot      = slot
	SlotCount = slotCount
	ScaleFor  = scaleFor
)

// StopBuilding makes s answer every question by scanning from here on: it still
// follows the table and its pulse goes on, but it builds no candidate sets. Tests need
// it because a selector that builds leaves no time to see it scan.
func (s *Selector) StopBuilding() {
	close(s.stop)
	s.built.Wait()
	s.stop = make(chan struct{})
	s.built.Go(func() { s.work(nil) })
}

// Words returns how many words the selector has numbered.
func (s *Selector) Words() int { return s.catalog.Load().words.size() }
