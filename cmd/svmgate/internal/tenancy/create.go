package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// createTenant makes a tenant. Its notes are the site in Kaspersky Security Center.
type createTenant struct{ *Service }

func (createTenant) Type() string { return "CreateTenant" }

// Wipe overwrites the password.
func (n *NewTenant) Wipe() { clear(n.Password) }

// Do makes the site of a complete tenant. The password is needed once.
func (p createTenant) Do(ctx context.Context, job *task.Job) error {
	n := job.Secret.(*NewTenant)
	defer n.Wipe()
	if _, taken := p.cfg.Table.TenantByName(n.Tenant.Name); taken {
		return nameTaken(n.Tenant.Name)
	}
	// From here on the task is Running: one that does not answer may hold it up.
	if err := job.Note("choosing a Kaspersky Security Center", 0, job.Task.Notes); err != nil {
		return err
	}
	_, err := p.cfg.Servers.Make(ctx, newSite(&n.Tenant), n.Password, noting(job.Note))
	return fromKSC(err)
}

func newSite(t *store.Tenant) ksc.Site {
	return ksc.Site{Mark: t.ID.String(), Name: t.Name, User: t.Administration.User}
}

func (p createTenant) Commit(tx *store.Tx, job *task.Job) ([]byte, error) {
	t := job.Secret.(*NewTenant).Tenant
	if err := p.configured(&t); err != nil {
		return nil, err
	}
	if p.hasSite(&t) {
		a := &t.Administration
		site := siteOf(job.Task.Notes)
		a.Server, a.Address, a.User, a.Artifacts = site.Server, host(site.KSC), site.User, string(job.Task.Notes)
	}
	err := audit.Tenant(tx, whoAsked(job), "tenant_create", "created", t.ID, func() error {
		_, err := tx.PutTenant(t)
		return err
	})
	switch {
	case errors.Is(err, store.ErrExists):
		return nil, nameTaken(t.Name)
	case err != nil:
		return nil, err
	}
	made, _ := tx.Tenant(t.ID)
	return appendResult(nil, &made), nil
}

// Undo removes what there is of the site.
func (p createTenant) Undo(ctx context.Context, job *task.Job) error {
	site := siteOf(job.Task.Notes)
	if !site.Begun {
		return nil
	}
	if p.cfg.Servers == nil {
		return notConfigured()
	}
	return fromKSC(p.cfg.Servers.Remove(ctx, site, noting(job.Note)))
}

// noting keeps a site as the notes of a task.
func noting(note func(string, int, []byte) error) ksc.Note {
	return func(stage string, percent int, site ksc.Site) error {
		b, err := json.Marshal(site)
		if err != nil {
			return err
		}
		return note(stage, percent, b)
	}
}

// siteOf reads notes; zero if there are none, or they are of something else.
func siteOf(notes []byte) (site ksc.Site) {
	if json.Unmarshal(notes, &site) != nil {
		return ksc.Site{}
	}
	return site
}

// host returns the host of an URL.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
