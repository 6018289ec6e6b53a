package store

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// drains fails the test unless an SVM drains as it should, for who writes, who reads
// and who asks.
func (x tester) drains(t *testing.T, when string, id SVMID, want Drain) {
	t.Helper()
	is, _ := x.SVM(id)
	var written SVM
	x.must(t, func(tx *Tx) error { written, _ = tx.SVM(id); return nil })
	if asked := x.View().SVM(0).Drain; is.Drain != want || written.Drain != want || asked != want {
		t.Errorf("%s: drain %v to readers, %v to writers, %v to questions; want %v", when, is.Drain, written.Drain, asked, want)
	}
	if (is.State == Draining) != (want != Drain{}) {
		t.Errorf("%s: %v with drain %v", when, is.State, want)
	}
}

func TestDrainBeginsAndEndsWithTheState(t *testing.T) {
	clock := newStopped()
	x, id := open(t, Config{Clock: clock.time}), SVMID{1}
	drain := func(over time.Duration) {
		t.Helper()
		x.must(t, func(tx *Tx) error { _, err := tx.DrainSVM(id, over); return err })
	}
	x.svm(t, id, Ready, true)
	x.drains(t, "ready", id, Drain{})

	began := Time{clock.time().UTC()}
	drain(time.Hour)
	x.drains(t, "draining", id, Drain{began, 3600})
	clock.advance(time.Minute)
	drain(1500 * time.Millisecond)
	x.drains(t, "told to hurry", id, Drain{began, 2})
	x.svm(t, id, Draining, true)
	x.report(t, id, SVMFacts{Version: "6.0"}, 10)
	x.drains(t, "configured and reported meanwhile", id, Drain{began, 2})
	drain(0)
	x.drains(t, "at once", id, Drain{began, 0})

	x.svm(t, id, Ready, true)
	x.drains(t, "ready again", id, Drain{})
	x.svm(t, id, Draining, true)
	x.drains(t, "draining by its state", id, Drain{Time{began.Add(time.Minute)}, 600})
}

func TestDrainHasBounds(t *testing.T) {
	x, id := open(t, Config{}), SVMID{1}
	x.svm(t, id, Ready, true)
	for _, over := range []time.Duration{-1, MaxDrain + 1} {
		err := x.Update(func(tx *Tx) error { _, err := tx.DrainSVM(id, over); return err })
		if field, ok := errors.AsType[*FieldError](err); !ok || field.Field != "over" {
			t.Errorf("over %v: %v, want an error of the field over", over, err)
		}
	}
	if err := x.Update(func(tx *Tx) error { _, err := tx.DrainSVM(SVMID{2}, 0); return err }); !errors.Is(err, ErrNotFound) {
		t.Errorf("an SVM that is not there: %v, want %v", err, ErrNotFound)
	}
	x.drains(t, "after refusals", id, Drain{})
}

// A release that did not know of turns wrote less. All have left such an SVM, until
// somebody says how long it should take.
func TestDrainOfAnOlderRelease(t *testing.T) {
	clock := newStopped()
	x, id := open(t, Config{Clock: clock.time}), SVMID{1}
	row := svmConfigRow{SVMConfig: SVMConfig{Name: "svm", Address: "10.9.0.7", Pinned: true}, Wanted: Draining}
	value := row.encode()
	x.apply(t, Record{Key: Key{KindSVMConfig, id}, Value: value[:len(value)-2]})
	check := func(when string, want Drain) {
		t.Helper()
		s, _ := x.SVM(id)
		if text, err := json.Marshal(s); s.State != Draining || s.Drain != want || err != nil || strings.Contains(string(text), `"drain":`) != (want != Drain{}) {
			t.Errorf("%s: %s, %v; want drain %v", when, text, err, want)
		}
	}
	check("as it was written", Drain{})
	x.svm(t, id, Draining, true)
	check("configured anew", Drain{})
	x.must(t, func(tx *Tx) error { _, err := tx.DrainSVM(id, time.Minute); return err })
	check("with a time", Drain{Time{clock.time().UTC()}, 60})

	// And what is not draining is written as ever: neither release makes news of it.
	row.Wanted, row.Drain = Ready, Drain{Time{clock.time()}, 60}
	if got, want := row.encode(), value[:len(value)-3]; string(got[:len(got)-1]) != string(want) {
		t.Errorf("ready: %x, want %x and the state", got, want)
	}
}
