package sink

import (
	"log/slog"
	"strings"
)

// A level says how much an event asks for somebody's attention.
type level uint8

const (
	info    level = iota // something went its way
	notice               // somebody did something
	warning              // something is amiss
)

// amiss are types, or how they end, that tell that something is.
var amiss = []string{
	"svm.down", "svm.over_capacity", "agent.no_svm", "agent.update_failed", ".conflict", "license.expiring",
	"cluster.member_failed",
}

func levelOf(eventType string) level {
	for _, t := range amiss {
		if strings.HasSuffix(eventType, t) {
			return warning
		}
	}
	if isAudit(eventType) || strings.HasPrefix(eventType, "tenant.") {
		return notice
	}
	return info
}

// isAudit reports whether an event tells what an administrator did.
func isAudit(eventType string) bool { return strings.HasPrefix(eventType, "admin.") }

func (l level) slog() slog.Level {
	if l == warning {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// severity is that of RFC 5424, section 6.2.1.
func (l level) severity() int {
	return [...]int{info: 6, notice: 5, warning: 4}[l]
}
