package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

// linesPerSecond is how much a node logs at most: most of it is about what comes
// from the network, and whoever floods that must not flood the log.
const linesPerSecond = 10

// A limiter is a handler that passes on so many lines a second, and then says how
// many it left out.
type limiter struct {
	slog.Handler // never nil
	count        *lineCount
}

type lineCount struct {
	mu      sync.Mutex
	since   time.Time // when this second began
	passed  int
	leftOut int
}

func limit(l *slog.Logger) *limiter {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return &limiter{Handler: l.Handler(), count: new(lineCount)}
}

func (l *limiter) Handle(ctx context.Context, r slog.Record) error {
	l.flush()
	if !l.count.pass() {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

func (l *limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limiter{Handler: l.Handler.WithAttrs(attrs), count: l.count}
}

func (l *limiter) WithGroup(name string) slog.Handler {
	return &limiter{Handler: l.Handler.WithGroup(name), count: l.count}
}

// pass counts a line, and says whether there is room for it.
func (c *lineCount) pass() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passed == linesPerSecond-1 { // the last line is for how many there were
		c.leftOut++
		return false
	}
	c.passed++
	return true
}

// next begins a new second, if this one is over, and returns how many lines it left
// out.
func (c *lineCount) next() (leftOut int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.since) >= time.Second {
		leftOut = c.leftOut
		c.since, c.passed, c.leftOut = now, 0, 0
	}
	return leftOut
}

// flush says what was left out in the second before, if that has not been said.
func (l *limiter) flush() {
	if n := l.count.next(); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "more lines like these were left out", 0)
		r.AddAttrs(slog.Int("lines", n))
		_ = l.Handler.Handle(context.Background(), r)
	}
}

// A lineWriter makes records of memberlist's lines, which begin with a level in
// brackets and its own name.
type lineWriter struct{ log *slog.Logger }

var (
	memberlistLevels = map[string]slog.Level{
		"DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn,
		"ERR": slog.LevelWarn, "ERROR": slog.LevelWarn, // what a peer did wrong is no error of ours
	}
	memberlistName = []byte("memberlist: ")
)

func (w lineWriter) Write(line []byte) (int, error) {
	level, rest := slog.LevelWarn, line
	if name, after, found := bytes.Cut(line, []byte("] ")); found && len(name) > 0 && name[0] == '[' {
		if known, ok := memberlistLevels[string(name[1:])]; ok {
			level, rest = known, after
		}
	}
	if w.log.Enabled(context.Background(), level) {
		w.log.Log(context.Background(), level, "memberlist",
			"says", string(bytes.TrimSpace(bytes.TrimPrefix(rest, memberlistName))))
	}
	return len(line), nil
}
