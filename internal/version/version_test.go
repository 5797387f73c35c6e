package version

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestBuild: the line names what the Go tool recorded, and leaves out what it did not record.
func TestBuild(t *testing.T) {
	plain := "dev " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	set := func(pairs ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{}
		for i := 0; i < len(pairs); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return info
	}
	for want, info := range map[string]*debug.BuildInfo{
		plain:                          nil,
		plain + " commit 0123456789ab": set("vcs.revision", "0123456789abcdef", "vcs.modified", "false"),
		plain + " commit 0123456789ab+dirty of 2026-01-02T15:04:05Z": set("vcs.modified", "true", "vcs.revision", "0123456789abcdef", "vcs.time", "2026-01-02T15:04:05Z"),
	} {
		if got := get(info).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := get(set("vcs.modified", "true")).Commit; got != "" {
		t.Errorf("a commit without a hash: %q", got)
	}
}
