package backup

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

// TestManifestOfTomorrow: a manifest of a later format has members that this release does not know. It is refused for
// its format, with what to do, and not for the first such member.
func TestManifestOfTomorrow(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for _, line := range []string{`{"format":2,"compressed":true}`, `{"format":2}`, `{"compressed":true,"format":99}`} {
		raw, err := sign([]byte(line), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := decode(raw, nil); !errors.Is(err, ErrManifest) ||
			!strings.Contains(err.Error(), "use the release that wrote it") {
			t.Errorf("%s: %v", line, err)
		}
	}
	raw, err := sign([]byte(`{"format":1,"compressed":true}`), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := decode(raw, nil); !errors.Is(err, ErrManifest) || strings.Contains(err.Error(), "release that wrote") {
		t.Errorf("an unknown member of this format: %v", err)
	}
	if _, _, err := decode(bytes.ToUpper(raw), nil); err == nil {
		t.Error("another spelling was read")
	}
}
