package license

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A Cover counts VMs by the best licence among the SVMs that the filters admit for them.
// Each VM is in one of the last four.
type Cover struct {
	VMs        int `json:"vms"`
	Covered    int `json:"covered"`    // with a key that matches the guest
	OtherKey   int `json:"otherKey"`   // with a key for other guests, or the guest is not known
	Unlicensed int `json:"unlicensed"` // no SVM has a valid licence
	None       int `json:"none"`       // there is no SVM
}

func (c *Cover) add(o Cover) {
	c.VMs += o.VMs
	c.Covered += o.Covered
	c.OtherKey += o.OtherKey
	c.Unlicensed += o.Unlicensed
	c.None += o.None
}

// A Guest is the VMs of a tenant with one class of guest.
type Guest struct {
	OS store.GuestOS `json:"os"`
	Cover
}

// A Tenant is what licences are to the VMs of a tenant, or to those of none.
type Tenant struct {
	ID     store.TenantID     `json:"tenant"` // zero: VMs of no tenant
	Name   string             `json:"name"`
	Type   store.TenantType   `json:"type"`
	Status store.TenantStatus `json:"status"`

	// Protected is whether its agents are given SVMs: all are but those of complete
	// tenants that are inactive.
	Protected bool `json:"protected"`

	Cover
	Guests []Guest `json:"guests"` // that it has
}

// A Survey is what licences are to the VMs of a table.
type Survey struct {
	At        time.Time // when it began
	All       Cover     // all VMs
	Protected Cover     // those of tenants whose agents are given SVMs
	Tenants   []Tenant  // that have VMs, ordered by id
}

// A Surveyor makes surveys. Table and Selector are required. Its methods may be called
// from many goroutines; one survey is made at a time.
type Surveyor struct {
	Table    *store.Table
	Selector *discovery.Selector

	// Warning is how long before its end a licence is worth a warning; 0 means never.
	Warning time.Duration

	making chan struct{} // holds one while a survey is made
	once   sync.Once
	last   *Survey // by who makes one
}

// Licenses are those of the table's SVMs now.
func (s *Surveyor) Licenses() Licenses { return Of(s.Table.SVMs(), time.Now(), s.Warning) }

// Survey returns the last survey if it began less than an age ago, or when the caller
// already waited; else it makes one. The result is shared and must not be modified. The
// error is that of ctx.
func (s *Surveyor) Survey(ctx context.Context, age time.Duration) (*Survey, error) {
	s.once.Do(func() { s.making = make(chan struct{}, 1) })
	since := time.Now().Add(-age)
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.last != nil && !s.last.At.Before(since) {
		return s.last, nil
	}
	made, err := s.make(ctx)
	if err == nil {
		s.last = made
	}
	return made, err
}

// tally counts the VMs of one tenant by guest and cover.
type tally [store.OSDesktop + 1][discovery.NumCovers]int

// make walks over all VMs once.
func (s *Surveyor) make(ctx context.Context) (*Survey, error) {
	made := &Survey{At: time.Now(), Tenants: []Tenant{}}
	covers := s.Selector.Covers()
	view := s.Table.View()
	tallies, looked := make([]*tally, view.NumTenants()), 0
	s.Table.ScanVMs(func(_ int, _ store.BIOSID, slot store.Slot) bool {
		if looked++; looked%65536 == 0 && ctx.Err() != nil {
			return false
		}
		cover, ok := covers.Of(slot)
		if !ok || slot.Tenant() >= len(tallies) { // what is newer than the view comes at this moment
			return true
		}
		of := &tallies[slot.Tenant()]
		if *of == nil {
			*of = new(tally)
		}
		(*of)[slot.OS()][cover]++
		return true
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, tally := range tallies {
		if tally == nil {
			continue
		}
		t := Tenant{Protected: true}
		if i > 0 {
			tenant := view.Tenant(i)
			if tenant == nil {
				continue
			}
			t.ID, t.Name, t.Type, t.Status = tenant.ID, tenant.Name, tenant.Type, tenant.Status
			t.Protected = t.Type == store.Simple || t.Status == store.Active
		}
		t.take(tally)
		made.All.add(t.Cover)
		if t.Protected {
			made.Protected.add(t.Cover)
		}
		made.Tenants = append(made.Tenants, t)
	}
	slices.SortFunc(made.Tenants, func(a, b Tenant) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return made, nil
}

// take writes down what was counted.
func (t *Tenant) take(counted *tally) {
	t.Guests = []Guest{}
	for os, n := range counted {
		g := Guest{OS: store.GuestOS(os), Cover: Cover{
			Covered: n[discovery.CoverMatching], OtherKey: n[discovery.CoverOtherKey],
			Unlicensed: n[discovery.CoverUnlicensed], None: n[discovery.CoverNone],
		}}
		if g.VMs = g.Covered + g.OtherKey + g.Unlicensed + g.None; g.VMs > 0 {
			t.Guests = append(t.Guests, g)
			t.add(g.Cover)
		}
	}
}
