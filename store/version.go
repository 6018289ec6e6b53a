package store

import "strconv"

// A ProductVersion is the version of an agent or an SVM: versions compare by
// their first two numbers. The zero value means unknown.
type ProductVersion struct{ Major, Minor uint16 }

// ParseProductVersion reads the first two numbers of text such as "12.0.0.455".
// It reports false for text that does not start with two numbers up to 65535,
// separated by a dot, and for 0.0. It does not allocate.
func ParseProductVersion[T string | []byte](s T) (ProductVersion, bool) {
	major, n := leadingNumber(s)
	if n == 0 || n >= len(s) || s[n] != '.' {
		return ProductVersion{}, false
	}
	rest := s[n+1:]
	minor, m := leadingNumber(rest)
	if m == 0 || (m < len(rest) && rest[m] != '.') {
		return ProductVersion{}, false
	}
	v := ProductVersion{Major: major, Minor: minor}
	return v, !v.IsZero()
}

func leadingNumber[T string | []byte](s T) (value uint16, digits int) {
	n := uint32(0)
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		if n = n*10 + uint32(s[digits]-'0'); n > 65535 {
			return 0, 0
		}
		digits++
	}
	return uint16(n), digits
}

// IsZero reports whether the version is unknown.
func (v ProductVersion) IsZero() bool { return v == ProductVersion{} }

// String returns text such as "12.0", and "" for the zero value.
func (v ProductVersion) String() string {
	if v.IsZero() {
		return ""
	}
	return strconv.Itoa(int(v.Major)) + "." + strconv.Itoa(int(v.Minor))
}
