package daemon

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The README shows what a gateway with the sample answers. This is that answer.
func TestTheReadmesAnswerIsTrue(t *testing.T) {
	const root = "../../../../"
	readme, err := os.ReadFile(root + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)curl -s http://127.0.0.1:7270(/v1/agents/[^\n]*)\n```\n\n```json\n(.*?)\n```").
		FindSubmatch(readme)
	if shown == nil {
		t.Fatal("the README has no curl line with an answer behind it")
	}
	r := start(t, map[string]string{"sample": root + "examples/sample/inventory.yaml"})
	status, body := r.get("agent", string(shown[1]), "")
	if got, want := strings.TrimSpace(body), string(shown[2]); status != 200 || got != want {
		t.Errorf("%s answers %d\n got %s\nwant %s, as the README has it", shown[1], status, got, want)
	}
}
