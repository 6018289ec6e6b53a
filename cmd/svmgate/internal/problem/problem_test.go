package problem

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"
)

type document struct {
	Type, Title, Detail, Code string
	Status                    int
}

func TestWrite(t *testing.T) {
	var ctx fasthttp.RequestCtx
	ctx.SetBodyString("half an answer")
	Write(&ctx, 404, "vm_not_registered", `no VM "x"`)

	if got := ctx.Response.StatusCode(); got != 404 {
		t.Errorf("status = %d, want 404", got)
	}
	if got := string(ctx.Response.Header.ContentType()); got != "application/problem+json" {
		t.Errorf("content type = %q", got)
	}
	want := `{"type":"about:blank","title":"Not Found","status":404,"detail":"no VM \"x\"","code":"vm_not_registered"}`
	if got := string(ctx.Response.Body()); got != want {
		t.Errorf("body:\n got %s\nwant %s", got, want)
	}
}

// Whatever the network put into a detail, the answer is JSON and says the same.
func TestAppendIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		detail := string(rapid.SliceOf(rapid.Byte()).Draw(t, "detail"))
		var got document
		if err := json.Unmarshal(Append(nil, 400, "c", detail), &got); err != nil {
			t.Fatalf("Append of detail %q is not JSON: %v", detail, err)
		}
		want := detail
		if !utf8.ValidString(detail) {
			want = string([]rune(detail)) // each bad byte becomes U+FFFD
		}
		if got.Detail != want {
			t.Fatalf("detail = %q, want %q", got.Detail, want)
		}
	})
}

func TestWriteDoesNotAllocate(t *testing.T) {
	var ctx fasthttp.RequestCtx
	detail := strings.Repeat("x", 200)
	Write(&ctx, 404, "vm_not_registered", detail)
	allocs := testing.AllocsPerRun(1000, func() { Write(&ctx, 404, "vm_not_registered", detail) })
	if allocs != 0 {
		t.Errorf("Write allocates %v times per call, want 0", allocs)
	}
}
