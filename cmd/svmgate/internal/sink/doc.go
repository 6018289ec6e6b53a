// Package sink takes events to where administrators keep them: the log, a file, a syslog
// server, a webhook.
//
// A gateway delivers the events that it wrote itself, so each goes out once, whatever
// the number of gateways. The table is the queue: a sink has a cursor, the version of
// the last event that it is done with, and what waits is what this gateway wrote after
// it. Only where those events stand is held in memory, 32 bytes each.
//
//   - Events are delivered in the order in which they were written, each at least once: a
//     sink that took some and did not say so gets them again, with the same ids.
//   - A sink that is down holds up nobody, and no other sink. It is tried again after one
//     second, then two, up to a minute. One line in the log says that it is down, and one
//     that it is back.
//   - What waits is bounded by [Config.Backlog]. Beyond it the oldest are dropped, and so
//     are events that the table forgets before they were delivered. Each is counted.
//   - Cursors and counts outlast the process. They are kept once a second, and at the end:
//     after a crash, what was delivered in the last second is delivered again.
//   - A sink that is new begins with the first event that is written from then on.
//   - Of an event that another gateway wrote as well, and earlier, the other delivers its
//     own: this one need not, and that is no drop.
//
// At any moment, what was written since a sink was new is what was delivered, dropped,
// refused, what another gateway delivers, and what waits.
package sink
