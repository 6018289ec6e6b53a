package cluster

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var someKeys = [][]byte{aKey('a', 32), aKey('b', 16), aKey('c', 24), aKey('d', 32)}

func aKey(c byte, size int) []byte { return slices.Repeat([]byte{c}, size) }

// ring makes keys, and says what they are now and what was saved.
func ring(t *testing.T, all ...[]byte) (k *keys, saved *[][]byte) {
	k, saved = new(keys), new([][]byte)
	err := k.init(all, func(next [][]byte) error {
		*saved = slices.Clone(next)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return k, saved
}

func letters(all [][]byte) string {
	var s []byte
	for _, key := range all {
		s = append(s, key[0])
	}
	return string(s)
}

func TestKeysChange(t *testing.T) {
	full := [][]byte{aKey('0', 16), aKey('1', 16), aKey('2', 16), aKey('3', 16), aKey('4', 16), aKey('5', 16), aKey('6', 16), aKey('7', 16)}
	tests := []struct {
		name   string
		held   [][]byte
		change KeyChange
		key    []byte
		want   string
		saved  string
		err    string
	}{
		{"add", someKeys[:1], AddKey, someKeys[1], "ab", "ab", ""},
		{"add what is there", someKeys[:2], AddKey, someKeys[1], "ab", "", ""},
		{"add too many", full, AddKey, someKeys[1], "01234567", "", "there are 8 keys already; remove one first"},
		{"add what is there, where there is room for no more", full, AddKey, full[3], "01234567", "", ""},
		{"use", someKeys, UseKey, someKeys[2], "cabd", "cabd", ""},
		{"use what is in use", someKeys, UseKey, someKeys[0], "abcd", "", ""},
		{"use what is not there", someKeys[:2], UseKey, someKeys[2], "ab", "", "the key is not here; add it first"},
		{"remove the last", someKeys, RemoveKey, someKeys[3], "abc", "abc", ""},
		{"remove the second", someKeys, RemoveKey, someKeys[1], "acd", "acd", ""},
		{"remove what is in use", someKeys, RemoveKey, someKeys[0], "abcd", "", "the key is in use; use another first"},
		{"remove what is not there", someKeys[:2], RemoveKey, someKeys[2], "ab", "", ""},
		{"a key of another size", someKeys[:2], AddKey, make([]byte, 5), "ab", "", "cluster: malformed message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, saved := ring(t, tt.held...)
			got := ""
			if err := k.changeLocked(tt.change, tt.key); err != nil {
				got = err.Error()
			}
			if got != tt.err {
				t.Errorf("got the error %q, want %q", got, tt.err)
			}
			if got := letters(k.ring.GetKeys()); got != tt.want {
				t.Errorf("then it holds %q, want %q", got, tt.want)
			}
			if got := letters(*saved); got != tt.saved {
				t.Errorf("saved %q, want %q", got, tt.saved)
			}
		})
	}
}

func TestKeysThatCanNotBeSavedDoNotChange(t *testing.T) {
	k, _ := ring(t, someKeys[:2]...)
	full := errors.New("no space left on device")
	k.save = func([][]byte) error { return full }
	for change, key := range map[KeyChange][]byte{AddKey: someKeys[2], UseKey: someKeys[1], RemoveKey: someKeys[1]} {
		if err := k.changeLocked(change, key); !errors.Is(err, full) {
			t.Errorf("%s: got %v, want %v", change, err, full)
		}
		if got := letters(k.ring.GetKeys()); got != "ab" {
			t.Errorf("%s: then it holds %q, want what it held", change, got)
		}
	}
}

// TestKeysAreReadWhileTheyChange is for the race detector.
func TestKeysAreReadWhileTheyChange(t *testing.T) {
	k, _ := ring(t, someKeys...)
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		sum := 0
		for {
			for _, key := range k.ring.GetKeys() {
				sum += int(key[len(key)-1])
			}
			select {
			case <-stop:
				stopped <- sum
				return
			default:
			}
		}
	}()
	for range 1000 {
		second := slices.Clone(k.ring.GetKeys()[1])
		for _, change := range []KeyChange{RemoveKey, AddKey} {
			if err := k.changeLocked(change, second); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	if <-stopped == 0 {
		t.Error("nobody read")
	}
}

func TestOneChangeOfKeysAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := ring(t, someKeys[:1]...)
		steps := []struct {
			peer  string
			step  keyStep
			after time.Duration
			may   bool
		}{
			{"a", changeStep, 0, false}, // it asked nobody before
			{"a", reserveStep, 0, true},
			{"b", listStep, 0, true},
			{"b", reserveStep, 0, false},
			{"b", changeStep, 0, false},
			{"b", releaseStep, 0, true}, // of nothing
			{"a", reserveStep, 0, true}, // again
			{"a", changeStep, 0, true},
			{"a", changeStep, 0, false}, // again
			{"b", reserveStep, 0, true},
			{"b", releaseStep, 0, true},
			{"a", reserveStep, 0, true},
			{"a", changeStep, keysReserved, false}, // too late
			{"a", reserveStep, 0, true},
			{"b", reserveStep, keysReserved, true}, // a is not believed any more
			{"a", changeStep, 0, false},
			{"b", changeStep, 0, true},
			{"b", 99, 0, false},
		}
		permits := make(map[string]uint64)
		for i, s := range steps {
			time.Sleep(s.after)
			q := keyAsk{s.step, permits[s.peer], AddKey, someKeys[0]}
			permit, err := k.takeLocked(s.peer, q)
			if permit != 0 {
				permits[s.peer] = permit
			}
			if (err == nil) != s.may {
				t.Errorf("step %d, %+v: got %v", i, s, err)
			}
		}
	})
}

func TestAChangeOfKeysThatIsSentAgainChangesNothing(t *testing.T) {
	k, _ := ring(t, someKeys[:2]...)
	var sent []keyAsk
	use := func(key []byte) {
		permit, err := k.takeLocked("a", keyAsk{step: reserveStep})
		if err != nil {
			t.Fatal(err)
		}
		q := keyAsk{changeStep, permit, UseKey, key}
		if _, err := k.takeLocked("a", q); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, keyAsk{step: reserveStep}, q)
	}
	use(someKeys[1])
	use(someKeys[0])
	for _, q := range sent[:2] {
		_, _ = k.takeLocked("a", q)
	}
	if got := letters(k.ring.GetKeys()); got != "ab" {
		t.Errorf("whoever sends again what it heard changes the keys to %q", got)
	}
}

func TestKeysThatANodeDoesNotStartWith(t *testing.T) {
	for want, all := range map[string][][]byte{
		"cluster: Keys[1] has 5 bytes, and must have 16, 24 or 32": {someKeys[0], make([]byte, 5)},
		"cluster: 9 Keys, and a node holds 8 at most":              make([][]byte, 9),
	} {
		if _, err := Start(Config{Name: "a", Table: NewMap("a", NewClock(time.Now)), Keys: all}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzKeyAsk(f *testing.F) {
	f.Add(keyAsk{changeStep, 77, AddKey, someKeys[0]}.encode())
	f.Add(keyAsk{step: listStep}.encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := decodeKeyAsk(body)
		if err == nil && !slices.Equal(q.encode(), body) {
			t.Fatalf("%x is read as %+v and written as %x", body, q, q.encode())
		}
	})
}
