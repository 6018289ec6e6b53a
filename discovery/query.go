package discovery

import "github.com/svmgate/svmgate/store"

// MaxLimit bounds the SVMs of one answer, and the SVMs of [Query.Failed].
const MaxLimit = 16

// DefaultLimit is the number of SVMs in an answer whose query does not say.
const DefaultLimit = 3

// A Query is what an agent asks. Only BIOS is required. Select does not retain
// anything of it: byte slices may point into a request buffer.
type Query struct {
	BIOS store.BIOSID

	// Tenant, if Authenticated, restricts the question to VMs of that tenant:
	// any other VM is as unknown as one that does not exist.
	Tenant        store.TenantID
	Authenticated bool

	// Facts that the agent tells of itself; zero values are not told.
	Version store.ProductVersion
	OS      store.GuestOS
	Kind    store.AgentKind

	// Current is the SVM the agent is connected to; one that is not in the table
	// is ignored.
	Current store.SVMID

	// Failed are SVMs the agent could not reach, at most [MaxLimit]: they are
	// left out of this answer. Further ones are ignored.
	Failed []store.SVMID

	// Limit is the number of SVMs wanted, 1 to [MaxLimit]; 0 means
	// [DefaultLimit].
	Limit int

	// What the agent wants otherwise than its tenant's settings. Ignored where
	// those are locked.
	Tag        Opt[[]byte]
	Protection Opt[bool]
	Algorithm  Opt[store.Algorithm]
	Path       Opt[store.PathLevel]
}

// Opt is a value that may be absent.
type Opt[T any] struct {
	Set bool
	V   T
}

// Some returns an Opt that is set to v.
func Some[T any](v T) Opt[T] { return Opt[T]{Set: true, V: v} }

// Result says what kind of answer an [Answer] is.
type Result uint8

// Results.
const (
	// NotRegistered: the VM is unknown, or not the authenticated tenant's.
	NotRegistered Result = iota
	// Assigned: the answer lists SVMs, best first.
	Assigned
	// TenantInactive: the answer is the SVM that does not exist.
	TenantInactive
	// NoSVM: no SVM passes the filters; the answer is empty.
	NoSVM
	// OverCapacity: every usable SVM is at its hard cap; the least loaded first.
	OverCapacity
	// Later: an SVM was found, but too many agents of the tenant need another one at
	// present; see [Config.Admission]. The answer is empty, and RefreshSeconds says when
	// to ask again.
	Later
)

// String returns the word of the wire format, such as "assigned".
func (r Result) String() string {
	return [...]string{"not_registered", "assigned", "inactive", "no_svm", "over_capacity", "later"}[r]
}

// Seconds until the agent should ask again, before they are spread by ±10 %
// over agents so that those told at one moment do not return at one moment.
// The two intervals are the product's own (versions 5.0 and 5.2, topic 67380).
const (
	RefreshServed = 300
	RefreshNone   = 30
)

// An Answer is a decision. Its zero value is ready to be filled by
// [Selector.Select] and may be used again for the next question.
type Answer struct {
	Result         Result
	RefreshSeconds int

	// Revision is a 53-bit fingerprint of the result, the first SVM, its address
	// and the tenant's settings: equal on every gateway with the same table.
	Revision uint64

	// Amiss says that the VM is registered, and what [store.Slot.Amiss] says of it.
	Amiss bool

	n     int
	picks [MaxLimit]Pick
}

// A Pick is one SVM of an answer. SVM is shared and must not be modified. Local
// is told under either algorithm, though only the standard one prefers it.
type Pick struct {
	SVM   *store.SVM
	Local bool

	index    int32
	fragment string // JSON of the SVM, without "local" and the closing brace
	print    uint64 // fingerprint of id and address
}

// SVMs returns the SVMs of the answer, best first. The slice is valid until the
// answer is filled again.
func (a *Answer) SVMs() []Pick { return a.picks[:a.n] }
