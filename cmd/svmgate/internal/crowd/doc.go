// Package crowd holds a gateway, as a process, to what it promises when very many are
// connected: those that wait for a change, those that are idle, and those that are slow,
// by nature or on purpose.
//
// It has tests only. The short form, with some hundred connections, is part of the tests;
// make crowd runs the long one, with 10,000 and 19,000.
package crowd
