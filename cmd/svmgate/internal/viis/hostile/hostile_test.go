package hostile

import (
	"encoding/xml"
	"testing"
)

// Without its hostility each document is good; with it each is another, and none is
// larger than a body gets.
func TestDocuments(t *testing.T) {
	for _, f := range []Frame{Tenant, VM} {
		var doc struct{}
		if err := xml.Unmarshal(Plain(f), &doc); err != nil {
			t.Fatalf("%s: %v", Plain(f), err)
		}
		names, bodies := map[string]bool{}, map[string]string{string(Plain(f)): "the plain one"}
		for _, d := range In(f) {
			if names[d.Name] {
				t.Errorf("two documents are called %q", d.Name)
			}
			if same := bodies[string(d.Body)]; same != "" {
				t.Errorf("%s is as %s", d.Name, same)
			}
			if len(d.Body) > 2*fullMiB {
				t.Errorf("%s has %d bytes", d.Name, len(d.Body))
			}
			names[d.Name], bodies[string(d.Body)] = true, d.Name
		}
		if len(names) < 80 {
			t.Errorf("there are %d documents, want 80 at least", len(names))
		}
	}
}
