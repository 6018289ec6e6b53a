package watch

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Other gateways as a test says: who is there, and what they answer.
type others struct {
	mu      sync.Mutex
	members []Member
	mute    map[string]bool // who does not answer greetings
	answer  func(ctx context.Context, member string, question []byte) ([]byte, error)
}

func (o *others) list() []Member {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.members)
}

// sleep lets others do what they do. What they note under the mutex can be read after it,
// until the next one.
func (o *others) sleep(d time.Duration) {
	for _, d := range []time.Duration{d, 0} {
		o.mu.Lock()
		o.mu.Unlock() //nolint:staticcheck // it is to be after what they did, and before what they will
		time.Sleep(d)
	}
}

func (o *others) greeted(member string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mute[member] {
		return errStopped
	}
	return nil
}

func (o *others) are(members ...Member) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.members = members
}

func there(names ...string) (list []Member) {
	for _, name := range names {
		list = append(list, Member{Name: name, Alive: true})
	}
	return list
}

// among starts a watch of the gateway "a", in a bubble.
func among(t *testing.T, o *others) (*Watch, *store.Table) {
	t.Helper()
	table, err := store.Open(store.Config{Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{
		Table: table, Feed: NewFeed(), Self: "a", Members: o.list,
		Ask: func(ctx context.Context, member string, question []byte) ([]byte, error) {
			if question[0] == formatGreeting {
				return question, o.greeted(member)
			}
			return o.answer(ctx, member, question)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.Run(life); close(done) }()
	t.Cleanup(func() { end(); <-done; table.Close() })
	return w, table
}

// register registers VMs of a tenant that is inactive.
func register(t *testing.T, table *store.Table, vms ...store.BIOSID) {
	t.Helper()
	if err := registerIn(table, vms...); err != nil {
		t.Fatal(err)
	}
}

func registerIn(table *store.Table, vms ...store.BIOSID) error {
	return table.Update(func(tx *store.Tx) error {
		if _, err := tx.PutTenant(store.Tenant{ID: store.TenantID{1}, Name: "acme", Discovery: store.DefaultDiscovery()}); err != nil {
			return err
		}
		for _, id := range vms {
			if _, err := tx.PutVM(store.VM{BIOS: id, Tenant: store.TenantID{1}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// ownedBy returns n things that a gateway of some owns.
func ownedBy(owner string, n int, names ...string) (list []store.BIOSID) {
	r := rosterOf(owner, names...)
	for i := 0; len(list) < n; i++ {
		if r.owner(bios(i), "") == owner {
			list = append(list, bios(i))
		}
	}
	return list
}

func taking(question []byte) []byte {
	answer := make([]byte, answerBytes((len(question)-headBytes)/noticeBytes))
	answer[0] = formatNotices
	return answer
}

// Notices of what another gateway owns are told to it, with what this one knows; what it
// does not take is told again, and what it will not take is dropped and counted.
func TestOwnersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := ownedBy("b", 2, "a", "b")
		var told [][]item
		refuse := 1 // of every batch the first, so often
		o := &others{members: there("b")}
		o.answer = func(_ context.Context, _ string, question []byte) ([]byte, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			var list []item
			for i := headBytes; i < len(question); i += noticeBytes {
				list = append(list, decode(question[i:]))
			}
			told = append(told, list)
			answer := taking(question)
			if refuse > 0 {
				refuse--
				answer[1] = 1
			}
			return answer, nil
		}
		w, table := among(t, o)
		register(t, table, ids...)
		cause, _ := table.Inactivity(store.TenantID{1})
		o.sleep(3 * time.Second)
		w.cfg.Feed.Note(ids[0], Inactive)
		w.cfg.Feed.Note(ids[1], NoSVM) // which is because its tenant is inactive
		o.sleep(time.Second)
		if len(told) != 1 || len(told[0]) != 2 || told[0][1].What != Inactive || told[0][1].cause != cause {
			t.Fatalf("told was %+v, want two that are inactive by %x", told, cause)
		}
		o.sleep(10 * time.Second)
		if len(told) != 2 || len(told[1]) != 1 || told[1][0].VM != ids[0] {
			t.Fatalf("told again was %+v, want %s alone", told[1:], ids[0])
		}
		if s := w.Stats(); s.Told != 2 || w.counts.untold.Load() != 0 {
			t.Errorf("%d were told, and %d not; want 2 and 0", s.Told, w.counts.untold.Load())
		}
		refuse = 100
		w.cfg.Feed.Note(ids[0], Inactive)
		o.sleep(time.Minute)
		if len(told) != 2+maxTries || w.counts.untold.Load() != 1 {
			t.Errorf("it was told %d times more, and %d were dropped; want %d and 1", len(told)-2, w.counts.untold.Load(), maxTries)
		}
		if n := table.NumEvents() - membersJoined(table); n != 0 {
			t.Errorf("%d events of what others own", n)
		}
	})
}

// A gateway that never answers holds up nobody else, nor takes memory without bound; and
// when it is gone its things are another's.
func TestAGatewayThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var toC atomic.Uint64
		o := &others{members: there("b", "c")}
		o.answer = func(ctx context.Context, member string, question []byte) ([]byte, error) {
			if member == "b" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			toC.Add(uint64(len(question)-headBytes) / noticeBytes)
			return taking(question), nil
		}
		w, table := among(t, o)
		bs, cs, as := ownedBy("b", 200, "a", "b", "c"), ownedBy("c", 200, "a", "b", "c"), ownedBy("a", 200, "a", "b", "c")
		register(t, table, slices.Concat(as, bs, cs)...)
		time.Sleep(15 * time.Second)
		for range 400 { // 60 seconds, 400 notices every 150 ms
			for i := range bs {
				w.cfg.Feed.Note(bs[i], Inactive)
				w.cfg.Feed.Note(cs[i], Inactive)
				w.cfg.Feed.Note(as[i], Inactive)
			}
			time.Sleep(150 * time.Millisecond)
		}
		if got := toC.Load(); got < 200*395 {
			t.Errorf("c was told %d notices of 80,000", got)
		}
		if n := table.NumEvents() - membersJoined(table); n != 200 {
			t.Errorf("%d events of this gateway's VMs, want 200", n)
		}
		w.mu.Lock()
		for member, l := range w.lanes {
			if len(l.waiting) > maxLane {
				t.Errorf("%d notices wait for %s", len(l.waiting), member)
			}
		}
		w.mu.Unlock()
		if w.counts.full.Load()+w.counts.untold.Load() == 0 {
			t.Error("nothing was dropped, or it was not counted")
		}
		o.are(there("c")...)
		time.Sleep(30 * time.Second)
		for range 3 {
			for _, id := range bs {
				w.cfg.Feed.Note(id, Inactive)
			}
			time.Sleep(10 * time.Second)
		}
		mine := 0
		for _, id := range bs {
			if rosterOf("a", "a", "c").owner(id, "") == "a" {
				mine++
			}
		}
		if n := table.NumEvents() - membersJoined(table); n != 200+mine {
			t.Errorf("b is gone, and there are %d events, want %d", n, 200+mine)
		}
	})
}

// membersJoined returns how many events are of gateways.
func membersJoined(table *store.Table) (n int) {
	table.Events(store.Version{}, func(e *store.Event) bool {
		if e.VM.IsZero() {
			n++
		}
		return true
	})
	return n
}

// A flood of notices takes no more memory than there is for them, and is counted.
func TestAFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &others{members: there("b"), answer: func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("busy") }}
		w, table := among(t, o)
		ids := make([]store.BIOSID, 10_000)
		for i := range ids {
			ids[i] = bios(i)
		}
		register(t, table, ids...)
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		flood := 1_000_000
		if testing.Short() {
			flood = 500_000
		}
		taken := 0
		for i := range flood {
			if w.cfg.Feed.Note(ids[i%len(ids)], Inactive) {
				taken++
			}
			if i%20_000 == 0 {
				time.Sleep(50 * time.Millisecond)
			}
		}
		synctest.Wait()
		if w.counts.full.Load() == 0 {
			t.Error("no queue was full: the flood is too small")
		}
		if after := heap(); after > before+64<<20 {
			t.Errorf("the heap grew from %d to %d MiB", before>>20, after>>20)
		}
		time.Sleep(time.Minute)
		var noted, dropped uint64
		w.EachNotice(func(_ string, n uint64) { noted += n })
		w.EachDrop(func(_ string, n uint64) { dropped += n })
		if noted != uint64(taken) || dropped < uint64(flood)/4 {
			t.Errorf("%d notices counted of %d, %d dropped", noted, taken, dropped)
		}
	})
}

// A wheel gives back each item at its second, once, and takes no more than it has room for.
func TestWheel(t *testing.T) {
	l := wheel{at: start.Unix()}
	due := map[store.BIOSID]int64{}
	for i := range 1000 {
		at := start.Add(time.Duration(i) * 370 * time.Millisecond)
		wait := time.Duration(1+i%15) * time.Second
		due[bios(i)] = at.Unix() + int64(wait/time.Second)
		if !l.add(item{Notice: Notice{VM: bios(i)}}, at, wait) {
			t.Fatal("there is no room")
		}
		for _, it := range l.turn(at) {
			if want := due[it.VM]; want != at.Unix() {
				t.Errorf("at %d comes what is due at %d", at.Unix(), want)
			}
			delete(due, it.VM)
		}
	}
	if got := len(l.turn(start.Add(time.Hour))); got != len(due) || l.n != 0 {
		t.Errorf("%d items are left, and then %d; want %d and 0", got, l.n, len(due))
	}
	for range maxLater {
		l.add(item{}, start.Add(time.Hour), time.Second)
	}
	if l.add(item{}, start.Add(time.Hour), time.Second) {
		t.Error("there is no bound")
	}
}

// What is told is taken by its owner alone, by one that has been it for long enough, and
// acted on when its table is as far as that of who told it.
func TestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &others{members: there("b"), answer: func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("busy") }}
		w, table := among(t, o)
		mine, other := ownedBy("a", 2, "a", "b"), ownedBy("b", 1, "a", "b")[0]
		register(t, table, append(mine, other)...)
		cause, _ := table.Inactivity(store.TenantID{1})
		say := func(list ...item) []byte {
			answer, err := w.Answer(t.Context(), "b", encode(list, time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			return answer[1:]
		}
		about := func(id store.BIOSID, cause uint64) item { return item{Notice: Notice{id, Inactive}, cause: cause} }
		events := func() int { return table.NumEvents() - membersJoined(table) }
		time.Sleep(5 * time.Second)
		if got := say(about(mine[0], cause)); got[0] != 1 {
			t.Errorf("an owner since 5 s takes it: %b", got)
		}
		time.Sleep(10 * time.Second)
		if got := say(about(mine[0], cause), about(other, cause), about(mine[1], cause+2)); got[0] != 0b010 {
			t.Errorf("refused are %b, want the second, which is another's", got)
		}
		time.Sleep(time.Second)
		if n := events(); n != 1 {
			t.Fatalf("%d events, want 1: of the other the table does not know yet", n)
		}
		// The table gets there: the tenant was active in between.
		for _, active := range []bool{true, false} {
			if err := table.Update(func(tx *store.Tx) error { _, err := tx.SetActive(store.TenantID{1}, active); return err }); err != nil {
				t.Fatal(err)
			}
		}
		now, _ := table.Inactivity(store.TenantID{1})
		say(about(mine[1], now))
		time.Sleep(time.Second)
		if n := events(); n != 2 {
			t.Errorf("%d events, want 2", n)
		}
		time.Sleep(time.Minute)
		if n := events(); n != 2 || w.counts.untold.Load() != 1 {
			t.Errorf("%d events, and %d dropped; want 2 and 1: that of an inactivity that never came", n, w.counts.untold.Load())
		}
		old := encode([]item{about(mine[0], now)}, time.Now().Add(-2*time.Minute))
		if _, err := w.Answer(t.Context(), "b", old); err == nil {
			t.Error("a question of two minutes ago is taken")
		}
	})
}

// FuzzAnswer: what comes from other gateways panics nobody.
func FuzzAnswer(f *testing.F) {
	table, err := store.Open(store.Config{})
	if err != nil {
		f.Fatal(err)
	}
	w, err := New(Config{Table: table, Clock: func() time.Time { return start }})
	if err != nil {
		f.Fatal(err)
	}
	w.running = true
	f.Add(encode([]item{{Notice: Notice{bios(1), NoSVM}}}, start))
	f.Add([]byte{formatConflict, '{', '}'})
	f.Add([]byte{formatNotices})
	f.Fuzz(func(t *testing.T, question []byte) {
		answer, err := w.Answer(t.Context(), "b", slices.Clone(question))
		if err == nil && question[0] == formatNotices && len(answer) != answerBytes((len(question)-headBytes)/noticeBytes) {
			t.Errorf("%d bytes are answered with %d", len(question), len(answer))
		}
		if len(w.heard) > maxHeard {
			t.Errorf("%d notices wait", len(w.heard))
		}
		w.heard, w.conflicts.list = nil, nil
	})
}

// Gateways that come and go are told by one of those that stay; that this one starts, or
// has never seen one, is no news.
func TestMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &others{members: []Member{{Name: "old"}}, answer: func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("busy") }}
		_, table := among(t, o)
		var want []string
		expect := func(what string, more ...string) {
			t.Helper()
			time.Sleep(15 * time.Second)
			want = append(want, more...)
			var got []string
			table.Events(store.Version{}, func(e *store.Event) bool { got = append(got, e.Type); return true })
			if !slices.Equal(got, want) {
				t.Fatalf("%s: events %v, want %v", what, got, want)
			}
		}
		expect("alone")
		o.are(there("b")...)
		expect("b comes", MemberJoined)
		o.are(Member{Name: "b"})
		expect("b fails", MemberFailed)
		o.are()
		expect("and is forgotten")
		o.are(there("b")...)
		expect("b is back", MemberJoined)
		o.are()
		expect("b leaves", MemberLeft)
		o.are(there("b")...)
		expect("b is back", MemberJoined)
	})
}

// A gateway that is there owns nothing until it says that it watches: it may be filling
// its table, or of an older release.
func TestWhoWatchesNotOwnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		o := &others{members: there("b"), mute: map[string]bool{"b": true}}
		o.answer = func(_ context.Context, _ string, question []byte) ([]byte, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			told++
			return taking(question), nil
		}
		w, table := among(t, o)
		ids := ownedBy("b", 2, "a", "b")
		register(t, table, ids...)
		o.sleep(15 * time.Second)
		w.cfg.Feed.Note(ids[0], Inactive)
		o.sleep(time.Second)
		if n := table.NumEvents() - membersJoined(table); n != 1 || told != 0 {
			t.Errorf("%d events, and b was told %d times, want 1 and 0", n, told)
		}
		if _, err := w.Answer(t.Context(), "b", []byte{formatGreeting}); err != nil { // b begins
			t.Fatal(err)
		}
		o.sleep(2 * time.Second)
		w.cfg.Feed.Note(ids[1], Inactive)
		o.sleep(time.Second)
		if n := table.NumEvents() - membersJoined(table); n != 1 || told != 1 {
			t.Errorf("%d events, and b was told %d times, want 1 and 1", n, told)
		}
	})
}

// Conflicts are brought to their owner until there is an event, and told here if they are
// this gateway's, whoever found them.
func TestConflictsReachTheirOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var brought []store.Conflict
		o := &others{members: there("b")}
		o.answer = func(_ context.Context, member string, question []byte) ([]byte, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			var c store.Conflict
			if member != "b" || question[0] != formatConflict || json.Unmarshal(question[1:], &c) != nil {
				return nil, errMalformed
			}
			brought = append(brought, c)
			return question[:1], nil
		}
		w, table := among(t, o)
		o.sleep(15 * time.Second)
		conflict := func(owner string) store.Conflict {
			return store.Conflict{Type: store.VMConflict, VM: ownedBy(owner, 1, "a", "b")[0], Tenant: store.TenantID{1}, Holder: store.TenantID{2},
				Name: "web", Lost: store.Version{Clock: 1 << 60, Node: 3}, Held: store.Version{Clock: 1<<60 + 1, Node: 4}}
		}
		mine, other := conflict("a"), conflict("b")
		question, err := json.Marshal(mine)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := w.Answer(t.Context(), "b", append([]byte{formatConflict}, question...)); err != nil {
				t.Fatal(err)
			}
		}
		w.hear(&store.News{Conflicts: []store.Conflict{other}})
		o.sleep(20 * time.Second)
		if e, ok := table.Event(occasionOf(&mine)); !ok || e.VM != mine.VM || e.Tenant != mine.Tenant {
			t.Errorf("what b found is told as %+v, %t", e, ok)
		}
		if len(brought) < 4 || brought[0] != other {
			t.Errorf("brought to b was %+v, want %+v every 5 s", brought, other)
		}
		before := len(brought)
		if err := table.Update(func(tx *store.Tx) error { return tellOf(tx, &other) }); err != nil { // b's event comes
			t.Fatal(err)
		}
		o.sleep(20 * time.Second)
		w.mu.Lock()
		waiting := len(w.conflicts.list)
		w.mu.Unlock()
		if len(brought) != before || waiting != 0 {
			t.Errorf("it was brought %d times more, and %d are waiting", len(brought)-before, waiting)
		}
	})
}
