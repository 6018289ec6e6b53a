// Package lab is where gateways meet as they do in service: real processes, each in
// a network namespace of its own, joined by a bridge on which nftables cuts and
// loses what a test wants lost.
//
// It has tests only. They need root, unshare, nsenter, ip and nft, and say so where
// they are skipped. A test runs itself again inside fresh network and mount
// namespaces, so that whatever becomes of it, the machine's own network is not
// touched and nothing is left behind.
//
// The short form is part of the tests; make lab runs everything.
package lab
