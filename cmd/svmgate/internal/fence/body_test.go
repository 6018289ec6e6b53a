package fence

import (
	"errors"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func TestReadBody(t *testing.T) {
	tests := []struct {
		name      string
		body      string
		announced int // -1: in chunks
		stream    bool
		want      error
	}{
		{"whole", "12345678", 8, false, nil},
		{"nothing", "", 0, false, nil},
		{"stream", "12345678", 8, true, nil},
		{"stream in chunks", "12345678", -1, true, nil},
		{"one too many", "123456789", 9, false, ErrTooLarge},
		{"one too many, in chunks", "123456789", -1, true, ErrTooLarge},
		{"too much is announced", "1234", 9, true, ErrTooLarge},
		{"cut", "1234", 8, true, ErrCut},
	}
	for _, tt := range tests {
		var ctx fasthttp.RequestCtx
		source := &counted{Reader: strings.NewReader(tt.body)}
		if tt.stream {
			ctx.Request.SetBodyStream(source, tt.announced)
		} else {
			ctx.Request.SetBodyString(tt.body)
		}
		ctx.Request.Header.SetContentLength(tt.announced)
		got, err := ReadBody(&ctx, 8)
		if !errors.Is(err, tt.want) || tt.want == nil && (err != nil || string(got) != tt.body) {
			t.Errorf("%s: %q, %v; want %v", tt.name, got, err, tt.want)
		}
		if tt.announced > 8 && source.reads > 0 {
			t.Errorf("%s: it was read all the same", tt.name)
		}
	}
}

type counted struct {
	*strings.Reader
	reads int
}

func (c *counted) Read(p []byte) (int, error) {
	c.reads++
	return c.Reader.Read(p)
}
