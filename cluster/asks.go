package cluster

// A question is what one node asks of another.
type question uint8

const (
	askDigest  question = 1 + iota // to exchange digests
	askPull                        // for the records of buckets
	askConfirm                     // to apply records, and say so
	askKeys                        // to look at or change encryption keys
	askRoot                        // for the root of a digest
)
