package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Package durable does the same for a node. It links the store of a node, which recount must not.

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// makeDir creates a directory with the parents that it lacks, and makes their names durable.
func makeDir(dir string) error {
	changed := []string{filepath.Dir(dir)}
	for p := filepath.Dir(dir); p != filepath.Dir(p); p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil {
			break
		}
		changed = append(changed, filepath.Dir(p))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range changed {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// removePrefixed removes the files in dir whose names begin with prefix.
func removePrefixed(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
