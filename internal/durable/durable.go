// Package durable makes names survive a power loss. A file system promises that a file's bytes are on the disk
// after fsync of the file. It promises that the file has its name there only after fsync of the directory that
// holds the name:
//
//	write a.new      the bytes are in memory
//	fsync a.new      the bytes are on the disk
//	rename a.new a   the new name is in memory
//	fsync .          the new name is on the disk, the old content is gone
//
// The functions here do the last step, and all of them in the right order. What returns without an error has
// survived a power loss. The package does not open stores and does not decide what to do about an error: a
// caller that gets one must take it that nothing is on the disk.
//
// A nil FS means the disk of the operating system. Tests pass a vfs.MemFS that forgets what was not synced.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/osfile"
)

func orDisk(fs vfs.FS) vfs.FS {
	if fs == nil {
		return vfs.Default
	}
	return fs
}

// SyncDir makes the names in a directory durable: those of files that were created, renamed or removed there.
func SyncDir(fs vfs.FS, dir string) error {
	fs = orDisk(fs)
	f, err := fs.OpenDir(dir)
	if dir == "." && err != nil {
		f, err = fs.OpenDir("") // an in-memory file system calls its top so
	}
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// MkdirAll creates a directory, with the parents that it lacks, and makes their names durable. It syncs the
// directory and its parent also when both exist: the process that created them may have ended before it synced
// them.
func MkdirAll(fs vfs.FS, dir string, perm os.FileMode) error {
	fs = orDisk(fs)
	changed := []string{dir, fs.PathDir(dir)}
	for p := fs.PathDir(dir); p != fs.PathDir(p); p = fs.PathDir(p) {
		if _, err := fs.Stat(p); err == nil {
			break
		}
		changed = append(changed, fs.PathDir(p))
	}
	if err := fs.MkdirAll(dir, perm); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	for _, d := range changed {
		if err := SyncDir(fs, d); err != nil {
			return err
		}
	}
	return nil
}

// WriteFile replaces the file at path, on the disk of the operating system. A reader, and a start after a
// crash, find the old content or the new one and never a part. It writes path+".new" on the way and replaces
// one that an earlier crash has left.
func WriteFile(path string, content []byte, perm os.FileMode) error {
	return osfile.Write(path, content, perm)
}

// RemoveDir removes a directory with everything in it. It renames it to aside first, so that after a crash
// there is all of it or none under its name. What a crash leaves under aside is for RemovePrefixed. A directory
// that is not there is no error, nor is a parent that is not there.
func RemoveDir(disk vfs.FS, dir, aside string) error {
	disk = orDisk(disk)
	if err := disk.RemoveAll(aside); err != nil {
		return err
	}
	if err := disk.Rename(dir, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := SyncDir(disk, filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return disk.RemoveAll(aside)
}

// RemovePrefixed removes what is in dir under a name that begins with prefix, and returns those names. A dir
// that is not there is no error.
func RemovePrefixed(disk vfs.FS, dir, prefix string) (removed []string, err error) {
	disk = orDisk(disk)
	names, err := disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			removed = append(removed, name)
			err = errors.Join(err, disk.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return removed, err
}
