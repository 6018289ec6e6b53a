package ops

import (
	"context"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/store"
)

// surveyAge is how old the count of VMs may be. Making it walks over all of them.
const surveyAge = time.Minute

// LicenseFamilies tells what SVMs are licensed for, and which VMs that covers. Counting
// VMs ends with ctx.
func LicenseFamilies(ctx context.Context, s *license.Surveyor) []Family {
	return []Family{
		{
			Name: "licenses", Help: "SVMs by the state of their licence, expired once its end is past, and what its key is for.", Labels: []string{"state", "key"},
			Read: func(emit Emit) {
				var svms [store.LicenseDenied + 1][store.KeyDesktop + 1]int
				for _, c := range s.Licenses().Counts {
					svms[c.State][c.Key] += c.SVMs
				}
				for state, keys := range svms { // all of them, so that an alert finds a zero
					for key, n := range keys {
						emit(float64(n), store.LicenseState(state).String(), store.KeyType(key).String())
					}
				}
			},
		}, {
			Name: "license_next_expiry_days", Help: "Days until the first valid licence of an SVM ends; absent if none ends.",
			Read: func(emit Emit) {
				if endings := s.Licenses().Endings; len(endings) > 0 {
					emit(time.Until(endings[0].Expires.Time).Hours() / 24)
				}
			},
		}, {
			Name: "licenses_expiring", Help: "SVMs whose valid licence ends within the time of the setting license-warning.",
			Read: func(emit Emit) { emit(float64(s.Licenses().Warnings)) },
		}, {
			Name:   "license_vms",
			Help:   "VMs by the best licence among the SVMs that the filters admit for them, and whether their agents are given SVMs; at most a minute old.",
			Labels: []string{"cover", "protected"},
			Read: func(emit Emit) {
				survey, err := s.Survey(ctx, surveyAge)
				if err != nil { // the gateway ends
					return
				}
				all, protected := survey.All, survey.Protected
				for _, c := range []struct {
					cover          string
					all, protected int
				}{
					{"covered", all.Covered, protected.Covered}, {"other_key", all.OtherKey, protected.OtherKey},
					{"unlicensed", all.Unlicensed, protected.Unlicensed}, {"none", all.None, protected.None},
				} {
					emit(float64(c.protected), c.cover, "true")
					emit(float64(c.all-c.protected), c.cover, "false")
				}
			},
		},
	}
}
