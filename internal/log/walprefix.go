package log

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// walPrefix is a file system on which a write-ahead log in dir that is being written can be copied. Pebble writes a
// new log into the file of an old one, so behind the end of the new log the file still has old bytes. A copy that
// is made while the log grows could get old bytes in front of new ones, which looks like damage. Here a reader of
// such a file gets what was written when the reader opened it, and then the end of the file.
type walPrefix struct {
	vfs.FS
	dir string

	mu      sync.Mutex
	written map[string]*atomic.Int64 // bytes of each log that this process writes
}

func newWALPrefix(fs vfs.FS, dir string) *walPrefix {
	return &walPrefix{FS: fs, dir: dir, written: map[string]*atomic.Int64{}}
}

func (w *walPrefix) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") || w.FS.PathDir(name) != w.dir {
		return f, err
	}
	n := new(atomic.Int64)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[name] = n
	return &walWriter{File: f, n: n}, nil
}

func (w *walPrefix) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.written, name)
}

// Create implements vfs.FS.
func (w *walPrefix) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, cat)
	return w.wrap(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (w *walPrefix) ReuseForWrite(from, to string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	w.forget(from)
	f, err := w.FS.ReuseForWrite(from, to, cat)
	return w.wrap(to, f, err)
}

// Remove implements vfs.FS.
func (w *walPrefix) Remove(name string) error {
	w.forget(name)
	return w.FS.Remove(name)
}

// Open implements vfs.FS.
func (w *walPrefix) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	w.mu.Lock()
	n := w.written[name]
	w.mu.Unlock()
	f, err := w.FS.Open(name, opts...)
	if err != nil || n == nil {
		return f, err
	}
	return &walReader{File: f, r: io.LimitReader(f, n.Load())}, nil
}

// Unwrap implements vfs.FS.
func (w *walPrefix) Unwrap() vfs.FS { return w.FS }

type walWriter struct {
	vfs.File
	n *atomic.Int64
}

func (f *walWriter) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.n.Add(int64(n))
	return n, err
}

// walReader reads from the start of the file. Pebble copies with Read alone.
type walReader struct {
	vfs.File
	r io.Reader
}

func (f *walReader) Read(p []byte) (int, error) { return f.r.Read(p) }
