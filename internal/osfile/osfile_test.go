package osfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestWrite: a file is replaced as a whole, one that cannot be written leaves the old content.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for _, text := range []string{"one", "two"} {
		if err := Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("three"), 0o600); err == nil {
		t.Error("written through a directory")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "two" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLock: a file has one holder of its lock, until it is closed.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LOCK")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	one, two := open(), open()
	if err := Lock(one); err != nil {
		t.Fatal(err)
	}
	if err := Lock(two); !errors.Is(err, ErrLocked) {
		t.Errorf("held twice: %v", err)
	}
	if err := errors.Join(one.Close(), Lock(two)); err != nil {
		t.Error(err)
	}
}
