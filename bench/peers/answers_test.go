package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// The reader of answers wants of what net/http writes every byte, however many have come,
// and not one more.
func TestAnswersAsNetHTTPWritesThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	const letters = "\r\n :;a{}\"7"
	text := func() string {
		b := make([]byte, random.IntN(200))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	for range 200 {
		body, header := "content-length: 7\r\n\r\n"+text(), http.Header{"A": {text()}, "Content-Type": {text()}, "Zone": {text()}}
		res := http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: header,
			ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		}
		var whole bytes.Buffer
		if err := res.Write(&whole); err != nil {
			t.Fatal(err)
		}
		answered := httpAnswer(func(got []byte) bool { return string(got) == body })
		for n := range whole.Len() {
			if used, err := answered(whole.Bytes()[:n]); used != 0 || err != nil {
				t.Fatalf("the first %d bytes of %q: %d, %v; want to wait", n, whole.Bytes(), used, err)
			}
		}
		if used, err := answered(append(whole.Bytes(), "HTTP/1.1 500"...)); used != whole.Len() || err != nil {
			t.Fatalf("%q: %d, %v; want %d", whole.Bytes(), used, err, whole.Len())
		}
	}
}

func TestWrongAnswers(t *testing.T) {
	web, redis, dns := httpAnswer(isSize(3)), respAnswer(3), dnsAnswer(3)
	for _, tt := range []struct {
		name     string
		answered func([]byte) (int, error)
		answer   string
		want     string // of the error; empty: none
	}{
		{"the right body", web, "HTTP/1.1 200 OK\r\nDate: x\r\ncontent-LENGTH:  3\r\n\r\nabc", ""},
		{"another status", web, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", "status 200"},
		{"another body", web, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", "of 4 bytes"},
		{"no length", web, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", "Content-Length"},
		{"a length that is none", web, "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "Content-Length"},
		{"a length beyond all bounds", web, "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\nabc", "want a Content-Length"},
		{"a value", redis, "$3\r\nabc\r\n", ""},
		{"no such key", redis, "$-1\r\n", "3 bytes"},
		{"a record", dns, "\x00\x01\x81\x00\x00\x01\x00\x01\x00\x00\x00\x00abc", ""},
		{"no such name", dns, "\x00\x01\x81\x03\x00\x01\x00\x00\x00\x01\x00\x00abc", "code 3"},
		{"a name without records", dns, "\x00\x01\x81\x00\x00\x01\x00\x00\x00\x01\x00\x00abc", "without a record"},
		{"truncated", dns, "\x00\x01\x83\x00\x00\x01\x00\x01\x00\x00\x00\x00abc", "truncated: true"},
		{"the question again", dns, "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00abc", "no answer"},
	} {
		n, err := tt.answered([]byte(tt.answer))
		if tt.want == "" && (n != len(tt.answer) || err != nil) {
			t.Errorf("%s: %d, %v; want %d", tt.name, n, err, len(tt.answer))
		}
		if tt.want != "" && !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: %d, %v; want %q", tt.name, n, err, tt.want)
		}
	}
}

func TestAGatewaysAnswer(t *testing.T) {
	svms := strings.Repeat(`{"id":"x","address":"10.9.0.1"},`, limit)
	for body, want := range map[string]bool{
		`{"result":"assigned","svms":[` + svms + `]}`:                           true,
		`{"result":"inactive","svms":[` + svms + `]}`:                           false,
		`{"result":"assigned","svms":[{"id":"x","address":"10.9.0.1"}]}`:        false,
		`{"type":"about:blank","title":"Not Found","result":"assigned" ` + svms: false,
	} {
		if got := isAssigned([]byte(body)); got != want {
			t.Errorf("isAssigned(%s) = %t", body, got)
		}
	}
}
