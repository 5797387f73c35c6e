package log

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// backoffPause lies between two attempts to write a file on a full disk.
const backoffPause = time.Second

// Backoff returns fs with a pause before a new file is created when the disk was full a moment ago. Pebble repeats a failed
// flush at once, some ten thousand times a second, and each time creates a file first. Nobody who reads waits for that.
func Backoff(fs vfs.FS) vfs.FS { return &backoff{FS: fs} }

// AfterSeconds calls f then, for folds, which know no time and ask for a flush of what they have folded.
func AfterSeconds(n int, f func()) *time.Timer {
	return time.AfterFunc(time.Duration(n)*time.Second, f)
}

type backoff struct {
	vfs.FS
	full atomic.Int64 // when a write failed last for want of space, Unix nanoseconds
}

func (b *backoff) note(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		b.full.Store(time.Now().UnixNano())
	}
	return err
}

// Create implements vfs.FS.
func (b *backoff) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if left := backoffPause - time.Duration(time.Now().UnixNano()-b.full.Load()); left > 0 {
		time.Sleep(min(left, backoffPause))
	}
	f, err := b.FS.Create(name, category)
	if err != nil {
		return nil, b.note(err)
	}
	return &backoffFile{File: f, b: b}, nil
}

// Unwrap implements vfs.FS.
func (b *backoff) Unwrap() vfs.FS { return b.FS }

type backoffFile struct {
	vfs.File
	b *backoff
}

func (f *backoffFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.b.note(err)
}

func (f *backoffFile) Sync() error { return f.b.note(f.File.Sync()) }

func (f *backoffFile) SyncData() error { return f.b.note(f.File.SyncData()) }
