package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/store"
)

const (
	// maxRemembered is the number of verified passwords that are remembered.
	maxRemembered = 4096
	// rememberFor ends the memory of a verification that nobody repeats.
	rememberFor = time.Hour
	// maxWait is how long a caller waits for its turn to be verified. During a
	// flood of wrong passwords those who are remembered do not wait at all.
	maxWait = 10 * time.Second
	// maxCredentials bounds the decoded text of HTTP Basic, in bytes.
	maxCredentials = 256 + 1 + MaxPassword
)

// Accounts verifies callers against the accounts of a table. Its methods may be
// called from many goroutines.
type Accounts struct {
	table  *store.Table
	key    [32]byte // of this process; digests mean nothing elsewhere
	nobody string   // hash that stands in for accounts that do not exist
	seen   *ristretto.Cache[string, struct{}]
}

// NewAccounts returns Accounts over t. It starts goroutines that [Accounts.Close]
// ends.
func NewAccounts(t *store.Table) (*Accounts, error) {
	if t == nil {
		return nil, errors.New("auth: the table must not be nil")
	}
	a := &Accounts{table: t}
	rand.Read(a.key[:]) // never fails
	var err error
	if a.nobody, err = HashPassword(a.key[:]); err != nil {
		return nil, err
	}
	a.seen, err = ristretto.NewCache(&ristretto.Config[string, struct{}]{
		NumCounters: 10 * maxRemembered, MaxCost: maxRemembered, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("auth: cache of verified passwords: %w", err)
	}
	return a, nil
}

// Close ends what NewAccounts started. Accounts must not be used afterwards.
func (a *Accounts) Close() { a.seen.Close() }

// Verify returns the account called user if password is its password. It takes
// tens of milliseconds the first time and microseconds when it is
// remembered. While too many others are being verified it waits, and reports
// false after ten seconds.
func (a *Accounts) Verify(user string, password []byte) (store.Account, bool) {
	if len(password) > MaxPassword {
		return store.Account{}, false
	}
	account, exists := a.table.Account(user)
	hash := account.Hash
	if !exists {
		hash = a.nobody
	}
	digest := a.digest(user, hash, password)
	if exists {
		if _, ok := a.seen.Get(digest); ok {
			return account, true
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxWait)
	defer cancel()
	if ok, err := matches(ctx, hash, password); err != nil || !ok || !exists {
		return store.Account{}, false
	}
	a.seen.SetWithTTL(digest, struct{}{}, 1, rememberFor)
	return account, true
}

// digest is what a verified password is remembered under. The account's hash is
// part of it, so a new password makes a new digest.
func (a *Accounts) digest(user, hash string, password []byte) string {
	mac := hmac.New(sha256.New, a.key[:])
	var n [8]byte
	for _, part := range [][]byte{[]byte(user), []byte(hash), password} {
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		mac.Write(n[:])
		mac.Write(part)
	}
	return string(mac.Sum(nil))
}

// Basic returns the account that the request proves: by HTTP Basic, or without
// an Authorization header by the client certificate of its connection, if the
// TLS handshake verified it and its common name is that of an account.
//
// A certificate that names a tenant (URI svmgate:tenant:…) is an agent's and
// never an account's: whoever signs for agents need not look at common names.
func (a *Accounts) Basic(ctx *fasthttp.RequestCtx) (store.Account, bool) {
	if header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization); len(header) > 0 {
		user, password, ok := parseBasic(header)
		if !ok {
			return store.Account{}, false
		}
		return a.Verify(user, password)
	}
	state := ctx.TLSConnectionState()
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return store.Account{}, false
	}
	leaf := state.PeerCertificates[0]
	for _, uri := range leaf.URIs {
		if uri.Scheme == "svmgate" {
			return store.Account{}, false
		}
	}
	if leaf.Subject.CommonName == "" {
		return store.Account{}, false
	}
	return a.table.Account(leaf.Subject.CommonName)
}

// parseBasic reads "Basic base64(user:password)" (RFC 7617).
func parseBasic(header []byte) (user string, password []byte, ok bool) {
	scheme, encoded, found := bytes.Cut(header, []byte(" "))
	if !found || !bytes.EqualFold(scheme, []byte("Basic")) {
		return "", nil, false
	}
	encoded = bytes.Trim(encoded, " ")
	if base64.StdEncoding.DecodedLen(len(encoded)) > maxCredentials+3 {
		return "", nil, false
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(decoded, encoded)
	if err != nil {
		return "", nil, false
	}
	name, password, found := bytes.Cut(decoded[:n], []byte(":"))
	return string(name), password, found
}
