package discovery

import (
	"slices"

	"github.com/svmgate/svmgate/store"
)

// A Matrix says which SVM versions an agent version may connect to. Versions
// that are equal always fit; an agent version that is not in the matrix fits
// only an equal SVM version.
type Matrix map[store.ProductVersion][]store.ProductVersion

// DefaultMatrix returns the pairs that the vendor documents (agents 5.1 and 5.2
// fit only equal SVMs; Endpoint Security for Linux 12.0 fits SVM 6.0, and 12.1
// fits 6.1) and, as an assumption for what is not documented, 12.2 to 6.2, 12.3
// to 6.3 and 12.4 to 6.4.
func DefaultMatrix() Matrix {
	m := Matrix{{Major: 5, Minor: 1}: nil, {Major: 5, Minor: 2}: nil}
	for minor := range uint16(5) {
		m[store.ProductVersion{Major: 12, Minor: minor}] = []store.ProductVersion{{Major: 6, Minor: minor}}
	}
	return m
}

func (m Matrix) fits(agent, svm store.ProductVersion) bool {
	return agent == svm || slices.Contains(m[agent], svm)
}
