// Package replica shares a gateway's table with other gateways: it joins a
// [store.Table] to a [cluster.Node].
//
// Whatever the table learns is spread to peers, and what they tell is applied by
// the one function that changes a table. Counts of SVMs' agents go in batches and
// are dropped first. What a peer sends that can not be read is refused, counted and
// logged, record by record: it holds up nothing else.
//
// In the data directory it keeps whom it met, and when it last compared tables
// (cluster.json). A gateway that was away for longer than its peers remember what
// was deleted must not bring that back: what it had written itself since it was last
// heard is written down ([SaveOffers]), its table is set aside ([store.SetAside]), it
// starts with an empty one, and once it has caught up, what was written down is
// brought in as new ([TakeOffers]).
//
// Keys are kept in a file of mode 0600, in base64, one a line ([ReadKeys]).
package replica
