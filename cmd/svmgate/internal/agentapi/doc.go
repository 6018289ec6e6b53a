// Package agentapi serves the agent plane: agents ask which SVM to connect to.
//
//	GET  /v1/agents/{biosId}/svm   one question
//	POST /v1/agents/svm            many, one JSON object a line (NDJSON)
//	PUT  /v1/agents/{biosId}/state what an agent tells of itself
//
// Nothing else is served: another path is 404, another method 405.
//
// # What a caller may rely on
//
//   - An agent is never told of the SVM that does not exist because this gateway
//     knows too little: until [Config.Ready] reports true, all answers are 503.
//   - A misspelt question is never answered. Unknown parameters, repeated
//     parameters and values outside their range are 400, and the answer names the
//     parameter. The exceptions are version, os and kind: agents report these of
//     themselves, in words that a later release may know, so a value that can not
//     be read counts as not given.
//   - With authentication, another tenant's VM is as unknown as one that does not
//     exist: same status, same body, same work. TestTenantsSeeOnlyTheirOwn and
//     TestTimeTellsNothing compare them.
//   - A batch is answered line by line in its order. A bad line is answered with
//     its error and stops nobody else's.
//   - A question costs no allocation; TestHandlerDoesNotAllocate watches this.
//   - What an agent tells of its state is taken where agents authenticate, and only
//     there: 204 says that this gateway has it and will act on it, 503 that it did not
//     take it. What agents get, and what they tell, goes to [Config.Feed], from the
//     agent plane alone; it may lose what answers say, since agents ask again.
//
// # Waiting
//
// A question with wait and revision is answered when the revision of its answer is another
// one, or the time is over, up to a tenth of it earlier: so those that began together do
// not end together. The first decision is that of any question, with all that follows from
// it; what is looked at while it waits leaves no trace; and the answer is decided once more,
// from a request that is read once more, when it is sent. A wait costs its connection and
// goroutine, and a microsecond of one goroutine for all after a change. It ends early when
// the gateway stops, takes another table, or the client closes its side. It ends,
// too, when who asked no longer may. No tenant's questions take more than half of the room.
//
// # Bounds
//
// A batch has at most [MaxLines] lines of at most [MaxLineBytes] bytes, and
// [MaxBodyBytes] in all. Its answers are computed while the client reads them,
// so that a slow reader holds the question in memory but never the answers. A state has
// at most [MaxLineBytes] bytes.
package agentapi
