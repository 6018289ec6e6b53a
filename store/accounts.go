package store

import (
	"cmp"
	"fmt"
	"slices"
)

// Account returns the account with the given name.
func (t *Table) Account(name string) (Account, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	a, ok := t.accounts[accountKey(name)]
	return a, ok
}

// Accounts returns all accounts, ordered by name.
func (t *Table) Accounts() []Account {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]Account, 0, len(t.accounts))
	for _, a := range t.accounts {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Account) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (t *Table) commitAccount(r *Record) {
	if a, err := decodeAccount(r.Value); err == nil {
		a.SVMs = notNil(a.SVMs)
		t.accounts[r.Key] = a
	} else {
		delete(t.accounts, r.Key)
	}
}

// Account returns the account with the given name.
func (tx *Tx) Account(name string) (Account, bool) {
	a, err := decodeAccount(tx.current(KindAccount, accountKey(name).ID).Value)
	return a, err == nil
}

// Accounts returns all accounts, in no particular order.
func (tx *Tx) Accounts() []Account {
	var out []Account
	for key, a := range tx.table.accounts {
		if tx.group.at(key) < 0 {
			out = append(out, a)
		}
	}
	for i := range tx.group.rows {
		if r := &tx.group.rows[i]; r.Key.Kind == KindAccount {
			if a, err := decodeAccount(r.Value); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// PutAccount creates or replaces an account. Created of a is ignored.
func (tx *Tx) PutAccount(a Account) (bool, error) {
	if err := validateAccount(&a); err != nil {
		return false, err
	}
	a.Created = Time{tx.now}
	if old, ok := tx.Account(a.Name); ok {
		a.Created = old.Created
	}
	return tx.put(KindAccount, accountKey(a.Name).ID, encodeAccount(&a)), nil
}

// DeleteAccount removes an account.
func (tx *Tx) DeleteAccount(name string) (bool, error) {
	if _, ok := tx.Account(name); !ok {
		return false, fmt.Errorf("account %q: %w", name, ErrNotFound)
	}
	return tx.put(KindAccount, accountKey(name).ID, nil), nil
}
