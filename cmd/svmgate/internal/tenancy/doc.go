// Package tenancy makes, switches and removes tenants with all that belongs to them: the
// row in the table, and, for complete tenants, the virtual Administration Server in
// Kaspersky Security Center. It says which steps of a tenant's deployment are done, and
// what the tenant's administrator is given.
//
// Long work is a task (package task); this package has the procedures.
//
//   - CreateTenant makes the virtual Administration Server with its folder and account,
//     and then the tenant. The tenant appears when all of it is done; otherwise there is
//     nothing.
//   - ChangeTenantActivation switches a tenant on or off, at once.
//   - DeleteTenant removes the tenant and its VMs, and if asked to, before that its
//     virtual Administration Server, account and folder. Until the removal of these has
//     begun, an error changes nothing; from then on it is gone on with.
//   - CreateTenantReport makes a protection report (package protection).
//
// What was made for a tenant is remembered with it ([store.Administration].Artifacts), and
// nothing else is removed: a virtual Administration Server that somebody made otherwise and
// recorded fails DeleteTenant with artifacts, before anything is changed.
//
// A password is overwritten as soon as Kaspersky Security Center has it, and is in no log,
// error, note or result.
//
// Without any Kaspersky Security Center configured, complete tenants can be neither made
// nor switched nor removed in this way (KSC_ServiceNotConfigured), as documented; with
// "none" everything is recorded here only.
package tenancy
