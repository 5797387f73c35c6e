package main

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// full is a device without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestLostOutput: a command whose output is lost does not say that it is done.
func TestLostOutput(t *testing.T) {
	m := newMachine(t)
	m.write("config.yaml", m.settings, 0o600)
	path := filepath.Join(m.dir, "config.yaml")
	for _, args := range [][]string{{"config", "check", "--config", path}, {"config", "view", "--config", path}, {"--help"}, {"--version"}, {"serve", "--help"}} {
		if _, err := execute(t.Context(), args, full{}); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%v: %v", args, err)
		}
		if _, err := execute(t.Context(), args, io.Discard); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}
