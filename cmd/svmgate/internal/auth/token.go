package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// NewToken returns a fresh token, 43 letters, digits, hyphens and underscores,
// and its digest. The text is shown once and not kept; the digest is stored.
func NewToken() (text string, sum [32]byte) {
	var random [32]byte
	rand.Read(random[:]) // never fails
	text = base64.RawURLEncoding.EncodeToString(random[:])
	return text, SumToken(text)
}

// SumToken returns the digest under which a token is stored. It does not
// allocate.
func SumToken[T string | []byte](text T) [32]byte { return sha256.Sum256([]byte(text)) }
