package buildinfo

import "testing"

func TestRead(t *testing.T) {
	if b := Read("v1.2.3"); b.Version != "v1.2.3" || b.Go == "" {
		t.Errorf("Read = %+v", b)
	}
	if b := Read(""); b.Version == "" {
		t.Errorf("Read without a version = %+v, want some", b)
	}
}
