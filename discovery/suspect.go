package discovery

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/store"
)

// An SVM is suspect when agents say that they could not reach it, when a probe could not,
// or when another gateway tells so. Then it is used last.
const (
	doubtWithin = time.Minute // agents that say so within it count
	doubtFor    = time.Minute // it is suspect for so long
	believeFor  = 15 * time.Second

	doubtPercent = 2 // of its agents say so, but
	doubtLeast   = 3
	doubtMost    = 20

	doubtSlice = doubtWithin / (doubtSlices + 1)

	doubtSlices = 2
)

// evidence is what agents say: each VM has one of 64 bits, by its hash, so that one that
// says it often counts once. Questions write it.
type evidence struct {
	against [store.MaxSVMs]atomic.Uint64
	anybody [store.MaxSVMs / 64]atomic.Uint64 // against which there is some
	slice   time.Duration                     // the time that against is of, in slices
}

// doubt is what speaks against an SVM.
type doubt struct {
	before   [doubtSlices]uint64 // evidence of the slices before the present one
	until    time.Duration       // by what agents say
	probed   bool                // by what a probe says
	believed time.Duration       // until then, by what another gateway says
}

// blame notes that a VM says that it could not reach an SVM. The VM must be registered,
// and the SVM one that its filters admit: or anyone could make any SVM suspect. It is for
// questions: it waits for nothing.
func (s *Selector) blame(i int, agent uint64) {
	e := &s.ledger.evidence
	if word, bit := &e.against[i], uint64(1)<<(agent>>58); word.Load()&bit == 0 {
		word.Or(bit)
	}
	if word, bit := &e.anybody[i/64], uint64(1)<<(i%64); word.Load()&bit == 0 {
		word.Or(bit)
	}
}

// Suspect says whether a probe finds that an SVM can not be reached. It holds until it is
// said otherwise, or the SVM is forgotten; other gateways are told.
func (s *Selector) Suspect(id store.SVMID, suspect bool) {
	i, ok := s.catalog.Load().byID[id]
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok && i < len(l.books) && l.books[i].present && l.books[i].probed != suspect {
		l.books[i].probed = suspect
		l.touch(i)
		s.bring(i)
	}
}

// weigh finds the SVMs that agents speak against.
func (l *ledger) weigh(s *Selector, at moment) {
	turn := at.since/doubtSlice != l.slice
	l.slice = at.since / doubtSlice
	for w := range (len(l.books) + 63) / 64 {
		for word := l.anybody[w].Load(); word != 0; word &= word - 1 {
			i := w*64 + bits.TrailingZeros64(word)
			if i < len(l.books) {
				l.judge(s, i, turn)
			}
		}
	}
}

// judge makes an SVM suspect if enough agents speak against it. Then they are counted
// afresh. Turn says that a new slice of time has begun.
func (l *ledger) judge(s *Selector, i int, turn bool) {
	b, word := &l.books[i], &l.against[i]
	all := word.Load()
	for _, before := range b.before {
		all |= before
	}
	if b.present && bits.OnesCount64(all) >= doubtNeeds(int(l.accounts[i].then.Load())) {
		b.until = l.moment.since + doubtFor
		l.touch(i)
		b.before = [doubtSlices]uint64{}
		all = 0
		word.Store(0)
		s.log.Warn("agents can not reach an SVM; it is used last", "svm", b.id, "for", doubtFor.String())
	}
	if turn {
		copy(b.before[1:], b.before[:])
		b.before[0] = word.Swap(0)
	}
	if all == 0 {
		l.anybody[i/64].And(^(uint64(1) << (i % 64)))
	}
}

// doubtNeeds is how many must speak against an SVM with so many agents.
func doubtNeeds(agents int) int {
	return min(max(agents*doubtPercent/100, doubtLeast), doubtMost)
}

// doubted reports whether this gateway itself finds that an SVM can not be reached.
func (b *book) doubted(at moment) bool { return b.probed || at.since < b.until }

func (b *book) suspect(at moment) bool { return b.doubted(at) || at.since < b.believed }
