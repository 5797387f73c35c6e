package secretfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func file(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "it's a key")
	if err := os.WriteFile(path, []byte("the secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestModes(t *testing.T) {
	for mode, want := range map[fs.FileMode]struct{ secret, public bool }{
		0o400: {true, true}, 0o600: {true, true}, 0o440: {true, true}, 0o640: {true, true}, 0o700: {true, true}, 0o641: {true, true},
		0o644: {false, true}, 0o604: {false, true}, 0o444: {false, true}, 0o660: {false, false}, 0o620: {false, false},
		0o602: {false, false}, 0o666: {false, false}, 0o777: {false, false},
	} {
		path := file(t, mode)
		b, err := Read(path)
		if (err == nil) != want.secret || (Check(path) == nil) != want.secret || want.secret && string(b) != "the secret" {
			t.Errorf("%04o: %q %v", mode, b, err)
		}
		if _, err := ReadPublic(path); (err == nil) != want.public {
			t.Errorf("%04o, public: %v", mode, err)
		}
		if want.secret {
			continue
		}
		for _, part := range []string{path, mode.String()[1:4], "chmod 600 '", `it'\''s a key'`} {
			if part != mode.String()[1:4] && !strings.Contains(err.Error(), part) {
				t.Errorf("%04o: no %q in %v", mode, part, err)
			}
		}
		if !errors.Is(err, ErrMode) || strings.Contains(err.Error(), "the secret") {
			t.Error(err)
		}
	}
}

func TestLinksAndKinds(t *testing.T) {
	open := file(t, 0o644)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(link); !errors.Is(err, ErrMode) {
		t.Errorf("a link to an open file: %v", err)
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, ErrKind) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	large := file(t, 0o600)
	if err := os.WriteFile(large, bytes.Repeat([]byte("x"), maxBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(large); !errors.Is(err, ErrKind) {
		t.Errorf("a large file: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if IsRegular(pipe) || !IsRegular(large) || Check(pipe) != nil {
		t.Error("a pipe is no regular file, but may hold a secret")
	}
}
