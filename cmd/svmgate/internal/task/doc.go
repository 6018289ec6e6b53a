// Package task runs long work for who can not wait for it: the work is written down,
// acknowledged, done in the background, and asked after.
//
// A task is a record of the table ([store.Task]), so every gateway shows it. One
// gateway runs it: the one that was asked.
//
// # What a caller may rely on
//
//   - A task that was acknowledged is on disk. It ends: Completed, Failed or Canceled.
//   - What a task changes in the table, and that it is Completed, is one change: there is
//     no moment at which the one holds and the other does not.
//   - A task that fails or is canceled has undone what it did elsewhere, or says, after
//     [Persist], what it could not undo.
//   - A task that its gateway's end interrupted (a stop, a crash) is undone when the
//     gateway is back, and is Failed then. Until then it stays as it was.
//   - If that gateway never comes back, canceling the task at any other gateway, once its
//     own has not been a live member for [AdoptAfter] ([Config].Alive says so), makes that other gateway undo it.
//     Before that, canceling waits for its gateway. Nobody undoes anything unasked: a
//     gateway that is cut off may well be doing its work.
//   - Some work can not be undone once it has begun ([Job.PointOfNoReturn]). It is gone on
//     with instead, also after a crash, and canceling it has no effect.
//   - Two tasks of a gateway with the same [Spec.Lane] never run at the same time; undoing
//     what was interrupted counts.
//   - While the disk takes no writes, no task begins, and what is under way is undone. That
//     it has ended is written as soon as the disk allows it. After a failed fsync, what is
//     under way is left for the next start, which finds out what was written.
//   - Everything is bounded, for each gateway: [MaxRunning] at a time, [MaxWaiting] that
//     wait, [MaxKept] that are over, with [MaxResults], for [Keep]; if there are more, the
//     oldest go. What a gateway that is gone has left is removed by the others an hour
//     later.
//   - A task of a type that this release does not know is left as it is.
//
// # Secrets
//
// What a task is given beside its notes (a password) is in memory only, and gone after
// a crash: so an interrupted task is undone rather than gone on with.
package task
