package tenancy

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
	"github.com/svmgate/svmgate/store"
)

var everyCall = flag.Bool("tenancy.calls", false, "try what can happen at every call of KSC, not at some")

// sample returns the calls, from 1, at which something happens in this run.
func sample(calls int) (list []int) {
	for n := 1; n <= calls; n++ {
		if *everyCall || n%4 == 1 || n == calls {
			list = append(list, n)
		}
	}
	return list
}

// callsOf counts the calls that a piece of work takes when nothing is wrong.
func callsOf(t *testing.T, prepare func(*gateway) store.TenantID, work func(*gateway, store.TenantID) store.TaskID) int {
	t.Helper()
	g := newGateway(t, ksctest.Config{})
	id := prepare(g)
	before := len(g.ksc.Calls())
	g.is(work(g, id), store.TaskCompleted, "")
	return len(g.ksc.Calls()) - before
}

func nothing(*gateway) store.TenantID                    { return store.TenantID{} }
func oneTenant(g *gateway) store.TenantID                { return g.made("acme").ID }
func creates(g *gateway, _ store.TenantID) store.TaskID  { return g.create(complete("acme")) }
func deletes(g *gateway, id store.TenantID) store.TaskID { return g.delete(id, true) }

// atEach runs a piece of work once for each call of KSC that it takes, n.
func atEach(t *testing.T, prepare func(*gateway) store.TenantID, work func(*gateway, store.TenantID) store.TaskID,
	each func(g *gateway, id store.TenantID, n int),
) {
	for _, n := range sample(callsOf(t, prepare, work)) {
		t.Run(fmt.Sprint("call ", n), func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, ksctest.Config{})
			id := prepare(g)
			each(g, id, len(g.ksc.Calls())+n)
		})
	}
}

// whole says that there is all of a tenant, or nothing.
func (g *gateway) whole(task store.Task, name string, there bool) {
	g.t.Helper()
	i := slices.IndexFunc(g.table.Tenants(), func(t store.Tenant) bool { return t.Name == name })
	if (i >= 0) != there {
		g.t.Errorf("the task is %v %q, and the tenant is there: %v", task.State, task.Error, i >= 0)
	}
	h := things(g.ksc)
	if there {
		a := g.table.Tenants()[i].Administration
		if len(h.VServers) != len(g.had.VServers)+1 || len(h.Users) != len(g.had.Users)+1 || !g.ksc.CanLogIn(a.User, secretWord, a.Server) {
			g.t.Errorf("of a tenant KSC holds %+v", h)
		}
		return
	}
	g.noOrphan(fmt.Sprintf("after a task that is %v %q", task.State, task.Error))
	if vms := g.table.VMs(store.BIOSID{}, nil, 10); len(vms) > 0 {
		g.t.Errorf("VMs are left: %+v", vms)
	}
}

// Whichever call KSC refuses: all is done, or nothing is left.
func TestCreateFailsAtEachCall(t *testing.T) {
	atEach(t, nothing, creates, func(g *gateway, id store.TenantID, n int) {
		g.ksc.Inject(ksctest.Fault{Call: n, Kind: ksctest.Refuse})
		task := g.ends(creates(g, id))
		if task.State == store.TaskFailed && !strings.HasPrefix(task.Error, "KSC_") {
			g.t.Errorf("the task says %q", task.Error)
		}
		g.whole(task, "acme", task.State == store.TaskCompleted)
	})
}

// Whichever call is refused once: the tenant is as it was, or all of it goes.
func TestDeleteFailsAtEachCall(t *testing.T) {
	atEach(t, oneTenant, deletes, func(g *gateway, id store.TenantID, n int) {
		g.ksc.Inject(ksctest.Fault{Call: n, Kind: ksctest.Refuse})
		task := g.ends(deletes(g, id))
		g.whole(task, "acme", task.State != store.TaskCompleted)
	})
}

// Whenever somebody wants a tenant no more that is being made: nothing is left, or it was
// too late.
func TestCancelCreateAtEachCall(t *testing.T) {
	atEach(t, nothing, creates, func(g *gateway, id store.TenantID, n int) {
		begun, canceled := make(chan store.TaskID, 1), make(chan struct{})
		g.ksc.OnCall(func(call int, _, when string) {
			if call == n && when == "after" {
				if _, err := g.Cancel(<-begun, audit.Who{Account: "root"}); err != nil {
					g.t.Error(err)
				}
				close(canceled)
			}
		})
		made := creates(g, id)
		begun <- made
		<-canceled
		task := g.is(made, store.TaskCanceled, CodeCanceled)
		g.whole(task, "acme", false)
	})
}

// Whenever somebody wants a tenant after all that is being removed: it is as it was, or
// it was too late.
func TestCancelDeleteAtEachCall(t *testing.T) {
	atEach(t, oneTenant, deletes, func(g *gateway, id store.TenantID, n int) {
		begun, canceled := make(chan store.TaskID, 1), make(chan store.Task, 1)
		g.ksc.OnCall(func(call int, _, when string) {
			if call == n && when == "after" {
				task, err := g.Cancel(<-begun, audit.Who{Account: "root"})
				if err != nil {
					g.t.Error(err)
				}
				canceled <- task
			}
		})
		doomed := deletes(g, id)
		begun <- doomed
		asked := <-canceled
		task := g.ends(doomed)
		if want := (asked.State == store.TaskStopping); (task.State == store.TaskCanceled) != want {
			g.t.Errorf("canceled while %v, past return: %v; it ended %v %q", asked.State, asked.NoReturn, task.State, task.Error)
		}
		g.whole(task, "acme", task.State == store.TaskCanceled)
	})
}

// crash kills a gateway at a call, before or after KSC has handled it, and returns one
// that starts anew with what was on disk.
func (g *gateway) crash(n int, moment string, work func() store.TaskID) (again *gateway, id store.TaskID) {
	reached, release := make(chan struct{}), make(chan struct{})
	g.ksc.OnCall(func(call int, _, when string) {
		if call == n && when == moment {
			close(reached)
			<-release
		}
	})
	if moment == "before" {
		g.ksc.Inject(ksctest.Fault{Call: n, Kind: ksctest.DropBefore})
	}
	id = work()
	<-reached
	disk := g.disk.die()
	g.kill()
	close(release)
	g.ksc.Heal()
	g.ksc.OnCall(nil)
	return g.again(disk), id
}

func TestCrashInCreate(t *testing.T) {
	for _, moment := range []string{"before", "after"} {
		t.Run(moment, func(t *testing.T) {
			atEach(t, nothing, creates, func(g *gateway, id store.TenantID, n int) {
				again, made := g.crash(n, moment, func() store.TaskID { return creates(g, id) })
				task := again.is(made, store.TaskFailed, CodeInterrupted)
				again.whole(task, "acme", false)
				again.made("acme")
			})
		})
	}
}

// A crash before anything of a tenant was removed leaves it whole, and one after that is
// made up for.
func TestCrashInDelete(t *testing.T) {
	for _, moment := range []string{"before", "after"} {
		t.Run(moment, func(t *testing.T) {
			atEach(t, oneTenant, deletes, func(g *gateway, id store.TenantID, n int) {
				again, doomed := g.crash(n, moment, func() store.TaskID { return deletes(g, id) })
				task := again.ends(doomed)
				if failed := task.State == store.TaskFailed; failed && !strings.HasPrefix(task.Error, CodeInterrupted) || !failed && task.State != store.TaskCompleted {
					g.t.Errorf("it ended %v %q", task.State, task.Error)
				}
				again.whole(task, "acme", task.State == store.TaskFailed)
			})
		})
	}
}

// What a tenant has in KSC is known as long as the tenant is, whatever restarts.
func TestDeleteAfterARestart(t *testing.T) {
	g := newGateway(t, ksctest.Config{OnlyName: true, UsersStay: true})
	made := g.made("acme")
	made, _ = g.table.Tenant(made.ID)
	made.Description = "changed"
	if err := g.table.Update(func(tx *store.Tx) error { _, err := tx.PutTenant(made); return err }); err != nil {
		t.Fatal(err)
	}
	again := g.again(g.disk.die())
	again.is(again.delete(made.ID, true), store.TaskCompleted, "")
	again.noOrphan("at the end")
	if diff := cmp.Diff(0, len(again.table.Tenants())); diff != "" {
		t.Error("the tenant is still there")
	}
}
