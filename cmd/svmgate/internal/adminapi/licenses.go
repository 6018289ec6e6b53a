package adminapi

import (
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/store"
)

// surveyAge is how old a survey may be for the pages after the first one, which makes it:
// who reads on reads of the same.
const surveyAge = time.Minute

// licensesPage is what is known of licences, with a page of tenants.
type licensesPage struct {
	At store.Time `json:"at"` // when VMs were counted
	license.Licenses
	All       license.Cover `json:"all"`
	Protected license.Cover `json:"protected"`
	list[license.Tenant]
}

// readLicenses answers what SVMs are licensed for, and what that is to tenants' VMs.
func (a *API) readLicenses(c *call) error {
	limit, after, err := c.idPage()
	if err != nil {
		return err
	}
	var (
		age  time.Duration
		from []byte
	)
	if c.ctx.QueryArgs().Has("after") {
		age, from = surveyAge, after[:]
	}
	survey, err := a.licenses.Survey(c.ctx, age)
	if err != nil { // that of the context: the gateway ends
		return store.ErrClosed
	}
	return c.answer(200, licensesPage{
		At: store.Time{Time: survey.At.UTC().Truncate(time.Second)}, Licenses: a.licenses.Licenses(), All: survey.All, Protected: survey.Protected,
		list: pageOf(survey.Tenants, limit, from, func(t license.Tenant) []byte { return t.ID[:] }),
	})
}
