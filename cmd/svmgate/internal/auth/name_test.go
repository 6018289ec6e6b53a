package auth

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "admin", "...", ".a", "Ada.Love-lace_2@example.org", strings.Repeat("x", 64)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v, want it allowed", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "a:b", "a b", "a%2fb", "a\n", "\x00", "é", "a?", "a#", strings.Repeat("x", 65)} {
		if CheckName(name) == nil {
			t.Errorf("%q: allowed, want it refused", name)
		}
	}
}
