package drill

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCases: a change is detected when its check finds something, and a check that refuses an honest copy is no
// check.
func TestCases(t *testing.T) {
	c := &cluster{dir: t.TempDir()}
	d := &drill{cluster: c, cfg: Config{Progress: func(string, ...any) {}}}
	s := &tampering{drill: d, accepted: map[string]bool{}}
	from := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.MkdirAll(s.at(""), 0o700), os.WriteFile(from, []byte("honest"), 0o600)); err != nil {
		t.Fatal(err)
	}
	change := func(_ context.Context, copied string) error { return os.WriteFile(copied, []byte("lie"), 0o600) }
	reads := func(found map[string]string) detector {
		return detector{"reader", func(_ context.Context, copied string) (string, error) {
			b, err := os.ReadFile(copied)
			return found[string(b)], err
		}}
	}
	for name, x := range map[string]struct {
		finds    map[string]string
		do       func(context.Context, string) error
		detected bool
		err      error
	}{
		"found":     {map[string]string{"lie": "a lie in " + s.at("copy")}, change, true, nil},
		"overseen":  {nil, change, false, nil},
		"unchanged": {map[string]string{"lie": "a lie"}, nil, false, nil},
		"paranoid":  {map[string]string{"lie": "a lie", "honest": "a lie"}, change, false, ErrFailed},
	} {
		clear(s.accepted)
		by := reads(x.finds)
		c := tamperCase{name: name, from: from, do: x.do, by: by, honest: from, honestBy: by}
		found, err := s.play(t.Context(), c)
		if found.Detected != x.detected || !errors.Is(err, x.err) || x.detected && found.Said != "a lie in copy" {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		if _, err := os.Stat(s.at("copy")); !os.IsNotExist(err) {
			t.Errorf("%s: the copy stays: %v", name, err)
		}
	}
}
