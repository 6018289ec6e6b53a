package viis

import (
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// task writes a task.
func (w *world) task(id byte, change ...func(*store.Task)) store.Task {
	w.t.Helper()
	t := store.Task{ID: store.TaskID{15: id}, Type: "CreateTenant", Node: "gw-2", By: "root", State: store.TaskRunning, Stage: "making", Done: 40}
	for _, c := range change {
		c(&t)
	}
	w.put(func(tx *store.Tx) error { _, err := tx.PutTask(t); return err })
	t, _ = w.table.Task(t.ID)
	return t
}

func TestReadTasks(t *testing.T) {
	w := newWorld(t)
	if a := w.must(200, "GET", "/tasks", ""); a.body != declared+"<tasks></tasks>" {
		t.Errorf("no tasks: %s", a.body)
	}
	running := w.task(1)
	w.task(2, func(x *store.Task) { x.State, x.Error = store.TaskFailed, "KSC_Error: no" })
	if a := w.must(200, "GET", "/tasks/"+running.ID.String(), ""); !strings.Contains(a.body, "<state>Running</state><type>CreateTenant</type><stage>making</stage><progress>40</progress></task>") {
		t.Errorf("the task that runs: %s", a.body)
	}
	if a := w.must(200, "GET", "/tasks?state=Running", ""); strings.Count(a.body, "<task ") != 2 || !strings.Contains(a.body, "<error>KSC_Error: no</error></task></tasks>") {
		t.Errorf("two tasks: %s", a.body)
	}
	for _, path := range []string{"/tasks/17", "/tasks/" + aBIOS} {
		w.refused(404, codeTaskNotFound, "GET", path, "")
		w.refused(404, codeTaskNotFound, "POST", path+"/cancel", "")
	}
}

func TestCancelTask(t *testing.T) {
	w := newWorld(t)
	running := w.task(1)
	cancel := "/tasks/" + running.ID.String() + "/cancel"
	a := w.must(202, "POST", cancel, "")
	if w.asked.canceled != running.ID || w.asked.by != "multitenancy" || !strings.Contains(a.body, "<state>Stopping</state>") || a.header.Get("Location") != Base+strings.TrimSuffix(cancel, "/cancel") {
		t.Errorf("canceled %s by %s: %v %s", w.asked.canceled, w.asked.by, a.header, a.body)
	}
	w.knows("a wish", store.Key{Kind: store.KindTask, ID: running.ID}, store.Key{Kind: store.KindTaskCancel, ID: running.ID})

	w.asked.next = running
	w.asked.next.State, w.asked.next.Error = store.TaskCanceled, "VIRMT_TaskCanceled: it had not begun"
	if a := w.must(200, "POST", cancel, ""); !strings.Contains(a.body, "<state>Canceled</state>") || !strings.Contains(a.body, "<error>VIRMT_TaskCanceled") {
		t.Errorf("canceled at once: %s", a.body)
	}
	w.knows("an end", store.Key{Kind: store.KindTask, ID: running.ID}, store.Key{Kind: store.KindTaskCancel, ID: running.ID})
	for id, state := range map[byte]store.TaskState{2: store.TaskFailed, 3: store.TaskCanceled, 4: store.TaskCompleted} {
		over := w.task(id, func(x *store.Task) { x.State = state })
		w.refused(409, codeTaskEnded, "POST", "/tasks/"+over.ID.String()+"/cancel", "")
	}
}

// TestEndedTasksTellWhatTheyChanged is for tasks that have ended when they are answered,
// and for those that are asked after.
func TestEndedTasksTellWhatTheyChanged(t *testing.T) {
	w := newWorld(t)
	id := w.tenant(1)
	want := func(task store.TaskID) (keys []store.Key) {
		keys = append(keys, store.Key{Kind: store.KindTask, ID: task})
		for _, kind := range []store.Kind{store.KindTenant, store.KindActivation, store.KindToken} {
			keys = append(keys, store.Key{Kind: kind, ID: id})
		}
		return keys
	}
	w.asked.next = store.Task{ID: store.TaskID{15: 9}, State: store.TaskFailed, Tenant: id, Error: "no"}
	w.must(202, "POST", "/tenants/"+id.String()+"/activate", "")
	w.knows("an activation", want(w.asked.next.ID)...)
	w.must(200, "GET", "/tasks/"+w.asked.next.ID.String(), "")
	w.knows("who asks after it", want(w.asked.next.ID)...)
	running := w.task(1)
	w.must(200, "GET", "/tasks/"+running.ID.String(), "")
	w.knows("who asks after a task that runs", store.Key{Kind: store.KindTask, ID: running.ID})
}

// TestOldTasksAreKnown: nobody waits for what has been told long since.
func TestOldTasksAreKnown(t *testing.T) {
	long := time.Now().Add(-2 * store.MaxSkew)
	w := newWorldOn(t, store.Config{Clock: func() time.Time { return long }})
	old := w.task(1)
	w.must(200, "GET", "/tasks/"+old.ID.String(), "")
	w.knows("who asks after an old task")
}

// TestSilentPeersAreWaitedForASecond: a change is answered though others do not say that
// they have it.
func TestSilentPeersAreWaitedForASecond(t *testing.T) {
	w := newWorld(t)
	w.peers.wait = true
	start := time.Now()
	w.must(202, "POST", "/tenants", simpleWith(""))
	if took := time.Since(start); took < confirmFor/2 || took > 10*confirmFor || w.peers.left > confirmFor {
		t.Errorf("it took %v, with a deadline in %v", took, w.peers.left)
	}
	alone := newWorld(t, func(c *Config) { c.Confirm = nil })
	alone.must(202, "POST", "/tenants", simpleWith(""))
	alone.must(200, "GET", "/tasks/"+alone.table.Tasks()[0].ID.String(), "")
	alone.must(202, "DELETE", "/tenants/"+alone.tenant(1).String(), "")
	alone.must(200, "POST", "/tenants/"+alone.tenant(1).String()+"/vms/register", `<vm biosId="`+aBIOS+`"/>`)
}
