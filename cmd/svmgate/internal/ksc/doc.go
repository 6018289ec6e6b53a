// Package ksc makes and removes what a tenant has in Kaspersky Security Center (KSC): a
// folder, a virtual Administration Server, and the account of the tenant's
// administrator. It knows no tenants and no tasks: its caller keeps a [Site] for each.
//
// # Promises
//
//   - What was begun can be found. [Servers.Make] calls its [Note] before each action
//     with all that [Servers.Remove] needs to undo that action, whether it was carried
//     out or not. So after a crash at any moment, Remove with the Site noted last leaves
//     nothing behind.
//   - What is not ours is not touched. Ours is what carries our mark from the call that
//     made it on, or what KSC then gave us as its id. A folder is made under a name with
//     the mark and renamed afterwards, and so is a virtual server; an account has the
//     mark in its description. Names that others have are never taken: the error is
//     [ErrNameTaken] or [ErrUserExists].
//   - Nothing is made twice. Calls that only look, or that say how a thing should be, are
//     repeated by themselves. A call that makes something is repeated after an uncertain
//     failure only when a look has shown that nothing with the mark is there; if two
//     turn up all the same, one is removed.
//   - No password is in an error, in the log, or in a Site.
//   - Certificates are verified, always. A certificate in [Config].CA is trusted as an
//     authority, and as itself: KSC's own, which signs itself, is pinned so, whatever
//     host name is in it.
//   - Calls, answers and waits have bounds. One call at a time is under way on a
//     connection, and connections and sessions are kept for the next.
//
// The first three are held by TestMakeWithFaults, TestRemoveWithFaults (with -ksc.faults on
// every variant of KSC) and TestDeathAtEveryCall.
//
// "Multitenancy KSV LA", the folder that holds the folders of all tenants, is the
// vendor's name for it. It belongs to nobody: Make makes it if it is missing, and Remove
// removes it if nothing is left in it, which KSC itself checks.
//
// # Sources
//
// The reference of KSC Open API, versions 13 to 16.1, by class and method:
//
//   - Protocol description: POST /api/v1.0/Class.Method, JSON, PxgRetVal and PxgError;
//     one call at a time on a connection, which is kept open.
//   - Session.StartSession, Ping, EndSession: a session is named in X-KSC-Session; after
//     its end, calls are answered 403.
//   - HostGroup.GroupIdGroups, GetGroupId (-1 if there is none), GetSubgroups, AddGroup
//     (returns the group that exists, if there is one), UpdateGroup ("name" renames),
//     RemoveGroup (asynchronous; flags 1: only if empty, 3: with all that is in it).
//   - VServers.GetVServers (-1: of all groups), GetVServerInfo, AddVServerInfo (a display
//     name that is not unique is changed), UpdateVServerInfo (KLVSRV_DN), DelVServer
//     (asynchronous), GetPermissions, SetPermissions.
//   - SecurityPolicy.GetUsers (-1, -1: of the main and all virtual servers), AddUser,
//     DeleteUser. On a connection to a virtual server they see its users only.
//   - DataProtectionApi.ProtectUtf16StringGlobally makes KLSPL_USER_PWD_ENCRYPTED.
//   - AsyncActionStateChecker.CheckActionState: on the connection that began the action,
//     and not before lNextCheckDelay milliseconds have passed.
//   - List of virtual server attributes, of user attributes, of group attributes;
//     Permissions structure; Some error definitions.
//
// The limit of 500 virtual servers, the folder's name, and names of accounts that are
// unique over all servers are from the manual of Light Agent (multitenancy).
//
// # Assumed
//
//   - The account is made on a connection to the virtual server (login with
//     X-KSC-VServer, the base64 of KLVSRV_UID), so it belongs to that server.
//   - The rights of a main administrator are all that KLSPL_POSSIBLE_RIGHTS of the
//     virtual server's permissions names.
//   - A session of the main server needs no X-KSC-VServer.
//   - KLVSRV_VS_DESCR can be set, though the reference of UpdateVServerInfo names
//     KLVSRV_DN alone: the mark is written there as well, and if KSC refuses that, it is
//     passed over.
//   - A call that got no answer within [Config].Timeout is not carried out later. If it
//     is, Remove once more finds what it made.
package ksc
