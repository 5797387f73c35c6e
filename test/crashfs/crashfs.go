// Package crashfs gives tests a disk whose power can be cut at any moment, also while it is written to. It refuses to
// simulate anything else.
package crashfs

import "github.com/cockroachdb/pebble/v2/vfs"

// FS is Pebble's crashable file system in memory, without its deadlock: MemFS.ReuseForWrite takes a read lock twice, and a
// CrashClone that asks for the write lock in between stops everything for ever.
type FS struct{ *vfs.MemFS }

// New returns an empty disk.
func New() FS { return FS{vfs.NewCrashableMem()} }

// ReuseForWrite does what the library's does, one lock at a time.
func (fs FS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.Rename(from, to); err != nil {
		return nil, err
	}
	return fs.OpenReadWrite(to, category)
}

// Cut returns the disk as it is after a power cut now; the old one goes on.
func (fs FS) Cut(cfg vfs.CrashCloneCfg) FS { return FS{fs.CrashClone(cfg)} }
