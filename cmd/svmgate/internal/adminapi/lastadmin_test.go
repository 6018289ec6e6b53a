package adminapi

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/store"
)

// slowJournal holds every Append until it is told to end.
type slowJournal struct{ started, end chan struct{} }

func (slowJournal) Replay(func(store.Record) error) error { return nil }
func (slowJournal) Close() error                          { return nil }
func (j slowJournal) Append([]store.Record) error         { j.started <- struct{}{}; <-j.end; return nil }

// Of two administrators who are deleted at the same moment one stays.
func TestLastAdministratorStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := slowJournal{make(chan struct{}, 1), make(chan struct{})}
		table, err := store.Open(store.Config{Journal: j})
		check(t, err)
		a := &API{table: table, maxBody: 100}
		var all sync.WaitGroup
		do := func(fn func(tx *store.Tx) error) {
			all.Go(func() { check(t, table.Update(fn)) })
			synctest.Wait()
		}
		finish := func(groups int) {
			for range groups {
				<-j.started
				j.end <- struct{}{}
			}
			all.Wait()
		}
		do(func(tx *store.Tx) error {
			for _, name := range []string{"anna", "bert"} {
				if _, err := tx.PutAccount(store.Account{Name: name, Role: store.RoleAdmin, Hash: "x"}); err != nil {
					return err
				}
			}
			return nil
		})
		finish(1)
		do(func(tx *store.Tx) error { // keeps the disk busy
			_, err := tx.PutTenant(store.Tenant{ID: store.TenantID{1}, Name: "x"})
			return err
		})
		for _, name := range []string{"anna", "bert"} {
			all.Go(func() {
				_ = a.deleteUser(&call{api: a, ctx: &fasthttp.RequestCtx{}, params: []string{name}})
			})
			synctest.Wait()
		}
		finish(2)
		if accounts := table.Accounts(); len(accounts) != 1 || accounts[0].Name != "bert" {
			t.Errorf("accounts are %v, want the second who was to be deleted", accounts)
		}
	})
}
