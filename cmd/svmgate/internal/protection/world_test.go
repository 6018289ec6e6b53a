package protection

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

var acme = store.TenantID{1}

// aVM is the BIOS ID of a VM by its number.
func aVM(n int) store.BIOSID {
	return store.BIOSID{0: 9, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
}

// newTable is a table in memory with a tenant and so many VMs, of which the first
// belongs to no tenant.
func newTable(t testing.TB, vms int, change ...func(*store.Config)) *store.Table {
	t.Helper()
	var cfg store.Config
	for _, c := range change {
		c(&cfg)
	}
	table, err := store.Open(cfg)
	check(t, err)
	t.Cleanup(func() { _ = table.Close() })
	put(t, table, func(tx *store.Tx) error {
		_, err := tx.PutTenant(store.Tenant{ID: acme, Name: "acme", Discovery: store.DefaultDiscovery()})
		return err
	})
	for from := 0; from < vms; from += 4096 {
		put(t, table, func(tx *store.Tx) error {
			for n := from; n < min(from+4096, vms); n++ {
				vm := store.VM{BIOS: aVM(n), ID: store.VMID(aVM(n)), Tenant: acme, Name: fmt.Sprint("vm ", n)}
				if n == 0 {
					vm.Tenant = store.TenantID{}
				}
				if _, err := tx.PutVM(vm); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return table
}

func newBook(t testing.TB, table *store.Table) *Book {
	t.Helper()
	b, err := New(Config{Table: table, Collect: true})
	check(t, err)
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, table *store.Table, fn func(*store.Tx) error) {
	t.Helper()
	check(t, table.Update(fn))
}

// run runs a book, and returns what ends that.
func run(b *Book) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		b.Run(ctx)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}

// report is the CSV of a report.
func (b *Book) report(t testing.TB, q Query) string {
	t.Helper()
	var out bytes.Buffer
	check(t, b.Write(&out, CSV, q))
	return out.String()
}

// days are the periods of a report, as "VM first last", in the order of VMs.
func (b *Book) days(q Query) string {
	var list []string
	b.Periods(q, func(p *Period) bool {
		list = append(list, fmt.Sprintln(p.Name, p.First, p.Last))
		return true
	})
	slices.Sort(list)
	return strings.Join(list, "")
}

// A failing journal takes nothing while it is full.
type failing struct {
	full    atomic.Bool
	appends atomic.Int64 // attempts
}

func (j *failing) Replay(func(store.Record) error) error { return nil }
func (j *failing) Close() error                          { return nil }

func (j *failing) Append([]store.Record) error {
	if j.appends.Add(1); j.full.Load() {
		return errFull
	}
	return nil
}

var errFull = fmt.Errorf("%w: the disk is full", store.ErrReadOnly)

func at(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}
