package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
)

// TestVersion: the flag and the command name the build, without a cluster.
func TestVersion(t *testing.T) {
	here := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	if r := run(t, "", "--version"); r.code != exitOK || !strings.HasPrefix(r.out, "recount version dev "+here) {
		t.Errorf("--version: %+v", r)
	}
	if r := run(t, "", "version", "-o", "json"); r.code != exitOK ||
		!strings.Contains(r.out, `"platform": "`+runtime.GOOS+"/"+runtime.GOARCH+`"`) {
		t.Errorf("version -o json: %+v", r)
	}
	if r := run(t, "", "version", "-o", "json"); !strings.Contains(r.out, fmt.Sprintf(`"knows_version": %d`, event.NewestVersion)) {
		t.Errorf("version -o json: %+v", r)
	}
	if r := run(t, "", "version", "-o", "wide"); r.code != exitOK || !strings.Contains(r.out, "PLATFORM") ||
		!strings.Contains(r.out, runtime.GOOS+"/") {
		t.Errorf("version -o wide: %+v", r)
	}
}
