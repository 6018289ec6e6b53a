package agentapi

import (
	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/express"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
	"github.com/svmgate/svmgate/discovery"
)

// quickly are the parameters of questions that [API.Express] answers.
const quickly = 1<<paramVersion | 1<<paramOS | 1<<paramKind | 1<<paramCurrent | 1<<paramFailed | 1<<paramLimit |
	1<<paramTag | 1<<paramProtection | 1<<paramAlgorithm | 1<<paramPath | 1<<paramBIOSIDOrder

// Express is an [express.Answer]: it answers a question as [API.Handler] does, with the
// same words, or leaves it to that. It keeps the invariants of serve. It leaves alone
// what is not decided from the table: what can not be read, and who is not let in.
func (a *API) Express(dst []byte, r *express.Request) (answer []byte, status int) {
	p := &a.agents
	if p.auth == MTLS || !a.ready() {
		return nil, 0
	}
	s := a.scratch.Get().(*scratch)
	if s.readRequest(r) {
		if p.auth != None {
			p.prefetch(&s.query.BIOS) // it comes while the asker is looked at
		}
		if a.let(p.auth, r.Authorization, &s.asker) {
			s.query.Tenant, s.query.Authenticated = s.asker.tenant, s.asker.authenticated
			answer, status = p.express(dst, r, s)
		}
	}
	a.release(s)
	return answer, status
}

// lasting are those whose values do not point into the request.
const lasting = quickly &^ (1<<paramFailed | 1<<paramTag)

// A noted is what a query string was read as. Agents, and proxies before them, ask with the
// same one again and again.
type noted struct {
	number  uint64 // by which the connection knows the query string
	query   discovery.Query
	seen    uint16
	swapped bool
}

// readRequest reads a question into s.query, and reports whether [API.Express] answers it.
func (s *scratch) readRequest(r *express.Request) bool {
	n, _ := r.Note.(*noted)
	if n != nil && n.number == r.QueryNumber {
		s.query, s.seen, s.swapped = n.query, n.seen, n.swapped
		if !s.setBIOS(r.ID) {
			return false
		}
		s.finish()
		return true
	}
	if s.readQuestion(r.ID, r.Query) != nil || s.seen&^quickly != 0 {
		return false
	}
	if r.QueryNumber != 0 && s.seen&^lasting == 0 {
		if n == nil {
			n = new(noted)
			r.Note = n
		}
		*n = noted{r.QueryNumber, s.query, s.seen, s.swapped}
	}
	return true
}

// express decides the question of s. From here on it is counted, and must be answered.
func (p *plane) express(dst []byte, r *express.Request, s *scratch) (answer []byte, status int) {
	p.decide(&s.query, &s.answer)
	p.metrics.count(s.shard, outcome(s.answer.Result))
	refused := express.Reply{ContentType: problem.ContentType}
	switch s.answer.Result {
	case discovery.NotRegistered:
		refused.Status = notRegistered.status
		return r.Append(dst, refused, notRegistered.body), refused.Status
	case discovery.Later:
		refused.Status, refused.RetryAfter = tooMany.status, s.answer.RefreshSeconds
		return r.Append(dst, refused, tooMany.body), refused.Status
	}
	p.note(s)
	s.buf = s.answer.AppendJSON(s.buf[:0])
	return r.Append(dst, express.Reply{Status: fasthttp.StatusOK, ContentType: "application/json"}, s.buf), fasthttp.StatusOK
}
