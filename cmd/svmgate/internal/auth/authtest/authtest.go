// Package authtest has hashes of passwords for tests.
package authtest

import (
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// CheapHash returns a hash of a password that takes microseconds to verify.
func CheapHash(password string) string {
	salt := []byte("only for tests.")
	key := argon2.IDKey([]byte(password), salt, 1, 8, 1, 32)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=8,t=1,p=1$%s$%s", argon2.Version, enc.EncodeToString(salt), enc.EncodeToString(key))
}
