package cluster

import "testing"

// TestInboxIsBounded in messages, in bytes, and for fleeting records in half of them.
func TestInboxIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind messageType
		size int
		want int
	}{
		{"messages", newsMessage, 100, maxInbox},
		{"bytes", newsMessage, 64 << 10, maxInboxBytes / (64 << 10)},
		{"fleeting", fleetingMessage, 100, maxInbox/2 + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b inbox
			b.init()
			taken := 0
			for range 2 * maxInbox {
				if b.put(arrived{message{kind: tt.kind}, tt.size}) {
					taken++
				}
			}
			if taken != tt.want || b.bytes.Load() != int64(tt.want*tt.size) {
				t.Errorf("%d messages and %d bytes wait, want %d and %d", taken, b.bytes.Load(), tt.want, tt.want*tt.size)
			}
		})
	}
}
