// Package adminapi serves the management plane: tenants, SVMs, VMs, accounts,
// imports, backups, explanations and events as JSON under /v1, and the document that
// describes them at /openapi.json.
//
// # What a caller may rely on
//
//   - Nobody is served without an account, not even the document. The role
//     decides what an account may do: "admin" everything, "viewer" every GET but
//     a backup and the keys of the cluster, "svm" the reports of its own SVMs, "multitenancy" nothing here.
//   - An object is answered only after the table holds it, and the table answers
//     only after its journal does. A refused write changes nothing.
//   - Bodies are read strictly. An unknown field, a key given twice, a wrong
//     type, text that is not UTF-8 or anything after the end is 400, and the
//     answer names the field and what is allowed. Fields that the gateway itself
//     sets (created, updated, revision, lastReport) may be sent back as they
//     were read and have no effect.
//   - Query parameters that a route does not know are 400, so that a misspelt
//     filter never answers more than was asked for.
//   - Everything is bounded: bodies, depth, pages, the time to read a body.
//   - Who follows events holds up nobody: what a stream does not take in time is not
//     kept for it; it is ended, and comes back where it was.
//   - A browser that was led here by another site can not write.
//   - Every route is in the document and every route of the document exists;
//     TestEveryRouteIsDocumented compares them.
//
// Errors are application/problem+json (RFC 9457) with a stable code.
package adminapi
