// Package auth proves who is calling: accounts by password or client
// certificate, agents by token.
//
// Passwords are kept as argon2id hashes. Such a hash is slow and large on
// purpose, so at most [MaxHashing] are computed at once, whatever the number of
// callers, and what has been verified once is remembered: under a keyed digest
// of name, password and the account's present hash, so that a changed password
// or a removed account is never let in by the memory, and the memory tells
// nobody a password. An account that does not exist costs as much time as a
// wrong password, so that names can not be probed.
//
// Tokens are 256 random bits, of which only SHA-256 is kept: with that much
// randomness a slow hash would add nothing.
package auth
