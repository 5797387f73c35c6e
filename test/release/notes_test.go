package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// script is the path of a script of the repository.
func script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "scripts", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// file writes a file of the test.
func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const changelog = `# Changelog

## Unreleased

- Not yet.

## v1.10.0 - 2026-11-30

- Ten.

### Fixed

- A fault.

## v1.1.0 - 2026-10-31

- One.

## v1.0.1

- No date.

## v1.0.0 (planned, no tag yet)

- Planned.

## v0.9.0 - 2026-02-30

- A day that no month has.

## v0.8.0 - 2026-01-01

### Added

## v0.7.0 - 2026-01-01

- Seven.

## v0.7.0 - 2026-01-02

- Seven again.
`

// TestReleaseNotes: the section of a tag becomes the notes. A tag without a whole section is refused, and so is what is
// no version.
func TestReleaseNotes(t *testing.T) {
	path := file(t, t.TempDir(), "CHANGELOG.md", changelog)
	notes := func(tag string) (string, error) {
		out, err := exec.Command(script(t, "release-notes.sh"), tag, path).CombinedOutput()
		return string(out), err
	}
	for tag, want := range map[string]string{
		"v1.10.0": "- Ten.\n\n### Fixed\n\n- A fault.\n",
		"v1.1.0":  "- One.\n",
	} {
		if got, err := notes(tag); err != nil || got != want {
			t.Errorf("%s: %q, %v", tag, got, err)
		}
	}
	for tag, why := range map[string]string{
		"v1.1.1": "no section", "v1.1.0-rc.1": "no section",
		"v1.1": "no version", "v1x1.0": "no version", "Unreleased": "no version",
		"v01.1.0": "no version", "": "no version",
		"v1.0.1": "no date", "v1.0.0": "no date", "v0.9.0": "no date", "v0.8.0": "is empty", "v0.7.0": "two sections",
	} {
		if got, err := notes(tag); err == nil || !strings.Contains(got, why) {
			t.Errorf("%q is not refused with %q: %q, %v", tag, why, got, err)
		}
	}
}
