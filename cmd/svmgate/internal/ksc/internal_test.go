package ksc

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

// FuzzDecode reads answers of anybody as each type that we expect.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `{"PxgRetVal":15}`, `{"PxgRetVal":null}`, `{"PxgRetVal":"abc"}`,
		`{"PxgError":{"code":1184,"module":"KLSTD","message":"no\naccess","line":7}}`,
		`{"PxgRetVal":[{"type":"params","value":{"id":3,"name":"x","groups":[]}}]}`,
		`{"PxgRetVal":{"KLVSRV_ID":1,"KLVSRV_CREATED":{"type":"datetime","value":"2020-05-03T00:59:09Z"}}}`,
		`{"PxgRetVal":{"KLSPL_POSSIBLE_RIGHTS":7,"KLSPL_PERMISSIONS":[{"type":"params","value":{"KLSPLU_AKUSER_ID":4}}]}}`,
		`{"bFinalized":true,"bSuccededFinalized":false,"pStateData":{"KLBLAG_ERROR_INFO":{"type":"params","value":{"KLBLAG_ERROR_CODE":1}}}}`,
		`{"strActionGuid":"x"}`, `{"PxgRetVal":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		answer = answer[:min(len(answer), 4096)]
		for _, out := range []any{
			nil, new(value[int64]), new(value[string]), new(value[[]container[group]]), new(value[[]container[vserver]]),
			new(value[container[vserver]]), new(value[container[permissions]]), new(value[[]container[user]]), new(action), new(state),
		} {
			err := new(link).struck(decode("C.M", answer, out))
			var no *Error
			switch {
			case errors.As(err, &no):
				if no.Method != "C.M" || !utf8.ValidString(no.Message) || len(no.Message) > maxMessage || strings.ContainsFunc(no.Error(), unicode.IsControl) {
					t.Errorf("%q: error %q", answer, no.Error())
				}
			case err != nil && !errors.Is(err, errNotUnderstood):
				t.Errorf("%q: %v", answer, err)
			case err == nil && len(answer) > 0 && !json.Valid(answer) && strings.TrimSpace(string(answer)) != "":
				t.Errorf("%q is no JSON, and was read", answer)
			}
			if p, ok := out.(*value[container[permissions]]); ok && err == nil {
				if err := p.V.V.add(permission{User: 4}); err != nil {
					t.Errorf("%q: add: %v", answer, err)
				}
			}
		}
	})
}

// TestNullIsNoID: 0 is the id of "Managed devices", and of the main server.
func TestNullIsNoID(t *testing.T) {
	for _, answer := range []string{`{}`, `{"PxgRetVal":null}`} {
		if err := decode("C.M", []byte(answer), new(value[int64])); !errors.Is(err, errNotUnderstood) {
			t.Errorf("%s: %v", answer, err)
		}
	}
	if err := decode("C.M", []byte(`{"PxgRetVal":null}`), new(value[[]container[group]])); err != nil {
		t.Errorf("a list may be null: %v", err)
	}
}

// TestAddKeepsEntries: what is known of others' entries, and what is not, stays.
func TestAddKeepsEntries(t *testing.T) {
	theirs := `{"type":"params","value":{"KLSPLU_SID":"S-1-5","KLSPLU_MAY_WRITE":false,"KLSPLU_ALLOWMASK":1}}`
	p := permissions{Possible: 7, Entries: []json.RawMessage{json.RawMessage(theirs)}}
	for range 2 { // the second time it is there
		if err := p.add(permission{User: 4, Allow: 7}); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.Entries) != 2 || string(p.Entries[0]) != theirs {
		t.Errorf("entries %s", p.Entries)
	}
	want := `{"type":"params","value":{"KLSPLU_AKUSER_ID":4,"KLSPLU_IS_GROUP":false,"KLSPLU_ALLOWMASK":7,"KLSPLU_DENYMASK":0}}`
	if got := string(p.Entries[1]); got != want {
		t.Errorf("entry %s, want %s", got, want)
	}
}

// TestVerify has one certificate of an authority, for loopback, and asks who trusts it.
func TestVerify(t *testing.T) {
	authority, err := tlstest.NewAuthority("an authority")
	if err != nil {
		t.Fatal(err)
	}
	issue := func(leaf tlstest.Leaf) (*x509.Certificate, []byte) {
		text, _, err := authority.Issue(leaf)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return cert, text
	}
	good, goodPEM := issue(tlstest.Leaf{Name: "ksc"})
	old, oldPEM := issue(tlstest.Leaf{Name: "ksc", Expires: time.Now().Add(-time.Minute)})
	tests := []struct {
		name string
		ca   []byte
		leaf *x509.Certificate
		host string
		want bool
	}{
		{"of a trusted authority", authority.PEM, good, "127.0.0.1", true},
		{"of a trusted authority, for another host", authority.PEM, good, "ksc.example", false},
		{"pinned, for another host", goodPEM, good, "ksc.example", true},
		{"pinned, but out of date", oldPEM, old, "127.0.0.1", false},
		{"of a trusted authority, but out of date", authority.PEM, old, "127.0.0.1", false},
		{"another one is pinned", oldPEM, good, "127.0.0.1", false},
		{"nothing is trusted", nil, good, "127.0.0.1", false},
	}
	for _, tt := range tests {
		anyone, err := newTrust(tt.ca)
		if err != nil {
			t.Fatal(err)
		}
		err = anyone.verify([]*x509.Certificate{tt.leaf}, tt.host)
		if trusted := err == nil; trusted != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := func() Config {
		return Config{URLs: []string{"https://ksc:13299/"}, Account: Account{User: "gateway", Password: "p"}}
	}
	if _, err := Open(good()); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(*Config){
		"URLs is empty":              func(c *Config) { c.URLs = nil },
		"URLs[0]":                    func(c *Config) { c.URLs = []string{"http://ksc:13299"} },
		"want https://HOST":          func(c *Config) { c.URLs = []string{"https://gateway:pa55@ksc:13299"} },
		"is there twice":             func(c *Config) { c.URLs = append(c.URLs, "https://ksc:13299") },
		"there is no account for it": func(c *Config) { c.Password = "" },
		"Config.Limit is 501":        func(c *Config) { c.Limit = 501 },
		"a number below 0":           func(c *Config) { c.Pause = -1 },
		"no certificate":             func(c *Config) { c.CA = []byte("-----BEGIN") },
		`a block "PRIVATE KEY"`:      func(c *Config) { c.CA = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}) },
		"Config.CA: x509: malformed": func(c *Config) { c.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}) },
	}
	for want, change := range tests {
		cfg := good()
		change(&cfg)
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pa55") {
			t.Errorf("Open = %v, want %q", err, want)
		}
	}
}

func TestAuthorization(t *testing.T) {
	for want, cfg := range map[string]Account{
		`KSCBasic user="dQ==", pass="cA==", domain="", internal="1"`:     {User: "u", Password: "p"},
		`KSCBasic user="dQ==", pass="cA==", domain="ZA==", internal="0"`: {User: "u", Password: "p", Domain: "d"},
	} {
		if got := cfg.authorization(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestSecretsDoNotPrint: not by any verb.
func TestSecretsDoNotPrint(t *testing.T) {
	held := struct{ Password secret }{"open sesame"}
	if text := fmt.Sprintf("%v %+v %#v %s %q", held, held, held, held.Password, held.Password); strings.Contains(text, "sesame") {
		t.Error(text)
	}
}

// TestMarksAreNotPartsOfEachOther: t1 is not what t10 has.
func TestMarksAreNotPartsOfEachOther(t *testing.T) {
	one, ten := Site{Mark: "t1"}, Site{Mark: "t10"}
	if one.marked(ten.token()) || ten.marked(one.token()) || !one.marked("x "+one.token()+" (1)") {
		t.Errorf("%q, %q", one.token(), ten.token())
	}
}

// TestOurs tells a virtual server by its KLVSRV_UID, where KSC tells it.
func TestOurs(t *testing.T) {
	site := Site{Mark: "m", Server: "VSRV1", ServerID: 7}
	tests := []struct {
		v    vserver
		want bool
	}{
		{vserver{ID: 7, UID: "VSRV1", Name: "renamed by somebody"}, true},
		{vserver{ID: 7, UID: "VSRV2"}, false}, // a KSC that was restored uses ids again
		{vserver{ID: 7}, true},
		{vserver{ID: 8, UID: "VSRV8", Name: site.token() + " (1)"}, true},
		{vserver{ID: 8, UID: "VSRV8", Description: "x " + site.token()}, true},
		{vserver{ID: 8, UID: "VSRV8", Name: "m"}, false},
	}
	for _, tt := range tests {
		if got := site.ours(tt.v); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.v, got, tt.want)
		}
	}
	if (Site{Mark: "m"}).ours(vserver{}) {
		t.Error("a site that has none has one")
	}
}

// TestPauses grow, and end with the context.
func TestPauses(t *testing.T) {
	cfg, err := Config{URLs: []string{"https://ksc"}, Account: Account{User: "u", Password: "p"}, Pause: time.Hour}.settled()
	if err != nil {
		t.Fatal(err)
	}
	c := &center{cfg: &cfg, log: cfg.Logger}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.pause(ctx, 100, ErrUnreachable); !errors.Is(err, context.Canceled) {
		t.Errorf("pause = %v", err)
	}
}
