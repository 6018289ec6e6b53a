package journals

import "github.com/svmgate/svmgate/store"

// An Engine is one way to keep a journal.
type Engine struct {
	Name string
	// Logs is the pattern of the names of its log files; the greatest is the newest.
	Logs string
	// Open opens the journal in a directory, which is made if need be. Segments is
	// the size of its files where it can be chosen, or 0 for the usual one: small
	// ones let a short test see many.
	Open func(dir string, segments int) (store.Journal, error)
}

// Engines are the finalists, the project's own first.
var Engines = []Engine{
	{
		Name: "own", Logs: "log-*",
		Open: func(dir string, _ int) (store.Journal, error) { return store.OpenDir(dir) },
	},
	{
		Name: "raft-wal", Logs: "*.wal",
		Open: func(dir string, segments int) (store.Journal, error) { return OpenRaftWAL(dir, segments) },
	},
}
