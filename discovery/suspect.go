package discovery

import (
	"math/bits"
	"slices"
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

	// Agents' word alone makes no more SVMs of a pool suspect than this part of those that
	// take agents, but one if there are several: or the agents of one tenant could send
	// those of all others where they like.
	doubtAtMost = 30 // percent

	doubtSlice = doubtWithin / (doubtSlices + 1)

	doubtSlices = 2
)

// evidence is what agents say: each VM has one of 64 bits, by its hash, so that one that
// says it often counts once. Questions write it.
type evidence struct {
	against [store.MaxSVMs]atomic.Uint64
	anybody [store.MaxSVMs / 64]atomic.Uint64 // against which there is some
	slice   time.Duration                     // the time that against is of, in slices
	excess  int                               // SVMs at the last pulse against which there is enough, but too many are suspect
}

// doubt is what speaks against an SVM.
type doubt struct {
	before   [doubtSlices]uint64 // evidence of the slices before the present one
	until    time.Duration       // by what agents say
	probed   bool                // by what a probe says
	believed time.Duration       // until then, by what another gateway says
	accused  bool                // it counts in pool.accused
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
		l.books[i].until = 0 // agents are asked no more, until a probe succeeds
		l.touch(i)
		s.bring(i)
	}
}

// weigh finds the SVMs that agents speak against, and returns those that are suspect for
// it from now on.
func (l *ledger) weigh(at moment) (suspects []int) {
	turn := at.since/doubtSlice != l.slice
	l.slice = at.since / doubtSlice
	l.excess = 0
	for w := range (len(l.books) + 63) / 64 {
		for word := l.anybody[w].Load(); word != 0; word &= word - 1 {
			i := w*64 + bits.TrailingZeros64(word)
			if i < len(l.books) && l.judge(i, turn) {
				suspects = append(suspects, i)
			}
		}
	}
	return suspects
}

// judge makes an SVM suspect if enough agents speak against it, and not too many are
// suspect already. Then they are counted afresh. Turn says that a new slice of time has
// begun.
func (l *ledger) judge(i int, turn bool) (suspect bool) {
	b, word := &l.books[i], &l.against[i]
	all := word.Load()
	for _, before := range b.before {
		all |= before
	}
	enough := b.present && !b.probed && bits.OnesCount64(all) >= doubtNeeds(int(l.accounts[i].then.Load()))
	suspect = enough && b.mayDoubt()
	if suspect {
		b.until = l.moment.since + doubtFor
		b.accuse(l.moment)
		l.touch(i)
		b.before = [doubtSlices]uint64{}
		all = 0
		word.Store(0)
	} else if enough {
		l.excess++
	}
	if turn {
		copy(b.before[1:], b.before[:])
		b.before[0] = word.Swap(0)
	}
	if all == 0 {
		l.anybody[i/64].And(^(uint64(1) << (i % 64)))
	}
	return suspect
}

// mayDoubt reports whether agents' word may make the SVM suspect: it is so already, or
// takes no agents, or all its pools have room for one more.
func (b *book) mayDoubt() bool {
	return b.accused || !b.takes || !slices.ContainsFunc(b.pools, func(p *pool) bool {
		return p.accused >= doubtRoom(p.takes)
	})
}

// doubtRoom is how many of so many SVMs agents' word may make suspect at a time.
func doubtRoom(svms int) int {
	if svms <= 1 {
		return 0
	}
	return max(1, svms*doubtAtMost/100)
}

// accuse counts an SVM among those of its pools that are suspect without a probe of this
// gateway. What others tell counts as the word of agents, whatever it rests on.
func (b *book) accuse(at moment) {
	b.tally(&b.accused, b.takes && !b.probed && b.suspect(at), func(p *pool) *int { return &p.accused })
}

// verdicts are what agents' word led to in a pulse, to be logged: not under the ledger's
// mu, for which changes of the table wait.
type verdicts struct {
	suspects []store.SVMID
	excess   int // see evidence
}

// logVerdicts logs what agents say, and at most once a minute that it is not acted on. Only
// the selector's goroutine calls it.
func (s *Selector) logVerdicts(v verdicts, at moment) {
	for _, id := range v.suspects {
		s.log.Warn("agents can not reach an SVM; it is used last", "svm", id, "for", doubtFor.String())
	}
	if v.excess > 0 && at.since >= s.excessAt {
		s.excessAt = at.since + time.Minute
		s.log.Warn("agents say that they can not reach more SVMs, but too many are suspect already; these are used as before",
			"svms", v.excess)
	}
}

// doubtNeeds is how many must speak against an SVM with so many agents.
func doubtNeeds(agents int) int {
	return min(max(agents*doubtPercent/100, doubtLeast), doubtMost)
}

// doubted reports whether this gateway itself finds that an SVM can not be reached.
func (b *book) doubted(at moment) bool { return b.probed || at.since < b.until }

func (b *book) suspect(at moment) bool { return b.doubted(at) || at.since < b.believed }
