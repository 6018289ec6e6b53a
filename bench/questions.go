package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"

	"github.com/svmgate/svmgate/store"
)

// questions writes requests to the agent plane. It is shared and does not change.
type questions struct {
	agents []store.BIOSID
	token  func(i int) string
	lines  int // of a batch
	groups map[string][]int32

	get, post string // what requests begin with
	ask, poll string // what follows the agent, up to the host
	tail      string // the host
	fields    string // of a line of a batch, behind the agent
}

func newQuestions(c *Config, d *dialer) (*questions, error) {
	q := &questions{agents: c.Agents, token: c.Token, lines: c.BatchLines}
	q.get, q.post = "GET "+d.path+"/v1/agents/", "POST "+d.path+"/v1/agents/svm HTTP/1.1\r\n"
	q.ask, q.poll = "/svm", "/svm?wait="+strconv.FormatFloat(c.PollWait.Seconds(), 'f', -1, 64)+"s"
	if strings.ContainsAny(c.Query, " \r\n#") {
		return nil, fmt.Errorf("bench: Query %q must be percent-encoded", c.Query)
	}
	if c.Query != "" {
		q.ask, q.poll = q.ask+"?"+c.Query, q.poll+"&"+c.Query
	}
	q.tail = " HTTP/1.1\r\nHost: " + d.host + "\r\n"
	if c.Mix[Batch] > 0 {
		var err error
		if q.fields, err = batchFields(c.Query); err != nil {
			return nil, err
		}
		q.group()
	}
	return q, nil
}

// batchFields returns parameters of a question as keys of a line.
func batchFields(query string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", fmt.Errorf("bench: Query %q: %w", query, err)
	}
	fields := map[string]any{}
	for name, v := range values {
		switch {
		case len(v) > 1:
			return "", fmt.Errorf("bench: Query: %s is there twice", name)
		case name == "limit":
			n, err := strconv.Atoi(v[0])
			if err != nil {
				return "", errors.New("bench: Query: limit must be a number")
			}
			fields[name] = n
		case name == "failed":
			fields[name] = strings.Split(v[0], ",")
		default:
			fields[name] = v[0]
		}
	}
	text, err := json.Marshal(fields)
	if err != nil || len(fields) == 0 {
		return "}", err
	}
	return "," + string(text[1:]), nil
}

// group sorts agents by their token: one batch shows one.
func (q *questions) group() {
	if q.token == nil {
		return
	}
	q.groups = map[string][]int32{}
	for i := range q.agents {
		token := q.token(i)
		q.groups[token] = append(q.groups[token], int32(i))
	}
}

// appendAsk appends a question of an agent, with a revision if it waits for
// another answer than that.
func (q *questions) appendAsk(to []byte, agent int, kind Kind, revision string) []byte {
	to = store.AppendID(append(to, q.get...), q.agents[agent])
	switch {
	case kind == Poll && revision != "":
		to = append(append(append(to, q.poll...), "&revision="...), revision...)
	default:
		to = append(to, q.ask...)
	}
	return append(q.authorize(append(to, q.tail...), agent), "\r\n"...)
}

func (q *questions) authorize(to []byte, agent int) []byte {
	if q.token == nil {
		return to
	}
	return append(append(append(to, "Authorization: Bearer "...), q.token(agent)...), "\r\n"...)
}

// appendBatch appends the questions of many agents, all of one token. body is
// used for them, and returned for the next time.
func (q *questions) appendBatch(to, body []byte, random *rand.Rand) (request, rest []byte) {
	first := random.IntN(len(q.agents))
	pick := func() int { return random.IntN(len(q.agents)) }
	if q.groups != nil {
		same := q.groups[q.token(first)]
		pick = func() int { return int(same[random.IntN(len(same))]) }
	}
	body = body[:0]
	for range q.lines {
		body = append(store.AppendID(append(body, `{"biosId":"`...), q.agents[pick()]), '"')
		body = append(append(body, q.fields...), '\n')
	}
	to = append(append(to, q.post...), q.tail[len(" HTTP/1.1\r\n"):]...)
	to = append(q.authorize(to, first), "Content-Type: application/x-ndjson\r\nContent-Length: "...)
	to = append(strconv.AppendInt(to, int64(len(body)), 10), "\r\n\r\n"...)
	return append(to, body...), body
}

// revisionOf finds the revision in an answer, "" if there is none.
func revisionOf(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`"revision":`))
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	return string(rest[:end])
}
