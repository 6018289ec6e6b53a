package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestRead(t *testing.T) {
	if b := Read("v1.2.3"); b.Version != "v1.2.3" || b.Go == "" {
		t.Errorf("Read = %+v", b)
	}
	if b := Read(""); b.Version == "" {
		t.Errorf("Read without a version = %+v, want some", b)
	}
}

// Whoever built it and however, the version tells one build from another as far as
// the build itself knows.
func TestVersion(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, tt := range []struct {
		name, linker, module, commit, modified string
		want                                   string
	}{
		{"the linker was told", "v2.0.0-3-gabc", "(devel)", commit, "true", "v2.0.0-3-gabc"},
		{"a release that was fetched", "", "v1.2.3", "", "", "v1.2.3"},
		{"a checkout of a release", "", "v1.2.3", commit, "false", "v1.2.3"},
		{"a checkout", "", "(devel)", commit, "false", "0123456789ab"},
		{"a checkout with changes", "", "(devel)", commit, "true", "0123456789ab+dirty"},
		{"a version made of the commit", "", "v0.0.0-20260102030405-0123456789ab+dirty", commit, "true", "0123456789ab+dirty"},
		{"neither version nor commit", "", "(devel)", "", "", "(devel)"},
		{"nothing", "", "", "", "", "unknown"},
		{"a short commit", "", "", "0123", "", "0123"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: tt.module}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: tt.commit}, {Key: "vcs.modified", Value: tt.modified},
		}}
		if got := read(tt.linker, info).Version; got != tt.want {
			t.Errorf("%s: version %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := read("", nil).Version; got != "unknown" {
		t.Errorf("a program that knows nothing of itself has version %q, want unknown", got)
	}
}
