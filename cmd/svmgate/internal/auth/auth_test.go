package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/svmgate/svmgate/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTable(t testing.TB, accounts ...store.Account) *store.Table {
	t.Helper()
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	put(t, table, accounts...)
	return table
}

func put(t testing.TB, table *store.Table, accounts ...store.Account) {
	t.Helper()
	err := table.Update(func(tx *store.Tx) error {
		for _, a := range accounts {
			if _, err := tx.PutAccount(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hashes keeps one hash for each password: they are slow on purpose.
var hashes sync.Map

func account(t testing.TB, name, password string, role store.Role) store.Account {
	t.Helper()
	hash, ok := hashes.Load(password)
	if !ok {
		fresh, err := HashPassword([]byte(password))
		if err != nil {
			t.Fatal(err)
		}
		hash, _ = hashes.LoadOrStore(password, fresh)
	}
	return store.Account{Name: name, Role: role, Hash: hash.(string)}
}

func newAccounts(t testing.TB, table *store.Table) *Accounts {
	t.Helper()
	a, err := NewAccounts(table)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func TestVerify(t *testing.T) {
	table := newTable(t, account(t, "ada", "one", store.RoleAdmin), store.Account{Name: "broken", Hash: "x"})
	a := newAccounts(t, table)
	tests := []struct {
		name, user, password string
		want                 bool
	}{
		{"right", "ada", "one", true},
		{"right again, from memory", "ada", "one", true},
		{"wrong password", "ada", "two", false},
		{"empty password", "ada", "", false},
		{"no such account", "bob", "one", false},
		{"name in another case", "Ada", "one", false},
		{"hash that can not be read", "broken", "one", false},
		{"password over the limit", "ada", strings.Repeat("x", MaxPassword+1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := a.Verify(tt.user, []byte(tt.password))
			a.seen.Wait()
			if ok != tt.want || ok && (got.Name != "ada" || got.Role != store.RoleAdmin) {
				t.Errorf("Verify = %+v, %v, want %v", got, ok, tt.want)
			}
		})
	}
}

func TestMemoryEndsWithTheAccount(t *testing.T) {
	table := newTable(t, account(t, "ada", "one", store.RoleViewer))
	a := newAccounts(t, table)
	if _, ok := a.Verify("ada", []byte("one")); !ok {
		t.Fatal("the right password is refused")
	}
	a.seen.Wait()

	put(t, table, account(t, "ada", "two", store.RoleAdmin))
	if _, ok := a.Verify("ada", []byte("one")); ok {
		t.Error("the old password is accepted after a change")
	}
	if got, ok := a.Verify("ada", []byte("two")); !ok || got.Role != store.RoleAdmin {
		t.Errorf("Verify of the new password = %+v, %v", got, ok)
	}
	a.seen.Wait()

	err := table.Update(func(tx *store.Tx) error { _, err := tx.DeleteAccount("ada"); return err })
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Verify("ada", []byte("two")); ok {
		t.Error("a removed account is accepted")
	}
}

// A role that changes while the password stays counts at once.
func TestMemoryKeepsNoRole(t *testing.T) {
	ada := account(t, "ada", "one", store.RoleAdmin)
	table := newTable(t, ada)
	a := newAccounts(t, table)
	a.Verify("ada", []byte("one"))
	a.seen.Wait()
	ada.Role = store.RoleViewer
	put(t, table, ada)
	if got, ok := a.Verify("ada", []byte("one")); !ok || got.Role != store.RoleViewer {
		t.Errorf("Verify = %+v, %v, want the role viewer", got, ok)
	}
}

func TestRememberedIsFast(t *testing.T) {
	a := newAccounts(t, newTable(t, account(t, "ada", "one", store.RoleAdmin)))
	a.Verify("ada", []byte("one"))
	a.seen.Wait()
	// With every turn taken, only what is remembered can be answered.
	for range MaxHashing {
		hashing <- struct{}{}
	}
	defer func() {
		for range MaxHashing {
			<-hashing
		}
	}()
	if _, ok := a.Verify("ada", []byte("one")); !ok {
		t.Error("a remembered password needs a turn at hashing")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := matches(ctx, a.nobody, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third hash at once: error %v, want it to wait", err)
	}
}

func TestVerifyFromManyGoroutines(t *testing.T) {
	a := newAccounts(t, newTable(t, account(t, "ada", "one", store.RoleAdmin)))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if _, ok := a.Verify("ada", []byte("one")); !ok {
				t.Error("the right password is refused")
			}
			if i == 0 {
				if _, ok := a.Verify("ada", []byte("no")); ok {
					t.Error("a wrong password is accepted")
				}
			}
		})
	}
	wg.Wait()
}

func TestHashPassword(t *testing.T) {
	h1, _ := HashPassword([]byte("x"))
	h2, _ := HashPassword([]byte("x"))
	if h1 == h2 {
		t.Error("two hashes of one password are equal: no salt")
	}
	if !strings.HasPrefix(h1, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash = %q, want PHC of argon2id", h1)
	}
	for _, pw := range []string{"", strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword([]byte(pw)); err == nil {
			t.Errorf("a password of %d bytes is accepted", len(pw))
		}
	}
	for _, bad := range []string{
		"", "$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=18$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=99999999,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
	} {
		if _, err := parsePHC(bad); err == nil {
			t.Errorf("parsePHC(%q) succeeds", bad)
		}
	}
}

func TestToken(t *testing.T) {
	text, sum := NewToken()
	if len(text) != 43 || SumToken(text) != sum || SumToken([]byte(text)) != sum {
		t.Errorf("NewToken = %q, %x", text, sum)
	}
	if other, _ := NewToken(); other == text {
		t.Error("two tokens are equal")
	}
	b := []byte(text)
	if allocs := testing.AllocsPerRun(100, func() { SumToken(b) }); allocs != 0 {
		t.Errorf("SumToken allocates %v times", allocs)
	}
}

func TestBasicHeader(t *testing.T) {
	a := newAccounts(t, newTable(t, account(t, "ada", "o:e", store.RoleAdmin)))
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name, header string
		want         bool
	}{
		{"right, with a colon in the password", "Basic " + b64("ada:o:e"), true},
		{"scheme in another case", "bAsIc " + b64("ada:o:e"), true},
		{"no header", "", false},
		{"other scheme", "Bearer " + b64("ada:o:e"), false},
		{"not base64", "Basic ada:o:e", false},
		{"no colon", "Basic " + b64("ada"), false},
		{"no password", "Basic " + b64("ada:"), false},
		{"huge", "Basic " + b64("ada:"+strings.Repeat("x", 4000)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ctx fasthttp.RequestCtx
			if tt.header != "" {
				ctx.Request.Header.Set("Authorization", tt.header)
			}
			if _, ok := a.Basic(&ctx); ok != tt.want {
				t.Errorf("Basic = %v, want %v", ok, tt.want)
			}
		})
	}
}

// A tlsConn is a connection whose handshake is over.
type tlsConn struct {
	net.Conn
	state tls.ConnectionState
}

func (c tlsConn) Handshake() error                     { return nil }
func (c tlsConn) ConnectionState() tls.ConnectionState { return c.state }

func TestBasicByCertificate(t *testing.T) {
	a := newAccounts(t, newTable(t, account(t, "ada", "one", store.RoleAdmin)))
	leaf := func(cn, uri string) *x509.Certificate {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: cn}}
		if uri != "" {
			u, err := url.Parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
		return c
	}
	tests := []struct {
		name     string
		leaf     *x509.Certificate
		verified bool
		header   string
		want     bool
	}{
		{"verified, names an account", leaf("ada", ""), true, "", true},
		{"not verified", leaf("ada", ""), false, "", false},
		{"names nobody", leaf("bob", ""), true, "", false},
		{"no name", leaf("", ""), true, "", false},
		{"an agent's certificate", leaf("ada", "svmgate:tenant:5e1f0000-0000-0000-0000-000000000001"), true, "", false},
		{"a wrong password beside it", leaf("ada", ""), true, "Basic YWRhOng=", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{tt.leaf}}
			if tt.verified {
				state.VerifiedChains = [][]*x509.Certificate{{tt.leaf}}
			}
			var ctx fasthttp.RequestCtx
			ctx.Init2(tlsConn{state: state}, nil, false)
			if tt.header != "" {
				ctx.Request.Header.Set("Authorization", tt.header)
			}
			got, ok := a.Basic(&ctx)
			if ok != tt.want || ok && got.Name != "ada" {
				t.Errorf("Basic = %+v, %v, want %v", got, ok, tt.want)
			}
		})
	}
}

func BenchmarkVerifyRemembered(b *testing.B) {
	a := newAccounts(b, newTable(b, account(b, "ada", "one", store.RoleAdmin)))
	a.Verify("ada", []byte("one"))
	a.seen.Wait()
	b.ReportAllocs()
	for b.Loop() {
		a.Verify("ada", []byte("one"))
	}
}
