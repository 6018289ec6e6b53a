package ksc_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
)

var allFaults = flag.Bool("ksc.faults", false, "try every kind of fault on every variant of KSC")

// everyDay are the faults that are tried without the flag, on one variant.
var everyDay = []ksctest.Kind{
	ksctest.DropBefore, ksctest.DropAfter, ksctest.DropAction, ksctest.CloseAfter, ksctest.Late, ksctest.Refuse, ksctest.Expire, ksctest.Garbage,
}

const everyDayVariant = "actions die"

// variants are what the reference leaves open.
var variants = map[string]ksctest.Config{
	"plain":              {},
	"actions die":        {ActionsDie: true, ActionTime: 5 * time.Millisecond},
	"slow actions":       {ActionTime: 30 * time.Millisecond, CheckDelay: 7 * time.Millisecond},
	"users stay":         {UsersStay: true},
	"nothing but a name": {OnlyName: true},
}

// populated starts a KSC that others use already, and returns what it holds.
func populated(t *testing.T, cfg ksctest.Config) (*ksctest.KSC, ksctest.Holding) {
	t.Helper()
	k := start(t, cfg)
	others := k.AddFolder(ksctest.Managed, "Others")
	k.AddFolder(others, wanted().Name)
	v := k.AddVServer("Other", others)
	k.AddUser("other-admin", "x", v)
	k.AddUser("somebody", "x", 0)
	return k, things(k)
}

// watchTwins fails the test when there is a second of anything of ours.
func watchTwins(t *testing.T, k *ksctest.KSC, before ksctest.Holding) {
	var told atomic.Bool
	k.OnCall(func(n int, method, when string) {
		h := k.Holds()
		// The folder of all tenants comes with ours.
		if len(h.VServers) > len(before.VServers)+1 || len(h.Users) > len(before.Users)+1 || len(h.Folders) > len(before.Folders)+2 {
			if !told.Swap(true) {
				t.Errorf("%s call %d, %s, something is there twice: %+v", when, n, method, h)
			}
		}
	})
}

// fits says that a site that was made is all there, once.
func fits(t *testing.T, k *ksctest.KSC, before ksctest.Holding, site ksc.Site) {
	t.Helper()
	h := things(k)
	if len(h.VServers) != len(before.VServers)+1 || len(h.Users) != len(before.Users)+1 || len(h.Folders) != len(before.Folders)+2 {
		t.Fatalf("made %+v, and there is %+v", site, h)
	}
	v, u := h.VServers[len(h.VServers)-1], h.Users[len(h.Users)-1]
	if v.Name != site.Name || v.UID != site.Server || u.Name != site.User || u.Password != password || u.Server != v.ID {
		t.Errorf("made %+v, and there is %+v", site, h)
	}
	if mask, all := k.Rights(v.ID, u.ID); mask != all {
		t.Errorf("rights %#x, want %#x", mask, all)
	}
}

// clean removes what was noted last, as a gateway that starts anew would, and says that
// nothing is left and all else is as before.
func clean(t *testing.T, k *ksctest.KSC, before ksctest.Holding, n *notes) {
	t.Helper()
	k.Heal()
	k.Wait()
	if err := open(t, config(k)).Remove(context.Background(), n.last(), n.note); err != nil {
		t.Fatalf("Remove(%+v): %v", n.last(), err)
	}
	if diff := cmp.Diff(before, things(k)); diff != "" {
		t.Fatalf("after Remove(%+v) (-before +after):\n%s", n.last(), diff)
	}
}

// hasty is for faults that are waited for.
func hasty(cfg ksc.Config, kind ksctest.Kind) ksc.Config {
	if kind == ksctest.Late {
		cfg.Timeout = 100 * time.Millisecond
	}
	return cfg
}

func faultAt(call int, kind ksctest.Kind) ksctest.Fault {
	f := ksctest.Fault{Call: call, Kind: kind}
	switch kind {
	case ksctest.Late:
		f.Delay = time.Hour // until its caller is gone
	case ksctest.LateHandling:
		f.Delay = 5 * time.Millisecond
	}
	return f
}

// eachFault runs fn with each kind of fault at each call, until fn says that there was no
// such call.
func eachFault(t *testing.T, fn func(t *testing.T, cfg ksctest.Config, call int, kind ksctest.Kind) bool) {
	for name, cfg := range variants {
		for kind := range ksctest.Kinds {
			usual := name == everyDayVariant && slices.Contains(everyDay, kind) && (kind == ksctest.DropAfter || !testing.Short())
			if !usual && !*allFaults {
				continue
			}
			t.Run(fmt.Sprintf("%s/%v", name, kind), func(t *testing.T) {
				t.Parallel()
				for call, more := 1, true; more; call++ {
					t.Run(fmt.Sprint(call), func(t *testing.T) { more = fn(t, cfg, call, kind) })
				}
			})
		}
	}
}

// TestMakeWithFaults lets one call go wrong, each in turn, in each way.
func TestMakeWithFaults(t *testing.T) {
	eachFault(t, func(t *testing.T, cfg ksctest.Config, call int, kind ksctest.Kind) bool {
		k, before := populated(t, cfg)
		watchTwins(t, k, before)
		k.Inject(faultAt(call, kind))
		var n notes
		site, err := open(t, hasty(config(k), kind)).Make(t.Context(), wanted(), []byte(password), n.note)
		switch {
		case err == nil:
			fits(t, k, before, site)
		case kind == ksctest.Refuse: // what is refused for good ends it
			var no *ksc.Error
			if !errors.As(err, &no) {
				t.Errorf("refused: %v, want an *Error", err)
			}
		default:
			t.Errorf("one fault that passes: %v", err)
		}
		if err != nil {
			noSecret(t, "the error", err.Error())
		}
		noSecret(t, "what was noted", fmt.Sprintf("%+v", n.sites))
		made := len(k.Calls())
		clean(t, k, before, &n)
		return call <= made
	})
}

// TestRemoveWithFaults does the same while all is removed.
func TestRemoveWithFaults(t *testing.T) {
	eachFault(t, func(t *testing.T, cfg ksctest.Config, call int, kind ksctest.Kind) bool {
		k, before := populated(t, cfg)
		s := open(t, hasty(config(k), kind))
		var n notes
		site, err := s.Make(t.Context(), wanted(), []byte(password), n.note)
		if err != nil {
			t.Fatal(err)
		}
		begun := len(k.Calls())
		k.Inject(faultAt(begun+call, kind))
		err = s.Remove(t.Context(), site, n.note)
		var no *ksc.Error
		switch {
		case err != nil && (kind != ksctest.Refuse || !errors.As(err, &no)):
			t.Errorf("one fault: %v", err)
		case err == nil && cmp.Diff(before, things(k)) != "":
			t.Errorf("Remove returned nil; (-before +after):\n%s", cmp.Diff(before, things(k)))
		}
		removed := len(k.Calls())
		clean(t, k, before, &n)
		return begun+call <= removed
	})
}

// TestDeathAtEveryCall ends Make, and then Remove, at each call: before KSC handles it,
// and when it has handled it. Another gateway removes what was noted last.
func TestDeathAtEveryCall(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		for call, more := 1, true; more; call++ {
			t.Run(fmt.Sprintf("%s/%d", when, call), func(t *testing.T) {
				k, before := populated(t, ksctest.Config{ActionTime: 3 * time.Millisecond})
				ctx, die := context.WithCancel(t.Context())
				defer die()
				died := false
				k.OnCall(func(n int, _, now string) {
					if n == call && now == when {
						died = true
						die()
						// What a process that is gone can not do: notice. The call goes on as if
						// nothing had happened.
					}
				})
				var n notes
				s := open(t, config(k))
				site, err := s.Make(ctx, wanted(), []byte(password), n.note)
				if err == nil {
					err = s.Remove(ctx, site, n.note)
				}
				k.OnCall(nil)
				if more = died; died && err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("died: %v", err)
				}
				clean(t, k, before, &n)
			})
		}
	}
}

// TestNotesThatFail refuses each note in turn: what it announces is not done, and what the
// note before tells is enough to remove what was.
func TestNotesThatFail(t *testing.T) {
	full := errors.New("the disk is full")
	for fails := range 9 {
		k, before := populated(t, ksctest.Config{})
		s := open(t, config(k))
		var n notes
		note := func(stage string, percent int, site ksc.Site) error {
			if len(n.sites) == fails {
				return full
			}
			if percent < 0 || percent > 99 {
				t.Errorf("%s: %d percent", stage, percent)
			}
			return n.note(stage, percent, site)
		}
		site, err := s.Make(t.Context(), wanted(), []byte(password), note)
		if err == nil {
			err = s.Remove(t.Context(), site, note)
		}
		if !errors.Is(err, full) {
			t.Errorf("note %d failed: %v", fails, err)
		}
		if fails == 0 && cmp.Diff(before, things(k)) != "" {
			t.Errorf("nothing was noted, and something was done: %s", cmp.Diff(before, things(k)))
		}
		clean(t, k, before, &n)
	}
}

// TestNothingHelps lets every call of a method fail, always: no method may make Make or
// Remove hang, and what is left is found later.
func TestNothingHelps(t *testing.T) {
	k, before := populated(t, ksctest.Config{})
	var n notes
	site, err := open(t, config(k)).Make(t.Context(), wanted(), []byte(password), n.note)
	if err != nil {
		t.Fatal(err)
	}
	methods := slices.Compact(slices.Sorted(slices.Values(k.Calls())))
	if err := open(t, config(k)).Remove(t.Context(), site, n.note); err != nil {
		t.Fatal(err)
	}
	methods = append(methods, "VServers.DelVServer", "HostGroup.RemoveGroup", "SecurityPolicy.DeleteUser", "AsyncActionStateChecker.CheckActionState")
	for _, method := range methods {
		for _, kind := range []ksctest.Kind{ksctest.DropAfter, ksctest.Refuse, ksctest.Garbage, ksctest.Expire} {
			t.Run(fmt.Sprintf("%s/%v", method, kind), func(t *testing.T) {
				t.Parallel()
				k, before := populated(t, ksctest.Config{ActionTime: time.Millisecond})
				cfg := config(k)
				cfg.ActionTimeout = 200 * time.Millisecond
				k.Inject(ksctest.Fault{Method: method, Kind: kind})
				s := open(t, cfg)
				var n notes
				site, err := s.Make(t.Context(), wanted(), []byte(password), n.note)
				if err == nil {
					fits(t, k, before, site)
					err = s.Remove(t.Context(), site, n.note)
				}
				if err != nil {
					noSecret(t, "the error", err.Error())
					if !strings.Contains(err.Error(), "ksc: ") {
						t.Errorf("%v: whose error is that?", err)
					}
				}
				clean(t, k, before, &n)
			})
		}
	}
	clean(t, k, before, &n)
}
