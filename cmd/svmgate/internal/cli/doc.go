// Package cli has the commands that talk to a running gateway: import, tenant,
// svm, explain, whatif, user and backup; and those that work on what a gateway left on
// disk: store, and restore unless it is --as-new.
//
// The first are clients of the management API and know nothing that it does not
// tell. With --output json what is written is exactly the API's JSON (the pages
// of a list joined into one; the deployment of a tenant that is shown, as a field of
// it), so that scripts may rely on the API's promises.
// Tables are for people: no colours, no promises.
//
// What takes longer than half a second shows how far it is, on standard error and
// only if that is a terminal.
//
// Errors of the gateway are shown with their detail and their code. A command
// that was used wrongly fails with a [UsageError], any other failure is the
// gateway's answer or the network's.
//
// Passwords are never arguments of a command of their own: they come from
// --user name:password or SVMGATE_PASSWORD (for scripts), from standard input,
// or from a prompt.
package cli
