//go:build faultclock

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestShiftIsRead(t *testing.T) {
	dir := t.TempDir()
	shift := func(text string) time.Duration {
		if err := os.WriteFile(filepath.Join(dir, "node-1"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return readShift(dir, "node-1")
	}
	if got := readShift(dir, "node-1"); got != 0 {
		t.Errorf("no file: %s", got)
	}
	if got := shift("-720h\n"); got != -720*time.Hour {
		t.Errorf("-720h: %s", got)
	}
	if got := shift(""); got != 0 {
		t.Errorf("empty: %s", got)
	}
}
