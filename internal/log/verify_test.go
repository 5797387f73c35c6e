package log

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestVerify: a log that is whole is read to its end. A damaged one gives an error as often as it is asked, since nothing
// stays open, and no other log comes to be.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	o := Options{MemTableBytes: 64 << 10, Fatal: func(err error) { t.Errorf("fatal: %v", err) }}
	s, err := Open(dir, o)
	must(t, err)
	for i := uint64(1); i <= 400; i += 100 {
		must(t, s.StoreLogs(entries(i, 100, i/100+1, 1000)))
	}
	must(t, s.Close())
	s, err = Open(dir, o) // writes the tables
	must(t, err)
	must(t, s.Close())
	for range 2 {
		if last, term, err := Verify(t.Context(), dir, o); last != 400 || term != 4 || err != nil {
			t.Fatalf("entry %d of term %d, %v", last, term, err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := Verify(stopped, dir, o); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	must(t, err)
	for _, table := range tables {
		raw, err := os.ReadFile(table)
		must(t, err)
		raw[len(raw)/3] ^= 8
		must(t, os.WriteFile(table, raw, 0o600))
	}
	for range 3 {
		if _, _, err := Verify(t.Context(), dir, o); err == nil || errors.Is(err, ErrInUse) {
			t.Errorf("damaged: %v", err)
		}
	}
	empty := t.TempDir()
	if _, _, err := Verify(t.Context(), empty, o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}
