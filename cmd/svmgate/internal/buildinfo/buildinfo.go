// Package buildinfo says which build of svmgate is running.
package buildinfo

import (
	"runtime/debug"
	"strings"
)

// Build identifies a build. Commit is empty if the program was not built from a
// checkout.
type Build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Commit   string `json:"commit"`
	Time     string `json:"time"`     // of the commit, RFC 3339
	Modified bool   `json:"modified"` // the checkout had changes
}

// Read returns the build of the running program. version is what the linker was
// told; if it is empty, the module's version stands in, and where that is none
// that was given to it, the commit.
func Read(version string) Build {
	info, _ := debug.ReadBuildInfo()
	return read(version, info)
}

// read is Read of what the program knows of itself, which may be nothing.
func read(version string, info *debug.BuildInfo) Build {
	b := Build{Version: version}
	if info == nil {
		info = &debug.BuildInfo{}
	}
	b.Go = info.GoVersion
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if !given(b.Version) && b.Commit != "" {
		b.Version = b.commit()
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	return b
}

// given reports whether a person gave this version, rather than the go command,
// which knows of none: it says "(devel)", or makes one of the commit's time.
func given(version string) bool {
	return version != "" && version != "(devel)" && !strings.HasPrefix(version, "v0.0.0-")
}

// commit is as much of the commit as tells it from others, and whether that is all.
func (b *Build) commit() string {
	const enough = 12
	name := b.Commit[:min(enough, len(b.Commit))]
	if b.Modified {
		name += "+dirty"
	}
	return name
}
