package adminapi

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
)

// cutInventory is a document in the format that reads well up to its end, so
// that only the framing tells that more was to come. It has at least size bytes.
func cutInventory(format string, size int) string {
	vm := func(i int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", i+1) }
	line := map[string]func(int) string{
		"text/csv":             func(i int) string { return vm(i) + ",,vm,server,linux,h1,c1,z1\n" },
		"application/x-ndjson": func(i int) string { return `{"vm":{"biosId":"` + vm(i) + "\"}}\n" },
		"application/yaml":     func(i int) string { return "- {biosId: " + vm(i) + "}\n" },
		"application/json":     func(i int) string { return `{"biosId":"` + vm(i) + "\"},\n" },
	}[format]
	var b strings.Builder
	b.WriteString(map[string]string{
		"text/csv": inventory.CSVHeader + "\n", "application/yaml": "vms:\n", "application/json": `{"vms":[`,
	}[format])
	for i := 0; b.Len() < size; i++ {
		b.WriteString(line(i))
	}
	if format == "application/json" {
		return strings.TrimSuffix(b.String(), ",\n") + "]}"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestACutImportChangesNothing ends the connection before the body has ended.
func TestACutImportChangesNothing(t *testing.T) {
	addr, g := newSocketGateway(t)
	for _, format := range []string{"text/csv", "application/x-ndjson", "application/yaml", "application/json"} {
		for _, size := range []int{1 << 10, 5 << 20} {
			text := cutInventory(format, size)
			for _, query := range []string{"", "?atomic=true"} {
				what := fmt.Sprintf("%s, %d bytes%s", format, len(text), query)
				if got := sendRaw(t, addr, importPath+query, format, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text)+1, text)); got.status != 400 ||
					got.code() != "invalid_body" && got.code() != "malformed_body" || !strings.Contains(got.body, "ended early") {
					t.Errorf("%s, one byte short: %d %s, want 400 that says so", what, got.status, got.body)
				}
				if got := sendRaw(t, addr, importPath+query, format, fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(text), text)); got.status != 411 ||
					got.code() != "length_required" {
					t.Errorf("%s, without the last chunk: %d %s, want 411", what, got.status, got.body)
				}
				if n := g.table.Stats().VMs; n != 0 {
					t.Fatalf("%s: %d VMs after bodies that ended early, want none", what, n)
				}
			}
		}
		text := cutInventory(format, 1<<10)
		if got := sendRaw(t, addr, importPath+"?dry-run=true", format, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text), text)); got.status != 200 {
			t.Errorf("%s, whole: %d %s, want 200", format, got.status, got.body)
		}
	}
}

// newSocketGateway serves the API behind the fence, as the daemon does, on a
// socket, because half of a connection in memory can not be closed.
func newSocketGateway(t *testing.T) (addr string, g *gateway) {
	t.Helper()
	var api *API
	g = newGateway(t, func(c *Config) {
		var err error
		api, err = New(*c)
		check(t, err)
	})
	return serveSocket(t, fence.Wrap(api.Handler, api.MayStream)), g
}

func serveSocket(t *testing.T, h fasthttp.RequestHandler) (addr string) {
	t.Helper()
	server := fence.Server("admin", h, slog.New(slog.DiscardHandler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		check(t, listener.Close())
		check(t, <-done)
	})
	return listener.Addr().String()
}

// sendRaw posts a body whose framing and text are in rest, and then closes
// its half of the connection.
func sendRaw(t *testing.T, addr, path, format, rest string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	go func() {
		// What is refused before it is read can not be written to the end.
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Type: %s\r\nAuthorization: Basic %s\r\n%s",
			path, format, base64.StdEncoding.EncodeToString([]byte("root:"+password)), rest)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	if !json.Valid(body) {
		t.Errorf("the answer is no JSON: %s", body)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}
