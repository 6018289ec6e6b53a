package license

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func svm(n byte, state store.LicenseState, key store.KeyType, expires time.Duration) store.SVM {
	s := store.SVM{ID: store.SVMID{15: n}}
	s.License.State, s.License.Key = state, key
	if expires != 0 {
		s.License.Expires = store.Time{Time: now.Add(expires)}
	}
	return s
}

const day = 24 * time.Hour

func TestState(t *testing.T) {
	for _, tt := range []struct {
		said store.LicenseState
		ends time.Duration
		want store.LicenseState
	}{
		{store.LicenseValid, 0, store.LicenseValid},
		{store.LicenseValid, 1, store.LicenseValid},
		{store.LicenseValid, -1, store.LicenseExpired},
		{store.LicenseDenied, day, store.LicenseDenied},
		{store.LicenseDenied, -day, store.LicenseExpired},
		{store.LicenseNone, 0, store.LicenseNone},
		{store.LicenseExpired, day, store.LicenseExpired},
	} {
		s := svm(1, tt.said, store.KeyCore, tt.ends)
		if got := State(&s.License, now); got != tt.want {
			t.Errorf("%v that ends in %s is %v, want %v", tt.said, tt.ends, got, tt.want)
		}
	}
	s := svm(1, store.LicenseValid, store.KeyCore, day)
	if got := State(&s.License, now.Add(day)); got != store.LicenseExpired {
		t.Errorf("at its end it is %v", got)
	}
}

func TestExpiring(t *testing.T) {
	for _, tt := range []struct {
		state        store.LicenseState
		ends, within time.Duration
		want         string // empty: no warning
	}{
		{store.LicenseValid, 12*day + time.Hour, 30 * day, "the licence of SVM one (key server, standard) expires in 12 days, at 2026-02-12T13:00:00Z"},
		{store.LicenseValid, 30 * day, 30 * day, "expires in 30 days, "},
		{store.LicenseValid, 30*day + 1, 30 * day, ""},
		{store.LicenseValid, day + time.Hour, 30 * day, "expires in 1 day, "},
		{store.LicenseValid, 5 * time.Hour, 30 * day, "expires in 5 hours, "},
		{store.LicenseValid, time.Minute, 30 * day, "expires in 1 minute, "},
		{store.LicenseValid, 1, 30 * day, "expires in less than a minute, "},
		{store.LicenseValid, -1, 30 * day, ""},
		{store.LicenseValid, 0, 30 * day, ""},
		{store.LicenseValid, time.Hour, 0, ""},
		{store.LicenseDenied, day, 30 * day, ""},
	} {
		s := svm(1, tt.state, store.KeyServer, tt.ends)
		s.Name = "one"
		got, ok := Expiring(&s, now, tt.within)
		if ok != (tt.want != "") || !strings.Contains(got, tt.want) {
			t.Errorf("%v, %s before its end, warned %s before: %q, want %q", tt.state, tt.ends, tt.within, got, tt.want)
		}
	}
	s := svm(7, store.LicenseValid, store.KeyCore, day)
	if got, _ := Expiring(&s, now, day); !strings.Contains(got, "SVM 00000000-0000-0000-0000-000000000007 ") {
		t.Errorf("without a name: %q", got)
	}
}

func TestLicenses(t *testing.T) {
	got := Of([]store.SVM{
		svm(1, store.LicenseValid, store.KeyServer, 40*day), svm(2, store.LicenseValid, store.KeyServer, 0),
		svm(3, store.LicenseValid, store.KeyDesktop, 10*day+time.Hour), svm(4, store.LicenseValid, store.KeyDesktop, -day),
		svm(5, store.LicenseNone, store.KeyCore, 0), svm(6, store.LicenseDenied, store.KeyServer, day),
	}, now, 30*day)
	text, err := json.Marshal(got)
	want := `{"counts":[{"state":"none","key":"core","edition":"standard","svms":1},{"state":"valid","key":"server","edition":"standard","svms":2},` +
		`{"state":"valid","key":"desktop","edition":"standard","svms":1},{"state":"expired","key":"desktop","edition":"standard","svms":1},` +
		`{"state":"denied","key":"server","edition":"standard","svms":1}],"endings":[` +
		`{"svm":"00000000-0000-0000-0000-000000000003","name":"","key":"desktop","edition":"standard","expires":"2026-02-10T13:00:00Z","days":10,"warning":true},` +
		`{"svm":"00000000-0000-0000-0000-000000000001","name":"","key":"server","edition":"standard","expires":"2026-03-12T12:00:00Z","days":40,"warning":false}],"warnings":1}`
	if err != nil || string(text) != want {
		t.Errorf("%v %s\nwant %s", err, text, want)
	}
	var many []store.SVM
	for n := range 2 * MaxEndings {
		many = append(many, svm(byte(n), store.LicenseValid, store.KeyCore, day+time.Duration(n)))
	}
	if l := Of(many, now, 2*day); len(l.Endings) != MaxEndings || l.Warnings != 2*MaxEndings || l.Endings[MaxEndings-1].SVM[15] != MaxEndings-1 {
		t.Errorf("%d endings of %d", len(l.Endings), l.Warnings)
	}
	if text, _ := json.Marshal(Of(nil, now, day)); string(text) != `{"counts":[],"endings":[],"warnings":0}` {
		t.Errorf("without SVMs: %s", text)
	}
}
