// Package crashfs gives tests a disk whose power can be cut at any moment, also while it is written to. It refuses to
// simulate anything else.
package crashfs

import (
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is Pebble's crashable file system in memory, without its deadlocks: ReuseForWrite, Link and Lock of MemFS take a read
// lock twice, and a CrashClone that asks for the write lock in between stops everything for ever.
type FS struct {
	*vfs.MemFS
	cutting *sync.RWMutex // held by Cut, read-locked by what takes the lock of MemFS twice
}

// New returns an empty disk.
func New() FS { return FS{vfs.NewCrashableMem(), new(sync.RWMutex)} }

// ReuseForWrite does what the library's does, one lock at a time.
func (fs FS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.Rename(from, to); err != nil {
		return nil, err
	}
	return fs.OpenReadWrite(to, category)
}

// Link implements vfs.FS.
func (fs FS) Link(from, to string) error {
	fs.cutting.RLock()
	defer fs.cutting.RUnlock()
	return fs.MemFS.Link(from, to)
}

// Lock implements vfs.FS.
func (fs FS) Lock(name string) (io.Closer, error) {
	fs.cutting.RLock()
	defer fs.cutting.RUnlock()
	return fs.MemFS.Lock(name)
}

// Cut returns the disk as it is after a power cut now; the old one goes on.
func (fs FS) Cut(cfg vfs.CrashCloneCfg) FS {
	fs.cutting.Lock()
	defer fs.cutting.Unlock()
	return FS{fs.CrashClone(cfg), new(sync.RWMutex)}
}
