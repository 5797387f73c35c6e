// Package osfile replaces and locks files on the disk of the operating system. It links no store, so that every program
// may use it. Package durable builds on it.
//
//	write a.new      the bytes are in memory
//	fsync a.new      the bytes are on the disk
//	rename a.new a   the new name is in memory
//	fsync .          the new name is on the disk, the old content is gone
package osfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrLocked means that another process, or another part of this one, holds the lock.
var ErrLocked = errors.New("locked by another process")

// Write replaces the file at path. A reader, and a start after a crash, find the old content or the new one and never a
// part. It writes path+".new" on the way and replaces one that an earlier crash has left. What returns without an
// error survives a power loss.
func Write(path string, content []byte, perm os.FileMode) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", next, err)
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
