package export

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestPlace: a finished export takes the place of an empty directory, and of nothing else.
func TestPlace(t *testing.T) {
	for name, c := range map[string]struct {
		before func(dir string) error
		want   error
	}{
		"nothing":            {func(string) error { return nil }, nil},
		"an empty directory": {func(dir string) error { return os.Mkdir(dir, 0o700) }, nil},
		"a full directory": {func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600))
		}, ErrExists},
	} {
		parent := t.TempDir()
		dir, made := filepath.Join(parent, "out"), filepath.Join(parent, ".part")
		must(t, errors.Join(c.before(dir), os.Mkdir(made, 0o700), os.WriteFile(filepath.Join(made, "x"), []byte("y"), 0o600)))
		if err := place(made, dir); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "x")); (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := free(file); err == nil || errors.Is(err, ErrExists) {
		t.Errorf("a file is a free directory: %v", err)
	}
}

// TestWriteFileOnce: no file of an export is written twice.
func TestWriteFileOnce(t *testing.T) {
	dir := t.TempDir()
	f, err := writeFile(dir, "x", []byte("text"))
	must(t, err)
	if f != (File{"x", 4, sumOf([]byte("text"))}) {
		t.Errorf("%+v", f)
	}
	if size, sum, err := sumFile(filepath.Join(dir, "x")); err != nil || size != f.Size || sum != f.SHA256 {
		t.Errorf("%d %s %v", size, sum, err)
	}
	if _, err := writeFile(dir, "x", []byte("other")); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v", err)
	}
	if _, err := writeFile(dir, "none/x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
