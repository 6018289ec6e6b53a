package ksctest

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Kind is what goes wrong with a call.
type Kind int

// Kinds of faults.
const (
	DropBefore   Kind = iota // the connection is closed, the call not handled
	DropAfter                // handled, but not answered: the connection is closed
	DropAction               // answered; the next call on the connection closes it, so an action that this one began is lost
	CloseAfter               // answered, and the connection closed after that
	Late                     // handled, answered after Delay
	LateHandling             // handled after Delay, whether its caller still waits or not
	Refuse                   // not handled: PxgError, with Module, Code and Words
	Expire                   // not handled: the session has ended, HTTP status 403
	Busy                     // not handled: HTTP status 503
	BusyAfter                // handled, HTTP status 503
	Garbage                  // handled, the answer is no JSON
	Empty                    // handled, the answer is {}
	Cut                      // handled, the answer ends in the middle
	Huge                     // handled, the answer has 5 MiB

	Kinds // how many there are
)

var kindNames = [Kinds]string{
	"DropBefore", "DropAfter", "DropAction", "CloseAfter", "Late", "LateHandling", "Refuse", "Expire", "Busy", "BusyAfter",
	"Garbage", "Empty", "Cut", "Huge",
}

// String returns the name of the constant.
func (k Kind) String() string {
	if k < 0 || k >= Kinds {
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// A Fault makes calls go wrong.
type Fault struct {
	Method string // such as "VServers.AddVServerInfo"; empty: any
	Call   int    // the how manieth call of Method, or of all, since Start, from 1; 0: every one
	Kind   Kind

	Delay  time.Duration // of Late and LateHandling
	Module string        // of Refuse; empty: KLSTD
	Code   int           // of Refuse; 0: 1193, not permitted
	Words  string        // of Refuse: the message
}

// A failure is PxgError.
type failure struct {
	Code    int    `json:"code"`
	Subcode int    `json:"subcode"`
	Module  string `json:"module"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"`
}

func fail(module string, code int, message string) *failure {
	return &failure{Code: code, Module: module, File: "ksctest", Message: message}
}

// Refusals, with codes of Some error definitions where it has them.
func notFound(what string) *failure     { return fail("KLSTD", 1186, what+" not found") }
func badFormat(message string) *failure { return fail("KLSTD", 1192, message) }

// maxBody bounds a request.
const maxBody = 1 << 20

// ServeHTTP handles one call.
func (k *KSC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn) // connected put it there
	method := strings.TrimPrefix(r.URL.Path, "/api/v1.0/")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	n, fault, hook := k.begin(method, c)
	defer k.end()
	tell := func(when string) {
		if hook != nil {
			hook(n, method, when)
		}
	}
	tell("before")
	if fault != nil && k.spoil(w, r, c, *fault) {
		return
	}
	status, answer := k.handle(c, r, method, body)
	tell("after")
	if fault != nil {
		status, answer = k.spoilAnswer(w, r, c, *fault, status, answer)
	}
	reply(w, status, answer)
}

// begin counts a call, and finds what shall go wrong with it.
func (k *KSC) begin(method string, c *conn) (n int, fault *Fault, hook func(int, string, string)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy++
	k.calls = append(k.calls, method)
	k.counts[method]++
	n = len(k.calls)
	if c.doomed {
		return n, &Fault{Kind: DropBefore}, k.onCall
	}
	for i, f := range k.faults {
		count := n
		if f.Method != "" {
			count = k.counts[method]
		}
		if (f.Method == "" || f.Method == method) && (f.Call == 0 || f.Call == count) {
			return n, &k.faults[i], k.onCall
		}
	}
	return n, nil, k.onCall
}

func (k *KSC) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy--; k.busy == 0 {
		k.calm.Broadcast()
	}
}

// spoil does what a fault does before a call is handled, and reports whether that was all.
func (k *KSC) spoil(w http.ResponseWriter, r *http.Request, c *conn, f Fault) bool {
	switch f.Kind {
	case DropBefore:
		k.drop(c)
	case LateHandling:
		select {
		case <-time.After(f.Delay):
		case <-k.closed.Done():
		}
	case Refuse:
		no := fail(cmp.Or(f.Module, "KLSTD"), cmp.Or(f.Code, 1193), cmp.Or(f.Words, "refused, for a test"))
		reply(w, http.StatusOK, mustJSON(map[string]any{"PxgError": no}))
		return true
	case Busy:
		reply(w, http.StatusServiceUnavailable, nil)
		return true
	case Expire:
		k.mu.Lock()
		delete(k.sessions, r.Header.Get("X-KSC-Session"))
		k.mu.Unlock()
	default: // after the call
	}
	return false
}

// spoilAnswer does what a fault does after a call was handled.
func (k *KSC) spoilAnswer(w http.ResponseWriter, r *http.Request, c *conn, f Fault, status int, answer []byte) (int, []byte) {
	switch f.Kind {
	case DropAfter:
		k.drop(c)
	case DropAction:
		k.mu.Lock()
		c.doomed = true
		k.mu.Unlock()
	case CloseAfter:
		k.mu.Lock()
		c.lost = true
		k.mu.Unlock()
		w.Header().Set("Connection", "close")
	case Late:
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		case <-k.closed.Done():
		}
	case BusyAfter:
		return http.StatusServiceUnavailable, nil
	case Garbage:
		return status, []byte("<html>Bad day</html>")
	case Empty:
		return status, []byte("{}")
	case Cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		_, _ = w.Write(answer[:len(answer)/2])
		k.drop(c)
	case Huge:
		return status, mustJSON(map[string]any{"PxgRetVal": strings.Repeat("x", 5<<20)})
	default: // before the call
	}
	return status, answer
}

// drop closes the connection of the call that is under way.
func (k *KSC) drop(c *conn) {
	k.mu.Lock()
	c.lost = true
	k.mu.Unlock()
	panic(http.ErrAbortHandler) // net/http's way to close a connection at once
}

func reply(w http.ResponseWriter, status int, answer []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // who no longer listens is not told
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	return b
}
