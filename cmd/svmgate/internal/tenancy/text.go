package tenancy

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/svmgate/svmgate/store"
)

// figure writes a number as people read it: 1,000.
func figure(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// either returns the word for one thing, or that for another number of them.
func either(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// several writes a number of things: "1 SVM", "1,000 SVMs".
func several(n int, thing string) string { return figure(n) + " " + either(n, thing, thing+"s") }

// listed joins words as a sentence does: "a, b and c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// argument is the tenant as an argument of a command: its name if that can stand there,
// else its id.
func argument(t *store.Tenant) string {
	if _, err := store.ParseTenantID(t.Name); err != nil && plainWord.MatchString(t.Name) {
		return t.Name
	}
	return t.ID.String()
}

// apiPath is where the management API has the tenant.
func apiPath(t *store.Tenant) string { return "/v1/tenants/" + t.ID.String() }
