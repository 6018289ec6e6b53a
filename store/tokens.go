package store

import "time"

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
