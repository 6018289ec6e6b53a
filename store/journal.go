package store

// A Journal keeps records over restarts. [OpenDir] returns the one to use; others
// serve tests and comparisons. A table calls one method at a time.
type Journal interface {
	// Replay calls fn with every record, in any order, however often: a table
	// merges them. fn must not keep the value of a record. Replay is called once,
	// before anything else.
	Replay(fn func(Record) error) error

	// Append keeps records: all of them or, on an error, none, unless that wraps
	// [ErrInDoubt]. When it returns nil they are on disk. Errors wrap [ErrReadOnly]. It
	// must not keep the slice.
	Append(records []Record) error

	// Close releases the journal.
	Close() error
}

// noJournal keeps nothing.
type noJournal struct{}

func (noJournal) Replay(func(Record) error) error { return nil }
func (noJournal) Append([]Record) error           { return nil }
func (noJournal) Close() error                    { return nil }
