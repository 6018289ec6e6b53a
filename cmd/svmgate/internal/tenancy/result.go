package tenancy

import (
	"bytes"
	"encoding/json"

	"github.com/svmgate/svmgate/store"
)

// The result of a task is a text, or a tenant: a line of JSON, and then, as they are, the
// two texts of it that may be long.
type tenantResult struct {
	Tenant      store.Tenant `json:"tenant"` // without the long texts, and subnets
	Description int          `json:"description"`
}

func appendResult(dst []byte, t *store.Tenant) []byte {
	r := tenantResult{Tenant: *t, Description: len(t.Description)}
	r.Tenant.Description, r.Tenant.UserData, r.Tenant.Subnets = "", "", nil
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain fields, and enumerations that have words
	}
	dst = append(append(dst, line...), '\n')
	return append(append(dst, t.Description...), t.UserData...)
}

// ResultOf reads what a completed task came to: the tenant that was made or removed, as
// it was then, without its subnets; or a text: "true", or the id of a report.
func ResultOf(t store.Task) (tenant *store.Tenant, text string) {
	line, long, isTenant := bytes.Cut(t.Result, []byte{'\n'})
	if !isTenant {
		return nil, string(t.Result)
	}
	var r tenantResult
	if json.Unmarshal(line, &r) != nil || r.Description < 0 || r.Description > len(long) {
		return nil, "" // another gateway sent nonsense
	}
	r.Tenant.Description, r.Tenant.UserData = string(long[:r.Description]), string(long[r.Description:])
	return &r.Tenant, ""
}
