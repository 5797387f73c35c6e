// Package version names the build. It refuses to know anything else.
package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// unset is the Version of a program that was not linked by the Makefile or a release.
const unset = "dev"

// Version is set by the linker to the output of `git describe`. Name also knows the version of other builds.
var Version = unset

// Build describes how this program was built.
type Build struct {
	Version  string // output of `git describe`, or the version of the module, such as "v1.2.3", or "dev"
	Go       string // release of Go, such as "go1.26.8"
	Platform string // operating system and architecture, such as "linux/amd64"
	Commit   string // hash of the commit, with "+dirty" if files were changed; "" where the build does not record it
	Time     string // time of the commit, RFC 3339; "" likewise
}

// Get returns the build of this program. What the Go tool recorded of the commit depends on how it was called
// (`go help buildvcs`).
func Get() Build {
	info, _ := debug.ReadBuildInfo()
	return get(info)
}

// Name is the version alone.
func Name() string { return Get().Version }

func get(info *debug.BuildInfo) Build {
	b := Build{Version: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	// go install PACKAGE@v1.2.3 sets no linker flags and records no commit: the module of a proxy comes without its history.
	if of := info.Main.Version; b.Version == unset && of != "" && of != "(devel)" {
		b.Version = of
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	if b.Commit != "" {
		b.Commit += dirty
	}
	return b
}

// String is one line such as "v1.2.3 go1.26.8 linux/amd64 commit 0123456789ab of 2026-01-02T15:04:05Z".
func (b Build) String() string {
	parts := []string{b.Version, b.Go, b.Platform}
	if b.Commit != "" {
		hash, dirty, changed := strings.Cut(b.Commit, "+")
		hash = hash[:min(12, len(hash))]
		if changed {
			hash += "+" + dirty
		}
		parts = append(parts, "commit "+hash)
	}
	if b.Time != "" {
		parts = append(parts, "of "+b.Time)
	}
	return strings.Join(parts, " ")
}
