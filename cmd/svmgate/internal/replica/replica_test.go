package replica

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// A gateway asks another, which answers.
func TestAsk(t *testing.T) {
	a := startReal(t, Config{Name: "a", Answer: func(_ context.Context, gateway string, question []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s asks %s", gateway, question), nil
	}})
	b := startReal(t, Config{Name: "b", Seeds: []string{a.Addr()}})
	for deadline := time.Now().Add(20 * time.Second); b.Gateways() != 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gateways do not meet")
		}
	}
	answer, err := b.Ask(t.Context(), "a", []byte("why"))
	if string(answer) != "b asks why" || err != nil {
		t.Errorf("got %q (%v)", answer, err)
	}
}
