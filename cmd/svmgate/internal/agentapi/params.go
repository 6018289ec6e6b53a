package agentapi

import (
	"bytes"
	"unicode/utf8"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// maxTag bounds a tag, in bytes: no SVM lists a longer one.
const maxTag = 128

// A param is a parameter of a question. The same names are the fields of a
// batch's lines.
type param uint8

const (
	paramUnknown param = iota
	paramBIOSID        // in lines only; otherwise it stands in the path
	paramVersion
	paramOS
	paramKind
	paramCurrent
	paramFailed
	paramLimit
	paramTag
	paramProtection
	paramAlgorithm
	paramPath
	paramBIOSIDOrder
	paramWait
	paramRevision
)

const paramNames = "version, os, kind, current, failed, limit, tag, protection, algorithm, path, biosIdOrder, wait and revision"

func paramOf(name []byte) param {
	switch string(name) {
	case "biosId":
		return paramBIOSID
	case "version":
		return paramVersion
	case "os":
		return paramOS
	case "kind":
		return paramKind
	case "current":
		return paramCurrent
	case "failed":
		return paramFailed
	case "limit":
		return paramLimit
	case "tag":
		return paramTag
	case "protection":
		return paramProtection
	case "algorithm":
		return paramAlgorithm
	case "path":
		return paramPath
	case "biosIdOrder":
		return paramBIOSIDOrder
	case "wait":
		return paramWait
	case "revision":
		return paramRevision
	}
	return paramUnknown
}

// clear forgets the previous question.
func (s *scratch) clear() {
	s.query = discovery.Query{Tenant: s.asker.tenant, Authenticated: s.asker.authenticated}
	s.bios, s.swapped, s.seen = store.BIOSID{}, false, 0
	s.text = s.text[:0]
}

// readQuestion reads the text in the place of the BIOS ID and the query string
// into s.query.
func (s *scratch) readQuestion(id, query []byte) *refusal {
	s.clear()
	text, ok := s.unescape(id, false)
	if !ok || !s.setBIOS(text) {
		return badBIOS(id)
	}
	if bad := s.readQuery(query); bad != nil {
		return bad
	}
	s.finish()
	return nil
}

// Classes of bytes of a query string.
const (
	plain   = iota
	equals  // ends a name
	special // is decoded, or refused
	and     // ends a parameter
)

var classes = [256]uint8{'=': equals, '%': special, '+': special, ';': special, '&': and}

// readQuery reads all parameters of a query string, in one pass over its bytes.
func (s *scratch) readQuery(query []byte) *refusal {
	start, name, odd := 0, -1, false // of one parameter: its start, the end of its name, whether a byte is special
	for i := 0; i <= len(query); i++ {
		if i < len(query) {
			switch classes[query[i]] {
			case plain:
				continue
			case equals:
				if name < 0 {
					name = i
				}
				continue
			case special:
				odd = true
				continue
			}
		}
		if i > start {
			rawName, rawValue := query[start:i], query[i:i]
			if name >= 0 {
				rawName, rawValue = query[start:name], query[name+1:i]
			}
			if bad := s.readPair(rawName, rawValue, odd); bad != nil {
				return bad
			}
		}
		start, name, odd = i+1, -1, false
	}
	return nil
}

// readPair reads one parameter, which is encoded if odd.
func (s *scratch) readPair(name, value []byte, odd bool) *refusal {
	if odd {
		rawName, rawValue := name, value
		var ok, ok2 bool
		name, ok = s.unescape(rawName, true)
		value, ok2 = s.unescape(rawValue, true)
		if !ok || !ok2 || bytes.IndexByte(rawName, ';') >= 0 || bytes.IndexByte(rawValue, ';') >= 0 {
			return &refusal{400, "invalid_parameter", quote(rawName) + " with value " + quote(rawValue) +
				": want name=value, percent-encoded, with & between parameters"}
		}
	}
	p, bad := s.admit(name)
	if bad == nil && p == paramBIOSID {
		bad = &refusal{400, "unknown_parameter", "biosId is part of the path, not of the query"}
	}
	if bad != nil {
		return bad
	}
	return s.set(p, value)
}

// admit finds a parameter by its name. Each may be given once.
func (s *scratch) admit(name []byte) (param, *refusal) {
	p := paramOf(name)
	switch {
	case p == paramUnknown:
		return p, &refusal{400, "unknown_parameter", quote(name) + " is unknown; known are " + paramNames}
	case s.seen&(1<<p) != 0:
		return p, &refusal{400, "invalid_parameter", string(name) + " is given twice"}
	}
	s.seen |= 1 << p
	return p, nil
}

// set reads the text of one parameter into s.query. Text may point into the
// request, or into s.text.
func (s *scratch) set(p param, text []byte) *refusal {
	q := &s.query
	switch p {
	case paramBIOSID:
		if !s.setBIOS(text) {
			return badBIOS(text)
		}
	case paramVersion:
		q.Version, _ = store.ParseProductVersion(text) // what can not be read is not told
	case paramOS:
		q.OS = guestOS(text)
	case paramKind:
		q.Kind = agentKind(text)
	case paramCurrent:
		if len(text) == 0 {
			return nil // connected to none
		}
		id, err := store.ParseSVMID(text)
		if err != nil {
			return badValue("current", text, "the id of an SVM (a UUID)")
		}
		q.Current = id
	case paramFailed:
		return s.setFailed(text)
	case paramLimit:
		n, ok := smallNumber(text)
		if !ok {
			return badValue("limit", text, "a number from 1 to 16")
		}
		q.Limit = n
	case paramWait, paramRevision:
		return s.setPatience(p, text)
	case paramTag:
		if len(text) > maxTag || !utf8.Valid(text) {
			return badValue("tag", text, "at most 128 bytes of UTF-8")
		}
		q.Tag = discovery.Some(text)
	default:
		return s.setWord(p, text)
	}
	return nil
}

// setWord reads a parameter that is one of a few words.
func (s *scratch) setWord(p param, text []byte) *refusal {
	q := &s.query
	switch p {
	case paramProtection:
		switch string(text) {
		case "on":
			q.Protection = discovery.Some(true)
		case "off":
			q.Protection = discovery.Some(false)
		default:
			return badValue("protection", text, "on or off")
		}
	case paramAlgorithm:
		switch string(text) {
		case "standard":
			q.Algorithm = discovery.Some(store.Standard)
		case "extended":
			q.Algorithm = discovery.Some(store.Extended)
		default:
			return badValue("algorithm", text, "standard or extended")
		}
	case paramPath:
		level, ok := pathLevel(text)
		if !ok {
			return badValue("path", text, "host, cluster, zone or ignore")
		}
		q.Path = discovery.Some(level)
	case paramBIOSIDOrder:
		if string(text) != "swapped" {
			return badValue("biosIdOrder", text, "swapped, or leave it out")
		}
		s.swapped = true
	}
	return nil
}

// setBIOS reads the id in the order of its text; finish swaps it where asked to.
func (s *scratch) setBIOS(text []byte) bool {
	id, err := store.ParseBIOSID(text)
	s.bios = id
	return err == nil
}

func badBIOS(text []byte) *refusal {
	return &refusal{400, "invalid_id", "biosId " + quote(text) +
		" is not a UUID: want 32 hexadecimal digits, with or without hyphens or braces"}
}

// setFailed reads ids separated by commas; empty text is none.
func (s *scratch) setFailed(text []byte) *refusal {
	for len(text) > 0 {
		one := text
		if i := bytes.IndexByte(text, ','); i >= 0 {
			one, text = text[:i], text[i+1:]
			if len(text) == 0 {
				return badFailed(nil)
			}
		} else {
			text = nil
		}
		if bad := s.addFailed(one); bad != nil {
			return bad
		}
	}
	return nil
}

func (s *scratch) addFailed(text []byte) *refusal {
	id, err := store.ParseSVMID(text)
	if err != nil {
		return badFailed(text)
	}
	n := len(s.query.Failed)
	if n == len(s.failed) {
		return &refusal{400, "invalid_parameter", "failed has more than 16 ids: name those that failed last"}
	}
	s.failed[n] = id
	s.query.Failed = s.failed[:n+1]
	return nil
}

func badFailed(text []byte) *refusal {
	return badValue("failed", text, "up to 16 ids of SVMs (UUIDs), separated by commas")
}

// finish does what depends on more than one parameter.
func (s *scratch) finish() {
	s.query.BIOS = s.bios
	if s.swapped {
		s.query.BIOS = s.bios.Swapped()
	}
}

// smallNumber reads 1 to 16, written without sign or leading zeros.
func smallNumber(text []byte) (int, bool) {
	switch {
	case len(text) == 1 && text[0] >= '1' && text[0] <= '9':
		return int(text[0] - '0'), true
	case len(text) == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '6':
		return 10 + int(text[1]-'0'), true
	}
	return 0, false
}

func guestOS(text []byte) store.GuestOS {
	switch string(text) {
	case "server":
		return store.OSServer
	case "desktop":
		return store.OSDesktop
	}
	return store.OSUnknown
}

func agentKind(text []byte) store.AgentKind {
	switch string(text) {
	case "linux":
		return store.AgentLinux
	case "windows":
		return store.AgentWindows
	}
	return store.AgentUnknown
}

func pathLevel(text []byte) (store.PathLevel, bool) {
	switch string(text) {
	case "host":
		return store.PathHost, true
	case "cluster":
		return store.PathCluster, true
	case "zone":
		return store.PathZone, true
	case "ignore":
		return store.PathIgnore, true
	}
	return 0, false
}
