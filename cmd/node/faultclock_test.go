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
	if a, b := readShift(dir, "node-1"); a != 0 || b != 0 {
		t.Errorf("no file: %s %s", a, b)
	}
	for text, want := range map[string][2]time.Duration{"": {}, "-720h\n": {-720 * time.Hour}, "1s 2h": {time.Second, 2 * time.Hour}} {
		if err := os.WriteFile(filepath.Join(dir, "node-1"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, b := readShift(dir, "node-1"); a != want[0] || b != want[1] {
			t.Errorf("%q: %s %s", text, a, b)
		}
	}
}
