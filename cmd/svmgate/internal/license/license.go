package license

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/svmgate/svmgate/store"
)

// DefaultWarning is how long before its end a licence is worth a warning. No document
// says so.
const DefaultWarning = 30 * 24 * time.Hour

// State is the state of a licence at a time: expired once its end is past, whatever was
// said of it.
func State(l *store.License, now time.Time) store.LicenseState {
	if !l.Expires.IsZero() && !now.Before(l.Expires.Time) {
		return store.LicenseExpired
	}
	return l.State
}

// Expiring reports whether an SVM has a valid licence that ends within a span from now,
// and says so in one sentence without a full stop. One that ends exactly then does; one
// that has ended does not. A warning is due once for each SVM and end: a licence that is
// renewed ends at another time.
func Expiring(svm *store.SVM, now time.Time, within time.Duration) (message string, ok bool) {
	end := svm.License.Expires
	if end.IsZero() || State(&svm.License, now) != store.LicenseValid || end.Sub(now) > within {
		return "", false
	}
	name := "SVM " + svm.ID.String()
	if svm.Name != "" {
		name = "SVM " + svm.Name
	}
	return fmt.Sprintf("the licence of %s (key %s, %s) expires in %s, at %s", name, svm.License.Key, svm.License.Edition,
		left(end.Sub(now)), end.UTC().Format(time.RFC3339)), true
}

// left writes how long something lasts as people say it, rounded down.
func left(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		switch n := d / unit.size; {
		case n == 1:
			return "1 " + unit.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return "less than a minute"
}

// A Count is how many SVMs have licences of a kind.
type Count struct {
	State   store.LicenseState   `json:"state"`
	Key     store.KeyType        `json:"key"` // as the SVM says, even if it has no licence
	Edition store.LicenseEdition `json:"edition"`
	SVMs    int                  `json:"svms"`
}

// An Ending is a valid licence that has an end.
type Ending struct {
	SVM     store.SVMID          `json:"svm"`
	Name    string               `json:"name"`
	Key     store.KeyType        `json:"key"`
	Edition store.LicenseEdition `json:"edition"`
	Expires store.Time           `json:"expires"`
	Days    int                  `json:"days"`    // left, rounded down
	Warning bool                 `json:"warning"` // it ends within the span of warnings
}

// MaxEndings bounds [Licenses.Endings].
const MaxEndings = 100

// Licenses are those of all SVMs at a time.
type Licenses struct {
	Counts  []Count  `json:"counts"`  // by state, key and edition; none is zero
	Endings []Ending `json:"endings"` // the soonest first; [MaxEndings] at most

	// Warnings is how many licences end within the span of warnings. There may be more
	// of them than endings.
	Warnings int `json:"warnings"`
}

// Of tells the licences of SVMs at a time, with warnings for what ends within a span.
func Of(svms []store.SVM, now time.Time, warning time.Duration) Licenses {
	l := Licenses{Counts: []Count{}, Endings: []Ending{}}
	counts := map[Count]int{}
	for i := range svms {
		svm := &svms[i]
		license := &svm.License
		state := State(license, now)
		counts[Count{State: state, Key: license.Key, Edition: license.Edition}]++
		if state != store.LicenseValid || license.Expires.IsZero() {
			continue
		}
		_, soon := Expiring(svm, now, warning)
		if soon {
			l.Warnings++
		}
		l.Endings = append(l.Endings, Ending{
			SVM: svm.ID, Name: svm.Name, Key: license.Key, Edition: license.Edition, Expires: license.Expires,
			Days: int(math.Floor(license.Expires.Sub(now).Hours() / 24)), Warning: soon,
		})
	}
	for c, n := range counts {
		c.SVMs = n
		l.Counts = append(l.Counts, c)
	}
	slices.SortFunc(l.Counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Edition, b.Edition))
	})
	slices.SortFunc(l.Endings, func(a, b Ending) int {
		return cmp.Or(a.Expires.Compare(b.Expires.Time), strings.Compare(a.SVM.String(), b.SVM.String()))
	})
	l.Endings = l.Endings[:min(len(l.Endings), MaxEndings)]
	return l
}
