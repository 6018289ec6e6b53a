package watch

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
	"time"

	"github.com/svmgate/svmgate/store"
)

// What gateways tell each other is a format byte, and then, of notices, when they are told
// (milliseconds since 1970), and of each the BIOS ID, what it says, and the cause
// (big-endian); of a conflict, its JSON. The answer to notices is the format byte and a bit
// for each, the lowest first: 1 is not taken, tell it again. A greeting is its format byte
// alone, and so is its answer.
const (
	formatNotices  = 1
	formatConflict = 2
	formatGreeting = 3

	headBytes   = 1 + 8
	noticeBytes = 16 + 1 + 8

	// maxAge is how old a question may be, by clocks that differ: strangers can send old
	// ones again, and an agent that lacked an SVM yesterday need not lack one now.
	maxAge = store.MaxSkew + 30*time.Second

	// MaxQuestion is how many bytes a question of this package has at most.
	MaxQuestion = 63 << 10
	maxTold     = (MaxQuestion - headBytes) / noticeBytes // notices at once
)

// How a gateway is told: it gets askFor to answer; what it did not take is told again
// twice, after askAgain, which is long enough for it to have been an owner for [Settle].
const (
	askFor   = 4 * time.Second
	askAgain = 7 * time.Second
	maxTries = 3

	maxLane = 1 << 15 // notices that wait for one gateway
)

// A lane is what is to be told to another gateway. One goroutine at a time empties it.
type lane struct {
	waiting []item
	under   bool // the goroutine is under way
}

// tell tells another gateway, when dispatch lets it.
func (w *Watch) tell(member string, it item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[member]
	if l == nil {
		l = new(lane)
		w.lanes[member] = l
	}
	if len(l.waiting) >= maxLane {
		w.counts.full.Add(1)
		return
	}
	l.waiting = append(l.waiting, it)
}

// dispatch lets lanes with something in them be emptied, and forgets the others.
func (w *Watch) dispatch(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for member, l := range w.lanes {
		switch {
		case l.under:
		case len(l.waiting) == 0:
			delete(w.lanes, member)
		default:
			l.under = true
			w.asking.Go(func() { w.empty(ctx, member, l) })
		}
	}
}

// empty tells a gateway what is in a lane.
func (w *Watch) empty(ctx context.Context, member string, l *lane) {
	for {
		w.mu.Lock()
		list := l.waiting[:min(len(l.waiting), maxTold)]
		if l.waiting = l.waiting[len(list):]; len(list) == 0 {
			l.waiting, l.under = nil, false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		refused := w.ask(ctx, member, list)
		w.counts.told.Add(uint64(len(list) - len(refused)))
		w.mu.Lock()
		w.back = append(w.back, refused[:min(len(refused), maxLater-min(len(w.back), maxLater))]...)
		w.mu.Unlock()
	}
}

// ask tells a gateway some notices, and returns those that it did not take.
func (w *Watch) ask(ctx context.Context, member string, list []item) (refused []item) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := w.cfg.Ask(ctx, member, encode(list, w.cfg.Clock()))
	if err != nil || len(answer) != answerBytes(len(list)) || answer[0] != formatNotices {
		return list
	}
	for i, it := range list {
		if answer[1+i/8]&(1<<(i%8)) != 0 {
			refused = append(refused, it)
		}
	}
	return refused
}

// takeBack sees to it that what others did not take is told again, by then perhaps to
// another one.
func (w *Watch) takeBack(now time.Time) {
	w.mu.Lock()
	back := w.back
	w.back = nil
	w.mu.Unlock()
	for _, it := range back {
		if it.tries++; it.tries >= maxTries {
			w.counts.untold.Add(1)
			continue
		}
		w.postpone(it, now, askAgain)
	}
}

// Answer takes what another gateway tells. It may be called by any number of goroutines.
func (w *Watch) Answer(_ context.Context, from string, question []byte) ([]byte, error) {
	if len(question) == 0 {
		return nil, errMalformed
	}
	switch question[0] {
	case formatNotices:
		return w.answerNotices(question, time.Now())
	case formatConflict:
		var c store.Conflict
		if json.Unmarshal(question[1:], &c) != nil {
			return nil, errMalformed
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.counts.full.Add(w.conflicts.add(c))
		return []byte{formatConflict}, nil
	case formatGreeting:
		return w.answerGreeting(from)
	}
	return nil, errMalformed
}

var (
	errMalformed = errors.New("this is not what gateways of this release tell each other")
	errOld       = errors.New("this was told too long ago; if it was not, look at the clocks of the gateways")
	errStopped   = errors.New("this gateway does not watch")
)

func (w *Watch) answerNotices(b []byte, now time.Time) ([]byte, error) {
	if len(b) < headBytes || (len(b)-headBytes)%noticeBytes != 0 || len(b) > MaxQuestion {
		return nil, errMalformed
	}
	if age := w.cfg.Clock().UnixMilli() - int64(binary.BigEndian.Uint64(b[1:])); max(age, -age) > maxAge.Milliseconds() {
		return nil, errOld
	}
	b = b[headBytes:]
	r, n := w.roster.Load(), len(b)/noticeBytes
	for i := range n {
		if what := decode(b[i*noticeBytes:]).What; what < Inactive || what > UpdateFailed {
			return nil, errMalformed
		}
	}
	answer := make([]byte, answerBytes(n))
	answer[0] = formatNotices
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return nil, errStopped
	}
	for i := range n {
		it := decode(b[i*noticeBytes:])
		it.until = now.Add(keepFor / 3).Unix()
		if len(w.heard) >= maxHeard || !r.mine(it.VM, "", now) {
			answer[1+i/8] |= 1 << (i % 8)
			continue
		}
		w.heard = append(w.heard, it)
	}
	refused := 0
	for _, b := range answer[1:] {
		refused += bits.OnesCount8(b)
	}
	w.counts.heard.Add(uint64(n - refused))
	w.counts.refused.Add(uint64(refused))
	return answer, nil
}

// takeHeard takes what other gateways told.
func (w *Watch) takeHeard() []item {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.heard
	w.heard = nil
	return list
}

func answerBytes(notices int) int { return 1 + (notices+7)/8 }

func encode(list []item, now time.Time) []byte {
	b := append(make([]byte, 0, headBytes+len(list)*noticeBytes), formatNotices)
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	for i := range list {
		it := &list[i]
		b = append(append(b, it.VM[:]...), byte(it.What))
		b = binary.BigEndian.AppendUint64(b, it.cause)
	}
	return b
}

func decode(b []byte) item {
	return item{
		Notice: Notice{VM: store.BIOSID(b[:16]), What: What(b[16])},
		cause:  binary.BigEndian.Uint64(b[17:]), told: true,
	}
}
