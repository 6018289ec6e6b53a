// Package firewall writes the rules that a tenant needs at the router between it and
// the SVMs: those that cut an inactive one off ([Block]), and those by which its subnets
// reach the SVMs' network ([Translation]).
//
// # What a caller may rely on
//
//   - Rules are made of addresses, ports and checked words alone. Names, which
//     administrators and SVMs choose, stand in comments, quoted and cut; with the
//     comments removed a text does not depend on them. FuzzNamesStayInComments holds it.
//   - A text replaces what an earlier one for the same tenant made, as a whole, and
//     touches nothing else: each tenant has tables (chains) of its own. That of a tenant
//     of which nothing is to be blocked leaves nothing. TestPacketsNftables and
//     TestPacketsIptables hold it, with packets.
//   - The number of rules does not grow with SVMs times subnets: nftables gets sets,
//     iptables two chains, one behind the other.
//   - Text and JSON say the same.
//
// The rules are the vendor's advice (Kaspersky Security for Virtualization Light Agent,
// online help, topics 259237 and 259229). That tenants may use overlapping subnets is
// advised there too; what tells them apart then is the interface by which they reach the
// router. Without it an answer names whom else its rules concern.
//
// Nothing here changes a firewall or asks a name server.
package firewall
