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

// TestVersionOfTheModule: a program that nobody linked with a version has that of its module, where the Go tool knows one.
func TestVersionOfTheModule(t *testing.T) {
	for of, want := range map[string]string{"": "dev", "(devel)": "dev", "v1.2.3": "v1.2.3",
		"v0.0.0-20260102150405-0123456789ab+dirty": "v0.0.0-20260102150405-0123456789ab+dirty"} {
		if got := get(&debug.BuildInfo{Main: debug.Module{Version: of}}).Version; got != want {
			t.Errorf("module %q: %q, want %q", of, got, want)
		}
	}
	Version = "v9.9.9"
	defer func() { Version = unset }()
	if got := get(&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}).Version; got != "v9.9.9" {
		t.Errorf("the linker's version is %q", got)
	}
}
