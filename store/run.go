package store

import (
	"context"
	"time"
)

// Run calls [Table.Sweep] once a second until ctx is done, and returns its error.
func (t *Table) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			t.Sweep(time.Now())
		}
	}
}

// sweepTokens drops tokens whose overlap has ended.
func (t *Table) sweepTokens(now time.Time) {
	if !t.tokenEnd.IsZero() && !now.Before(t.tokenEnd) {
		t.rebuildTokens(now)
	}
}

// rebuildTokens publishes the digests that are valid at a moment, and notes when
// the next of them ends.
func (t *Table) rebuildTokens(now time.Time) {
	tokens := map[[32]byte]TenantID{}
	t.tokenEnd = time.Time{}
	for id, r := range t.tokenRows {
		token, err := decodeToken(id, r.Value)
		if err != nil {
			continue
		}
		if now.Before(token.PreviousUntil) {
			tokens[token.Previous] = token.Tenant
			if t.tokenEnd.IsZero() || token.PreviousUntil.Before(t.tokenEnd) {
				t.tokenEnd = token.PreviousUntil
			}
		}
		tokens[token.Current] = token.Tenant
	}
	t.tokens.Store(&tokens)
}
