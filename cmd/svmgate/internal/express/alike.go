package express

import "bytes"

// maxAlike bounds what a connection remembers of a request, in bytes.
const maxAlike = 1024

// A memory is what a connection keeps of the last request that was read in full. The next
// ones are mostly like it, but for the ID and, behind a proxy, for the authorization: then
// comparing is all the reading that they need.
type memory struct {
	rest     []byte // of the request, from behind the ID on
	number   uint64 // of requests that were kept
	query    int    // where in rest the query string ends, and 0 if there is none
	from, to int    // where the value of Authorization stands; equal if there is none
}

// keep remembers a request that was read in full. rest is its text from behind the ID on.
func (r *Request) keep(rest []byte) {
	m := &r.before
	if len(rest) > maxAlike {
		m.rest = m.rest[:0]
		return
	}
	m.rest = append(m.rest[:0], rest...)
	m.number++
	r.QueryNumber = m.number
	m.query, m.from, m.to = 0, 0, 0
	if r.Query != nil {
		m.query = len(suffix) + 1 + len(r.Query)
	}
	if len(r.Authorization) > 0 {
		m.from = cap(rest) - cap(r.Authorization)
		m.to = m.from + len(r.Authorization)
	}
}

// alike reads a request by what is remembered, if it differs from that in nothing but the
// ID and the value of Authorization, which has to be as long.
func (r *Request) alike(rest []byte) bool {
	m := &r.before
	if len(rest) != len(m.rest) || !bytes.Equal(rest[:m.from], m.rest[:m.from]) || !bytes.Equal(rest[m.to:], m.rest[m.to:]) {
		return false
	}
	r.QueryNumber, r.Query, r.Authorization = m.number, nil, rest[m.from:m.to]
	if m.query > 0 {
		r.Query = rest[len(suffix)+1 : m.query]
	}
	return m.from == m.to || isValue(r.Authorization)
}
