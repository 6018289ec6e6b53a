package agentapi

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/store"
)

// askBatch sends lines through a server and returns the lines of the answer.
func askBatch(t *testing.T, a *API, body string) []string {
	t.Helper()
	res, got := send(t, listen(t, a.Handler), post("/v1/agents/svm", body))
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("got %d %s: %s", res.StatusCode, res.Header.Get("Content-Type"), got)
	}
	if !strings.HasSuffix(got, "\n") {
		t.Fatalf("the last line does not end: %q", got)
	}
	return lines(got)
}

// Good and bad lines in one batch: each gets its own answer, in their order.
func TestBatchWire(t *testing.T) {
	a := newAPI(t, newTable(t), Config{})
	good := func(tenant int) string {
		return `{"biosId":"` + vmOf(tenant) + `",` + served("assigned", tenant)[1:]
	}
	bad := func(biosID, code, detail string) string {
		text, _ := json.Marshal(detail)
		return `{"biosId":"` + biosID + `","error":{"code":"` + code + `","detail":` + string(text) + `}}`
	}
	const wantID = " is not a UUID: want 32 hexadecimal digits, with or without hyphens or braces"
	tests := []struct{ line, want string }{
		{`{"biosId":"` + vmOf(acme) + `"}`, good(acme)},
		{` { "version" : "12.0.1" , "biosId" : "{` + strings.ToUpper(vmOf(acme)) + `}" } ` + "\r", good(acme)},
		{`{"biosId":"` + vmOf(idle) + `"}`, `{"biosId":"` + vmOf(idle) + `","result":"inactive","svms":[{"id":"00000000-0000-0000-0000-000000000000","address":"192.0.2.1"}],"refreshSeconds":N,"revision":R}`},
		{`{"biosId":"` + stranger + `"}`, bad(stranger, "vm_not_registered", unknownVM)},
		{`{"biosId":"` + vmOf(acme) + `","limit":17}`, bad(vmOf(acme), "invalid_parameter", `limit "17": want a number from 1 to 16`)},
		{`{"limit":17,"biosId":"` + vmOf(acme) + `"}`, bad(vmOf(acme), "invalid_parameter", `limit "17": want a number from 1 to 16`)},
		{`{"biosId":"` + vmOf(acme) + `","limit":"3"}`, bad(vmOf(acme), "invalid_parameter", `limit: want a number from 1 to 16`)},
		{`{"biosId":"` + vmOf(acme) + `","failed":"` + svmOf(1) + `"}`, bad(vmOf(acme), "invalid_parameter", `failed: want an array of ids`)},
		{`{"biosId":"` + vmOf(acme) + `","tag":{}}`, bad(vmOf(acme), "invalid_parameter", `tag: want a string`)},
		{`{"biosId":"` + vmOf(acme) + `","protecton":"on"}`, bad(vmOf(acme), "unknown_parameter", `"protecton" is unknown; known are `+paramNames)},
		{`{"biosId":"` + vmOf(acme) + `","wait":"60s"}`, bad(vmOf(acme), "invalid_parameter", `wait is not for lines: a batch is answered at once`)},
		{`{"biosId":"` + vmOf(acme) + `","revision":7}`, bad(vmOf(acme), "invalid_parameter", `revision is not for lines: a batch is answered at once`)},
		{`{"biosId":"nonsense"}`, bad("nonsense", "invalid_id", `biosId "nonsense"`+wantID)},
		{`{"biosId":7}`, bad("", "invalid_parameter", `biosId: want a string`)},
		{`{"version":"12.0"}`, bad("", "invalid_id", `biosId is missing`)},
		{`{"biosId":"` + vmOf(acme) + `"`, bad(vmOf(acme), "invalid_json", `the line ends within its JSON object`)},
		{`hello`, bad("", "invalid_json", `the line is not a JSON object: unexpected "hello"`)},
		{`{"biosId":"` + vmOf(acme) + `","tag":"` + "\x01" + `"}`, bad(vmOf(acme), "invalid_json", `the line is not a JSON object: unexpected "\x01\"}"`)},
		{`[]`, bad("", "invalid_json", `the line is not a JSON object: unexpected "[]"`)},
		{`{"biosId":"` + vmOf(acme) + `"}{}`, bad(vmOf(acme), "invalid_json", `the line is not a JSON object: unexpected "{}"`)},
		{"{\"biosId\":\"\xff\"}", bad("�", "invalid_json", `the line is not UTF-8`)},
		{`{"biosId":"` + vmOf(acme) + `","tag":"` + strings.Repeat("t", MaxLineBytes) + `"}`, bad("", "line_too_long", `a line is at most 4096 bytes`)},
		{`{"biosId":"` + vmOf(acme) + `","current":null,"failed":["` + svmOf(acme) + `"],"protection":false,"limit":1}`,
			`{"biosId":"` + vmOf(acme) + `","result":"no_svm","svms":[],"refreshSeconds":N,"revision":R}`},
		{`{"b\u0069osId":"` + vmOf(simple) + `","path":"z\u006fne","tag":"\"\\"}`, good(simple)},
	}
	var body strings.Builder
	for _, tt := range tests {
		body.WriteString(tt.line + "\n  \n") // blank lines are nothing
	}
	got := askBatch(t, a, body.String())
	if len(got) != len(tests) {
		t.Fatalf("%d answers to %d lines", len(got), len(tests))
	}
	for i, tt := range tests {
		want := 300
		if strings.Contains(tt.want, "no_svm") {
			want = 30
		}
		if line := normal(t, got[i], want); line != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.line, line, tt.want)
		}
	}
}

func TestBatchBounds(t *testing.T) {
	l := listen(t, newAPI(t, newTable(t), Config{}).Handler)
	line := `{"biosId":"` + vmOf(acme) + `"}` + "\n"
	tests := []struct {
		name   string
		target string
		body   string
		status int
		lines  int
	}{
		{"nothing", "/v1/agents/svm", "", 200, 0},
		{"one line without its end", "/v1/agents/svm", strings.TrimSpace(line), 200, 1},
		{"as many as allowed", "/v1/agents/svm", strings.Repeat(line, MaxLines), 200, MaxLines},
		{"one more", "/v1/agents/svm", strings.Repeat(line, MaxLines+1), 413, 0},
		{"blank lines do not count", "/v1/agents/svm", strings.Repeat(line, MaxLines) + strings.Repeat("\n", 1000), 200, MaxLines},
		{"a query", "/v1/agents/svm?limit=3", line, 400, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := send(t, l, post(tt.target, tt.body))
			if res.StatusCode != tt.status {
				t.Fatalf("got %d, want %d: %.200s", res.StatusCode, tt.status, body)
			}
			if got := strings.Count(body, `"result":"assigned"`); got != tt.lines {
				t.Errorf("%d answers, want %d", got, tt.lines)
			}
		})
	}
}

// Where the server streams bodies, a batch is bounded all the same, whether or
// not its length is announced.
func TestBatchFromStream(t *testing.T) {
	a := newAPI(t, newTable(t), Config{})
	line := `{"biosId":"` + vmOf(acme) + `"}` + "\n"
	huge := strings.Repeat(" ", MaxBodyBytes) + line
	tests := []struct {
		name   string
		body   io.Reader
		length int
		status int
	}{
		{"announced", strings.NewReader(line), len(line), 200},
		{"not announced", strings.NewReader(line), -1, 200},
		{"announced too large", strings.NewReader(huge), len(huge), 413},
		{"too large, not announced", strings.NewReader(huge), -1, 413},
		{"broken off", io.MultiReader(strings.NewReader(line), failing{}), -1, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := new(fasthttp.RequestCtx)
			ctx.Request.Header.SetMethod("POST")
			ctx.Request.SetRequestURI("/v1/agents/svm")
			ctx.Request.SetBodyStream(tt.body, tt.length)
			a.Handler(ctx)
			if got := ctx.Response.StatusCode(); got != tt.status {
				t.Errorf("got %d, want %d", got, tt.status)
			}
			if tt.status != 200 && !ctx.Response.ConnectionClose() {
				t.Error("the connection stays, with the rest of the body in it")
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// However the answers are read, they are the same: by Read in pieces of any
// size, or by WriteTo; and a reader that gives up leaves nothing behind.
func TestBatchReaders(t *testing.T) {
	a := newAPI(t, newTable(t), Config{})
	var body strings.Builder
	for i := range 500 {
		fmt.Fprintf(&body, `{"biosId":"%s"}`+"\n", vmOf(acme+i%open))
	}
	answers := func() *batch {
		ctx := call(a.Handler, "POST", "/v1/agents/svm", body.String())
		return ctx.Response.BodyStream().(*batch)
	}
	var want bytes.Buffer
	n, err := answers().WriteTo(&want)
	if err != nil || int(n) != want.Len() || want.Len() < 2*chunkBytes {
		t.Fatalf("WriteTo = %d, %v, wrote %d", n, err, want.Len())
	}
	for _, size := range []int{1, 7, 4096, 1 << 20} {
		b := answers()
		var got []byte
		buf := make([]byte, size)
		for {
			n, err := b.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if n == 0 || err != nil {
				t.Fatalf("Read = %d, %v", n, err)
			}
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("in pieces of %d: %d bytes, want %d", size, len(got), want.Len())
		}
		b.Close()
		b.Close()
		if n, err := b.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("Read after Close = %d, %v", n, err)
		}
	}
}

// The end of a string is found where it is, whatever stands before and behind it.
func TestMarksAreFound(t *testing.T) {
	isMark := func(b byte) bool { return b == '"' || b == '\\' || b < ' ' }
	for range 1000 {
		text := make([]byte, 8)
		for i := range text {
			text[i] = []byte{'"', '\\', 0x1f, ' ', '!', '#', '[', ']', 'a', 0, 0x7f, 0x80, 0xa2, 0xdc, 0xff}[rand.IntN(15)]
		}
		for i, was := range text {
			for b := range 256 {
				text[i] = byte(b)
				got := bits.TrailingZeros64(marksIn(binary.LittleEndian.Uint64(text))) / 8
				want := slices.IndexFunc(text, isMark)
				if want < 0 {
					want = len(text)
				}
				if got != want {
					t.Fatalf("the first mark of %q is at %d, want %d", text, got, want)
				}
			}
			text[i] = was
		}
	}
}

// FuzzBatch holds the reader of lines to one built on encoding/json, and checks
// that a batch of any bytes has one JSON answer for each line.
func FuzzBatch(f *testing.F) {
	bios := `"biosId":"` + vmOf(acme) + `"`
	for _, seed := range []string{
		`{` + bios + `}`,
		`{` + bios + `,"version":"12.0","os":"server","kind":"linux","current":"` + svmOf(1) + `","failed":["` + svmOf(2) + `"],"limit":3}`,
		`{` + bios + `,"tag":"a\u0041\"","protection":true,"algorithm":"extended","path":"zone","biosIdOrder":"swapped"}`,
		`{` + bios + `,"tag":null,"failed":[],"limit":16}` + "\n\r\n" + `{` + bios + `,"limit":1e0}`,
		`{"biosId":"x","y":[{}]}`, `{"biosId":1}`, `{,}`, `{"a`, `{"\u00`, "\xff", `{}{}`, `null`, ` `, `{"failed":["a",]}`,
		`{` + bios + `,"tag":"\ud800"}`, `{` + bios + `,` + bios + `}`, `{` + bios + `,"biosIdOrder":null}`,
		`{` + bios + `,"tag":"a` + "\t" + `b"}`, `{` + bios + `,"tag":"\u00` + "\t" + `41"}`,
	} {
		f.Add([]byte(seed))
	}
	s := new(scratch)
	a := newAPI(f, newTable(f), Config{})
	f.Fuzz(func(t *testing.T, body []byte) {
		body = body[:min(len(body), 3*MaxLineBytes)]
		asked := 0
		for rest := body; len(rest) > 0; {
			var line []byte
			if line, rest = cutLine(rest); len(line) == 0 {
				continue
			}
			asked++
			if len(line) > MaxLineBytes {
				continue
			}
			bad := s.readLine(line, store.BIOSID{})
			want, err := slowLine(string(line))
			if (bad == nil) != (err == nil) {
				t.Fatalf("%q: fast %+v, slow %v", line, bad, err)
			}
			if diff := sameQuery(want, s.query); bad == nil && diff != "" {
				t.Fatalf("%q (-slow +fast):\n%s", line, diff)
			}
			slowly := s.query
			if again := s.readLine(line, plainID(line)); !reflect.DeepEqual(again, bad) {
				t.Fatalf("%q: %+v, with its plain start %+v", line, bad, again)
			}
			if diff := sameQuery(slowly, s.query); diff != "" {
				t.Fatalf("%q (-slow +with its plain start):\n%s", line, diff)
			}
		}
		ctx := call(a.Handler, "POST", "/v1/agents/svm", string(body))
		answer := string(ctx.Response.Body())
		if got := strings.Count(answer, "\n"); got != asked {
			t.Fatalf("%d answers to %d lines of %q", got, asked, body)
		}
		for _, line := range lines(answer) {
			if asked > 0 && !json.Valid([]byte(line)) {
				t.Fatalf("%q is answered with %q, which is not JSON", body, line)
			}
		}
	})
}
