package protection

import (
	"errors"
	"fmt"
	"time"

	"github.com/svmgate/svmgate/store"
)

// MaxAhead is how far in the future a session may end: clocks of SVMs and gateways differ.
const MaxAhead = 60 * time.Second

// ErrOff reports that nothing is collected.
var ErrOff = errors.New("protection: nothing is collected")

// A Session is a time during which an SVM had the agent of a VM connected. To is not part
// of it, unless it is also From.
type Session struct {
	VM       store.BIOSID
	From, To time.Time
}

// check says what is wrong with a session by itself.
func (s *Session) check(now time.Time, kept span) error {
	switch {
	case s.VM.IsZero():
		return errors.New("biosId must identify a VM")
	case s.To.Before(s.From):
		return fmt.Errorf("to %s is before from %s", moment(s.To), moment(s.From))
	case s.To.After(now.Add(MaxAhead)):
		return fmt.Errorf("to %s is more than %v in the future: here it is %s", moment(s.To), MaxAhead, moment(now))
	case daysOf(s.From, s.To).last < kept.first:
		return fmt.Errorf("to %s is too long ago: what was before %s is not kept", moment(s.To), kept.first)
	}
	return nil
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Take writes down what sessions prove. For each it returns whether a day of it was new,
// and why it is refused; those that are not refused are on disk. Sessions may overlap and
// come again, in any order. The error is [ErrOff], or one of the table; then some of the
// sessions may have been written down, and sending all of them again does no harm.
func (b *Book) Take(sessions []Session) (news []bool, refused []error, err error) {
	if !b.cfg.Collect {
		return nil, nil, ErrOff
	}
	news, refused = make([]bool, len(sessions)), make([]error, len(sessions))
	for begin := 0; begin < len(sessions); begin += batch {
		end := min(begin+batch, len(sessions))
		if err := b.takeSome(sessions[begin:end], news[begin:end], refused[begin:end]); err != nil {
			return news, refused, err
		}
	}
	for _, why := range refused {
		if why != nil {
			b.counts.refusedSessions.Add(1)
		} else {
			b.counts.sessions.Add(1)
		}
	}
	return news, refused, nil
}

func (b *Book) takeSome(sessions []Session, news []bool, refused []error) error {
	var changed uint64
	err := b.cfg.Table.Update(func(tx *store.Tx) error {
		now := tx.Now()
		kept := b.kept(now)
		for i := range sessions {
			s := &sessions[i]
			if refused[i] = s.check(now, kept); refused[i] != nil {
				continue
			}
			days := daysOf(s.From, s.To)
			var err error
			switch news[i], err = tx.Protect(s.VM, days.first, days.last); {
			case errors.Is(err, store.ErrNotFound):
				refused[i] = fmt.Errorf("no VM is registered with the BIOS ID %s", s.VM)
			case err != nil:
				return err
			case news[i]:
				changed++
			}
		}
		return nil
	})
	if err == nil {
		b.counts.days.Add(changed)
	}
	return err
}
