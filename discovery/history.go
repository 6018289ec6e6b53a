package discovery

import "time"

// A report says how many agents an SVM had when it was made, and comes later: what was
// picked meanwhile is not in it. So a ledger remembers for a while what the counts of
// picks were.
const (
	historyRows  = 24 // seconds; a report that is later loses what came before
	historyEvery = time.Second
)

// A history has the counts of the last seconds, and of the newest row at least. Its zero
// value is empty.
type history struct {
	rows [historyRows]historyRow
	made int           // rows that were ever added
	due  time.Duration // since the selector was made
}

// A historyRow has the counts of all SVMs that there were at a moment. The others had none.
type historyRow struct {
	at     int64 // milliseconds since 1970
	counts []historyCount
}

type historyCount struct {
	picks, heard int32 // own, and of the other gateways
}

// add adds a row for n SVMs in place of the oldest.
func (h *history) add(at int64, n int, counts func(i int) historyCount) {
	row := &h.rows[h.made%historyRows]
	h.made++
	row.at = at
	if cap(row.counts) < n {
		row.counts = make([]historyCount, n, n+n/4)
	}
	row.counts = row.counts[:n]
	for i := range row.counts {
		row.counts[i] = counts(i)
	}
}

// before returns the counts of an SVM at a moment, or up to a second before: never those
// after, unless the history does not reach back so far.
func (h *history) before(at int64, i int) historyCount {
	oldest := max(0, h.made-historyRows)
	for r := h.made - 1; r >= oldest; r-- {
		if row := &h.rows[r%historyRows]; row.at <= at || r == oldest {
			if i < len(row.counts) {
				return row.counts[i]
			}
			break
		}
	}
	return historyCount{}
}
