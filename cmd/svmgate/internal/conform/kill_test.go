package conform

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
)

var everyKill = flag.Bool("conform.kills", false, "kill the gateway at every call of Kaspersky Security Center, not at some")

// A killing is a gateway that Kaspersky Security Center kills when it is called.
type killing struct {
	*testing.T
	*world
	ksc  *ksctest.KSC
	had  ksctest.Holding // before anything was made
	runs int
}

func newKilling(t *testing.T) *killing {
	t.Helper()
	center, args := startKSC(t, ksctest.Config{ActionTime: 10 * time.Millisecond})
	k := &killing{T: t, ksc: center, had: lasting(center), world: startWorld(t, false, args...)}
	k.await(t, false)
	return k
}

// lasting is what a Kaspersky Security Center holds, but what passes.
func lasting(k *ksctest.KSC) ksctest.Holding {
	h := k.Holds()
	h.Sessions, h.Actions = 0, 0
	return h
}

// again starts the gateway again, on the same directory.
func (k *killing) again() {
	k.Helper()
	g := k.gateways[0]
	k.runs++
	g.log = filepath.Join(g.dir, fmt.Sprint("log", k.runs))
	log, err := os.Create(g.log)
	if err != nil {
		k.Fatal(err)
	}
	defer log.Close()
	cmd, ended := exec.Command(g.cmd.Path, g.cmd.Args[1:]...), make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = g.cmd.Env, log, log
	if err := cmd.Start(); err != nil {
		k.Fatal(err)
	}
	g.cmd, g.ended = cmd, ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	g.await(k.T)
	k.url = g.admin
}

// A workItem is a task, as the API shows it.
type workItem struct {
	ID    string `xml:"id,attr"`
	State string `xml:"state"`
	Type  string `xml:"type"`
	Error string `xml:"error"`
}

// request calls the API. The gateway may die meanwhile.
func (k *killing) request(method, path, body string) (status int, text []byte, err error) {
	req, err := http.NewRequestWithContext(k.Context(), method, k.url+base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth("multitenancy", passwordOf("multitenancy"))
	if body != "" {
		req.Header.Set("Content-Type", "application/xml")
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// read gets an element, and fails the test if that can not be.
func (k *killing) read(path string, into any) {
	k.Helper()
	status, text, err := k.request("GET", path, "")
	if err = errors.Join(err, xml.Unmarshal(text, into)); status != 200 || err != nil {
		k.Fatalf("GET %s: %d %s, %v", path, status, text, err)
	}
}

func (k *killing) tasks() []workItem {
	k.Helper()
	var list struct {
		Tasks []workItem `xml:"task"`
	}
	k.read("/tasks", &list)
	return list.Tasks
}

func (k *killing) tenants() []string {
	k.Helper()
	var list struct {
		Tenants []struct {
			ID string `xml:"id,attr"`
		} `xml:"tenant"`
	}
	k.read("/tenants", &list)
	var ids []string
	for _, t := range list.Tenants {
		ids = append(ids, t.ID)
	}
	return ids
}

// fresh returns the task that there was not before, once it has ended.
func (k *killing) fresh(before []workItem) (task workItem) {
	k.Helper()
	poll(k.T, func() error {
		list := slices.DeleteFunc(k.tasks(), func(t workItem) bool {
			return slices.ContainsFunc(before, func(old workItem) bool { return old.ID == t.ID })
		})
		if len(list) != 1 || !ended(list[0].State) {
			return fmt.Errorf("the new tasks are %+v; want one, and that it ends", list)
		}
		task = list[0]
		return nil
	})
	return task
}

// killed has the gateway do something, kills it at the n-th call from then on, before
// that is handled or when it is to be answered, starts it again, and returns the task,
// which has ended. It returns false if there were fewer calls.
func (k *killing) killed(n int, when, method, path, body string) (task workItem, ok bool) {
	k.Helper()
	before, g := k.tasks(), k.gateways[0]
	n += len(k.ksc.Calls())
	k.ksc.OnCall(func(call int, _, at string) {
		if call == n && at == when {
			_ = g.cmd.Process.Kill()
			<-g.ended
		}
	})
	if when == "before" { // whoever is dead has not sent it
		k.ksc.Inject(ksctest.Fault{Call: n, Kind: ksctest.DropBefore})
	}
	_, _, _ = k.request(method, path, body) // the answer may never come
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		select {
		case <-g.ended:
			k.ksc.OnCall(nil)
			k.ksc.Heal()
			k.again()
			return k.fresh(before), true
		default:
		}
		if list := k.ended(); len(list) > len(before) {
			k.ksc.OnCall(nil)
			k.ksc.Heal()
			return k.fresh(before), false
		}
		if time.Now().After(deadline) {
			k.Fatalf("at call %d nothing happens: %+v", n, k.tasks())
		}
	}
}

// ended returns the tasks that have ended, or nothing if the gateway is dead.
func (k *killing) ended() []workItem {
	_, text, err := k.request("GET", "/tasks", "")
	var list struct {
		Tasks []workItem `xml:"task"`
	}
	if err != nil || xml.Unmarshal(text, &list) != nil {
		return nil
	}
	return slices.DeleteFunc(list.Tasks, func(t workItem) bool { return !ended(t.State) })
}

// everyMoment calls fn for the calls at which the gateway is to be killed, until fn says
// that there were fewer.
func everyMoment(fn func(n int, when string) bool) (kills int) {
	for n := 1; ; n++ {
		for i, when := range []string{"before", "after"} {
			if !*everyKill && (n%4 != 1 || n/4%2 != i) {
				continue
			}
			if !fn(n, when) {
				return kills
			}
			kills++
		}
	}
}

func (k *killing) wholeKSC(when string, want ksctest.Holding) {
	k.Helper()
	if diff := cmp.Diff(want, lasting(k.ksc)); diff != "" {
		k.Fatalf("%s: Kaspersky Security Center has changed (-want +got)\n%s", when, diff)
	}
}

// TestKilled kills a gateway that makes or removes a tenant.
func TestKilled(t *testing.T) {
	t.Run("in CreateTenant", killedInCreate)
	t.Run("in DeleteTenant", killedInDelete)
}

// Whenever a gateway dies that makes a tenant, nothing of the tenant is anywhere once it
// is back.
func killedInCreate(t *testing.T) {
	t.Parallel()
	k := newKilling(t)
	kills := everyMoment(func(n int, when string) bool {
		body := variables{"name": fmt.Sprint("tenant ", n, " ", when)}.fill(completeBody)
		task, ok := k.killed(n, when, "POST", "/tenants", body)
		if !ok {
			if len(k.tenants()) != 1 || task.State != "Completed" {
				t.Errorf("without a kill: %+v; tenants %v", task, k.tenants())
			}
			return false
		}
		at := fmt.Sprintf("killed %s call %d", when, n)
		if task.State != "Failed" || !strings.HasPrefix(task.Error, "VIRMT_TaskInterrupted: ") || task.Type != "CreateTenant" {
			t.Errorf("%s: the task is %+v", at, task)
		}
		if list := k.tenants(); len(list) > 0 {
			t.Errorf("%s: there are tenants: %v", at, list)
		}
		k.wholeKSC(at, k.had)
		return true
	})
	t.Logf("killed %d times", kills)
	k.passwordsAreNowhere(t)
}

// Whenever a gateway dies that removes a tenant, all of the tenant is there once it is
// back, or nothing.
func killedInDelete(t *testing.T) {
	t.Parallel()
	k := newKilling(t)
	id, made := "", 0
	var held ksctest.Holding
	create := func() {
		made++
		before := k.tasks()
		status, text, err := k.request("POST", "/tenants", variables{"name": fmt.Sprint("tenant ", made)}.fill(completeBody))
		if err != nil || status != 202 {
			t.Fatalf("POST /tenants: %d %s, %v", status, text, err)
		}
		if task := k.fresh(before); task.State != "Completed" {
			t.Fatalf("a tenant is not made: %+v", task)
		}
		id = k.tenants()[0]
		if status, text, err := k.request("POST", "/tenants/"+id+"/vms/register", `<vm biosId="`+freshUUID()+`"/>`); status != 200 || err != nil {
			t.Fatalf("register: %d %s, %v", status, text, err)
		}
		held = lasting(k.ksc)
	}
	create()
	ends := map[string]int{}
	kills := everyMoment(func(n int, when string) bool {
		task, ok := k.killed(n, when, "DELETE", "/tenants/"+id+"?removeTenantArtifacts=true", "")
		at := fmt.Sprintf("killed %s call %d", when, n)
		status, text, err := k.request("GET", "/tenants/"+id+"/vms", "")
		if err != nil {
			t.Fatal(err)
		}
		ends[task.State]++
		switch {
		case task.State == "Failed" && strings.HasPrefix(task.Error, "VIRMT_TaskInterrupted: ") && status == 200 && strings.Count(string(text), "<vm ") == 1:
			k.wholeKSC(at, held)
		case task.State == "Completed" && status == 404:
			k.wholeKSC(at, k.had)
			if ok {
				create()
			}
		default:
			t.Errorf("%s: the task is %+v, and its VMs are %d %s", at, task, status, text)
		}
		return ok
	})
	if ends["Failed"] == 0 || ends["Completed"] < 2 {
		t.Errorf("of %d kills none was before, or after, the point of no return: %v", kills, ends)
	}
	t.Logf("killed %d times: %v", kills, ends)
	k.passwordsAreNowhere(t)
}
