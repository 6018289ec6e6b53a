// Package daemon runs a gateway: it opens the table, serves the planes, and takes
// them down again in an order in which no request that has begun is lost.
//
// [Start] returns a gateway that is ready. While it starts, the operations plane
// answers already, and the other planes answer 503 with Retry-After: an agent
// that comes too early comes again soon, and never hears of an SVM that does not
// exist because of our own ignorance.
//
// [Gateway.Stop] first fails readiness, waits for balancers to notice, then
// stops accepting, lets what runs end, and closes the table last.
// [Gateway.Reload] applies what can change while it runs; whatever can not be
// used leaves things as they are.
//
// The first start creates the account admin and shows its password once; after
// that there is nothing to read it from. A gateway that joins others takes their
// accounts.
//
// With a cluster, ready means: as its peers. A gateway that can not take part with
// the table it has goes out of service, sets that aside and starts anew from them,
// while its listeners stay.
package daemon
