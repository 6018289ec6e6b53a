//go:build amd64 || arm64

package store

import "unsafe"

// prefetch asks memory for a cache line. A load would do so too, but the processor gets no
// further than a few hundred instructions past one that is under way.
//
//go:noescape
func prefetch(line unsafe.Pointer)
