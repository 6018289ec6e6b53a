package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		lines := limit(slog.New(slog.NewTextHandler(&out, nil)))
		log := slog.New(lines).With("node", "n")
		for range 3 {
			for i := range 1000 {
				log.Warn("garbage", "i", i)
			}
			time.Sleep(time.Second)
			lines.flush()
		}
		if got, most := strings.Count(out.String(), "\n"), 3*linesPerSecond+1; got > most {
			t.Errorf("%d lines in 3 s, want at most %d", got, most)
		}
		if got := strings.Count(out.String(), "lines=991"); got != 3 {
			t.Errorf("it was said %d times how many lines were left out, want 3:\n%s", got, out.String())
		}
		out.Reset()
		lines.flush()
		if out.Len() > 0 {
			t.Errorf("nothing was left out, but: %s", out.String())
		}
	})
}

func TestMemberlistLines(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	for _, tt := range []struct{ line, want string }{
		{"[ERR] memberlist: it failed\n", `level=WARN msg=memberlist says="it failed"`},
		{"[INFO] memberlist: so be it", `level=INFO msg=memberlist says="so be it"`},
		{"[DEBUG] memberlist: who cares", ""},
		{"no level", `level=WARN msg=memberlist says="no level"`},
		{"[ODD] level", `level=WARN msg=memberlist says="[ODD] level"`},
		{"", `level=WARN msg=memberlist says=""`},
	} {
		out.Reset()
		fmt.Fprint(lineWriter{log}, tt.line)
		if got := strings.TrimSuffix(out.String(), "\n"); got != tt.want {
			t.Errorf("%q is logged as\n%s\nwant\n%s", tt.line, got, tt.want)
		}
	}
}
