// Package watch makes events of what gateways see: what agents ask and tell, which SVMs
// are up and how full, which licences end, which gateways come and go, and what merging
// two tables gave up.
//
// # Once
//
// Without a partition an event is written once, by one gateway:
//
//   - Every VM, SVM, tenant and gateway has an owner: of the gateways that are there, the
//     one with the highest hash of both (rendezvous hashing). A gateway that is watched is
//     not its own. Only the owner writes; what another gateway learns it tells the owner.
//   - What was told last is a record of the table ([store.Observation]), written in one
//     change with the event that tells it. So the owner after a restart, and any owner
//     after it, knows what was told.
//   - When gateways come or go, some things change owners. The new one waits [Settle]
//     before it acts, for the records of the old one to arrive.
//
// In a partition each side has an owner of everything. What both sides tell has the same
// id ([store.OccasionID]) on both, and when they meet again one of the two is left.
//
// # What is told
//
//   - agent.no_svm: an agent got the SVM that does not exist, or none. Once for a VM and a
//     deactivation of its tenant, whatever happens, and once for a VM and a time without
//     an SVM, which ends when the VM is given one.
//   - agent.update_failed: an agent says that an update failed. Two of a VM are never
//     within [UpdateFailedEvery]. One that is a little too early waits, others are not told.
//   - svm.down and svm.up: an SVM that was up on this gateway is down; it is up again
//     since it reported. One that drains is not down. One that is forgotten is not
//     heard of again.
//   - svm.over_capacity: an SVM's last report was above its hard cap. Once until a report
//     is at most nine tenths of it.
//   - license.expiring: the licence of an SVM is valid and ends within
//     [Config.LicenseWarning]. Once for an SVM and that end.
//   - cluster.member_joined, cluster.member_left, cluster.member_failed: a gateway is
//     there; it went, and had said so; it can not be reached.
//   - tenant.conflict, vm.conflict: see [store.Conflict]. Whichever gateway finds one,
//     its owner tells it.
//
// Nothing is written of VMs that are not registered.
//
// # What may be lost
//
// Agents ask again, every 30 seconds or 5 minutes, so a notice is a hint: [Feed] drops
// what it has no room for; what an owner does not take within some 15 seconds is dropped;
// both are counted, and made up for when the agent asks next. What an agent tells of its
// state is not taken (503) if there is no room, and it tells again.
package watch
