package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unknown is a VM that nobody has registered.
const unknown = "00000000-1111-4111-8111-000000000000"

// hidden is a request that is to be smuggled: its answer, 200, is unlike that of the
// victims, who ask for a VM that is not registered.
var hidden = "GET /v1/agents/" + vms[0] + "/svm HTTP/1.1\r\nHost: a\r\n\r\n"

// framed returns a request with two opinions of where it ends: the header says one, and
// the body is the empty chunk with the hidden request behind it.
func framed(header string) string {
	return "POST /v1/agents/svm HTTP/1.1\r\nHost: a\r\n" + header + "\r\n\r\n0\r\n\r\n" + hidden
}

func whole(header string) string {
	return framed("Content-Length: " + strconv.Itoa(len("0\r\n\r\n"+hidden)) + "\r\n" + header)
}

// chunks returns a request whose body is in chunks, in these words, and the hidden one.
func chunks(body string) string {
	return "POST /v1/agents/svm HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + hidden
}

// get returns a question with more header lines, and the hidden request.
func get(lines string) string {
	return "GET /v1/agents/" + unknown + "/svm HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n" + hidden
}

// attempts are ways to make two programs disagree on where a request ends.
var attempts = map[string]string{
	"length and chunks":              whole("Transfer-Encoding: chunked"),
	"chunks and length":              framed("Transfer-Encoding: chunked\r\nContent-Length: 5"),
	"chunks and a length that ends":  framed("Transfer-Encoding: chunked\r\nContent-Length: 0"),
	"encoding twice":                 whole("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
	"encoding twice, other order":    whole("Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
	"encoding that is none":          whole("Transfer-Encoding: xchunked"),
	"encoding, identity":             whole("Transfer-Encoding: identity"),
	"encodings, chunked last":        whole("Transfer-Encoding: identity, chunked"),
	"encodings, chunked first":       whole("Transfer-Encoding: chunked, identity"),
	"encoding in capitals":           whole("TRANSFER-ENCODING: CHUNKED"),
	"encoding behind a tab":          whole("Transfer-Encoding:\tchunked"),
	"encoding behind a vertical tab": whole("Transfer-Encoding: \vchunked"),
	"encoding and a space":           whole("Transfer-Encoding: chunked "),
	"encoding, space in front":       whole(" Transfer-Encoding: chunked"),
	"encoding, space at the colon":   whole("Transfer-Encoding : chunked"),
	"encoding, folded":               whole("Transfer-Encoding:\r\n chunked"),
	"encoding behind a line feed":    whole("X: y\nTransfer-Encoding: chunked"),
	"encoding behind a return":       whole("X: y\rTransfer-Encoding: chunked"),
	"encoding with a NUL":            whole("Transfer-Encoding: chun\x00ked"),
	"encoding in quotes":             whole("Transfer-Encoding: \"chunked\""),
	"encoding with an underscore":    whole("Transfer_Encoding: chunked"),
	"encoding, to be dropped":        whole("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked"),
	"length, to be dropped":          framed("Connection: Content-Length\r\nContent-Length: " + strconv.Itoa(len(hidden)+5)),
	"length twice":                   framed("Content-Length: 5\r\nContent-Length: " + strconv.Itoa(len(hidden)+5)),
	"length as a list":               framed("Content-Length: 5, " + strconv.Itoa(len(hidden)+5)),
	"length with a sign":             framed("Content-Length: +5"),
	"length below zero":              framed("Content-Length: -5"),
	"length in hexadecimal":          framed("Content-Length: 0x5"),
	"length beyond 64 bits":          framed("Content-Length: 18446744073709551621"),
	"length, space at the colon":     framed("Content-Length : 5"),
	"length with a space within":     framed("Content-Length: 5 5"),
	"GET with a length":              get("Content-Length: " + strconv.Itoa(len(hidden)) + "\r\n"),
	"GET with chunks":                get("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + hidden,
	"HEAD with a length":             strings.Replace(get("Content-Length: "+strconv.Itoa(len(hidden))+"\r\n"), "GET", "HEAD", 1),
	"chunk in hexadecimal of C":      chunks("0x0\r\n\r\n"),
	"chunk with a sign":              chunks("+0\r\n\r\n"),
	"chunk beyond 64 bits":           chunks("10000000000000000\r\n\r\n"),
	"chunk extension, line feed":     chunks("1;x\n\r\na\r\n0\r\n\r\n"),
	"chunk without its end":          chunks("1\r\nab0\r\n\r\n"),
	"chunks by line feeds":           chunks("1\na\n0\n\n"),
	"trailer with a length":          chunks("0\r\nContent-Length: 50\r\n\r\n"),
	"chunks in HTTP/1.0":             strings.Replace(chunks("0\r\n\r\n"), "HTTP/1.1", "HTTP/1.0", 1),
	"HTTP/0.9":                       "GET /v1/agents/" + unknown + "/svm\r\n\r\n" + hidden,
	"two hosts":                      get("Host: b\r\n"),
	"host in the target":             strings.Replace(get(""), "GET /", "GET http://b/", 1),
	"line feeds for ends":            strings.ReplaceAll(get(""), "\r\n", "\n"),
	"end in the path":                strings.Replace(get(""), unknown, unknown+"%0d%0a%0d%0a", 1),
	"expects to go on":               whole("Expect: 100-continue"),
	"upgrade to HTTP/2":              get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
}

// No proxy and gateway disagree on where a request ends: the gateways answer as many as
// the proxy has sent on, and nobody else gets the answer to a hidden request.
func TestSmuggling(t *testing.T) {
	for _, p := range through(t) {
		t.Run(p.name, func(t *testing.T) {
			for name, raw := range attempts {
				before, sent := answered(t), counts[p.name](t)
				_ = exchange(t, p.addr, raw)
				for range 2 {
					if got := exchange(t, p.addr, "GET /v1/agents/"+unknown+"/svm HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0] != 404 {
						t.Errorf("%s: a victim got %v", name, got)
					}
				}
				// The gateways may still be counting what they have answered.
				err := until(func() error {
					if n, m := answered(t)-before, counts[p.name](t)-sent; n != m || n < 2 {
						return fmt.Errorf("the gateways answered %d requests, and the proxy has sent %d", n, m)
					}
					return nil
				})
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// Without a proxy in front the gateway answers once, and closes.
func TestSmugglingDirectly(t *testing.T) {
	for name, raw := range attempts {
		if name == "upgrade to HTTP/2" {
			continue // which is refused by silence: these are two requests, one behind the other
		}
		if got := exchange(t, theSite.gateways[0].addr+":7270", raw); len(got) > 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// exchange sends text over a connection of its own and returns the statuses of the
// answers, until there come no more.
func exchange(t *testing.T, addr, text string) (statuses []int) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, text) // whoever refuses may have closed
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	in := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		if resp.StatusCode >= 200 {
			statuses = append(statuses, resp.StatusCode)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}

// answered returns how many requests all gateways have answered to agents.
func answered(t *testing.T) (n int) {
	t.Helper()
	for _, g := range theSite.gateways {
		resp, err := http.Get("http://" + g.addr + ":7272/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inMetrics.FindAllSubmatch(text, -1) {
			one, _ := strconv.Atoi(string(m[1]))
			n += one
		}
	}
	return n
}

var inMetrics = regexp.MustCompile(`(?m)^svmgate_http_requests_total\{[^}]*plane="agent"[^}]*\} (\d+)$`)

// counts tell how many answers a proxy has had from gateways.
var counts = map[string]func(*testing.T) int{
	"haproxy": func(t *testing.T) (n int) {
		c, err := net.Dial("unix", filepath.Join(theSite.dir, "haproxy.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "show stat\n"); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(c); lines.Scan(); {
			cells := strings.Split(lines.Text(), ",")
			if len(cells) < 45 || cells[0] != "gateways" || cells[1] == "BACKEND" {
				continue
			}
			for _, cell := range cells[40:45] { // answers by their hundreds: hrsp_2xx to hrsp_other
				one, _ := strconv.Atoi(cell)
				n += one
			}
		}
		return n
	},
	"nginx": func(t *testing.T) (n int) {
		text, err := os.ReadFile(filepath.Join(theSite.dir, "upstream.log"))
		if err != nil {
			t.Fatal(err)
		}
		return len(regexp.MustCompile(`\b[1-5]\d\d\b`).FindAll(text, -1))
	},
}
