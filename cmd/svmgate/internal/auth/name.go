package auth

import (
	"errors"
	"regexp"
)

var (
	accountName = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)

	errName = errors.New(`name: want 1 to 64 letters of ASCII, digits and . _ @ -, and not "." or ".."`)
)

// CheckName returns an error that says what is allowed if a new account can not
// have the name. An account is removed by a path that ends in its name, so it
// must be one that every part on the way leaves as it is.
func CheckName(name string) error {
	if !accountName.MatchString(name) || name == "." || name == ".." {
		return errName
	}
	return nil
}
