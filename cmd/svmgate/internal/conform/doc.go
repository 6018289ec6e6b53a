// Package conform holds the Integration Server's XML API to its documents, from the
// outside: the real program, over HTTPS, asked by a plain HTTP client.
//
// It has tests only. The documented sentences are in lines_test.go, each with an id;
// the cases, in tables that read like those sentences, name the ids that they cover.
// TestConformance asks one gateway, TestConformanceBehindProxy three, in turn, behind
// a proxy, where each write must be visible at the next gateway at once. Both print
// which lines are covered by which cases, and fail if one has none:
//
//	go test ./cmd/svmgate/internal/conform -run TestConformance -v
//
// With -conform.report FILE the same goes to a file. TestHostileXML sends what no
// honest client sends. TestKilled has the gateway killed while it calls Kaspersky
// Security Center; with -conform.kills at every call, before and after it is handled.
package conform
