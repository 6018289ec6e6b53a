package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MaxPassword bounds a password, in bytes.
const MaxPassword = 1024

// MaxHashing is the number of hashes that are computed at once in this process.
const MaxHashing = 2

// Parameters of new hashes: those that OWASP's Password Storage Cheat Sheet
// gives for argon2id with one lane. A hash carries its own, so these may change.
const (
	hashMemory = 19 << 10 // KiB
	hashPasses = 2
	hashLanes  = 1
	saltBytes  = 16
	keyBytes   = 32
)

var errHash = errors.New("auth: not an argon2id hash in PHC form")

// hashing bounds memory and processors that passwords take together.
var hashing = make(chan struct{}, MaxHashing)

// HashPassword returns the argon2id hash of pw as a PHC string, with a random
// salt. It takes some 25 ms and 19 MiB, and waits while [MaxHashing] others are
// being computed. The error says that pw is empty or longer than [MaxPassword].
func HashPassword(pw []byte) (string, error) {
	if len(pw) == 0 {
		return "", errors.New("a password must not be empty")
	}
	if len(pw) > MaxPassword {
		return "", fmt.Errorf("a password must not be longer than %d bytes", MaxPassword)
	}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	h := phc{memory: hashMemory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, saltBytes)}
	rand.Read(h.salt) // never fails
	h.key = h.derive(pw, keyBytes)
	return h.String(), nil
}

// matches reports whether encoded is the hash of pw. It waits its turn, or until
// ctx ends; the error then is ctx's.
func matches(ctx context.Context, encoded string, pw []byte) (bool, error) {
	h, err := parsePHC(encoded)
	if err != nil {
		return false, err
	}
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return subtle.ConstantTimeCompare(h.derive(pw, uint32(len(h.key))), h.key) == 1, nil
}

// A phc is a hash with all it takes to compute it again.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func (h phc) derive(pw []byte, n uint32) []byte {
	return argon2.IDKey(pw, h.salt, h.passes, h.memory, h.lanes, n)
}

func (h phc) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		enc.EncodeToString(h.salt), enc.EncodeToString(h.key))
}

// parsePHC reads what String writes. Parameters are bounded: a hash may come
// from another node, and must not be able to take all memory here.
func parsePHC(s string) (h phc, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return h, errHash
	}
	if h.memory > 256<<10 || h.passes < 1 || h.passes > 16 || h.lanes < 1 || h.lanes > 16 {
		return h, errHash
	}
	enc := base64.RawStdEncoding
	salt, err1 := enc.DecodeString(parts[4])
	key, err2 := enc.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(key) < 16 || len(key) > 64 {
		return h, errHash
	}
	h.salt, h.key = salt, key
	return h, nil
}
