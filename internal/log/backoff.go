package log

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// backoffPause is the delay between two attempts to create a file on a full disk.
const backoffPause = time.Second

// Backoff wraps fs so that Create waits for backoffPause if a write failed recently for lack of space. Pebble
// retries a failed flush immediately, some ten thousand times a second, and creates a file for each attempt.
// Readers never wait for this pause.
func Backoff(fs vfs.FS) vfs.FS { return &backoff{FS: fs} }

// AfterSeconds calls f after n seconds. It is for folds, which must not read a clock but ask for their rows to
// be flushed some time later.
func AfterSeconds(n int, f func()) *time.Timer {
	return time.AfterFunc(time.Duration(n)*time.Second, f)
}

// AfterMilliseconds calls f after n milliseconds, for the same use.
func AfterMilliseconds(n int, f func()) *time.Timer {
	return time.AfterFunc(time.Duration(n)*time.Millisecond, f)
}

type backoff struct {
	vfs.FS
	full atomic.Int64 // time of the last write that failed for lack of space, Unix nanoseconds; 0 for none
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
