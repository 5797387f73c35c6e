// Package disk watches the free space of a node's data directory.
//
// A store that meets a full disk ends its process, so a node stops taking in data before that. Space knows two
// watermarks, in bytes of free space:
//
//	PauseBelow   background work waits      Needed + 1 GiB
//	Needed       submissions are refused    256 MiB + what the stores have in memory and not on the disk yet
//
// Reads stay up below both. A node also keeps a ballast: a file that takes room while there is plenty. It is
// given back when the disk is full, so that the node can start, serve reads and stop then.
//
// The package measures and keeps the ballast. It does not delete data, and the node decides what to refuse.
package disk

import (
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"
)

// Margin bytes must stay free in addition to the data in memory that is not flushed yet.
const Margin = 256 << 20

// pauseMargin bytes in addition to that stay free of background work.
const pauseMargin = 1 << 30

// roomAgain bytes more than Needed must be free before a node that was short of disk may lead while others can, so
// that leadership does not move with every file that comes and goes.
const roomAgain = Margin / 2

// CheckEvery bounds how old the knowledge of free disk space is.
const CheckEvery = time.Second

// plenty stands for a size that could not be looked up: the stores stop the process on a full disk anyway.
const plenty = 1 << 62

// Options describe a data directory.
type Options struct {
	Dir     string
	Ballast int64         // bytes in reserve; less on a small disk, 0 for none
	Free    func() uint64 // free bytes for Dir; nil: what the file system says
	// Dir is not on the disk, as in tests with a file system of their own: no ballast, and space is plenty
	Virtual bool

	// Unflushed returns how many bytes the stores have in memory and not on the disk, at most.
	Unflushed func() uint64
	Logger    *slog.Logger
}

// Space is the free space of one data directory. It is safe for concurrent use.
type Space struct {
	o Options

	at        atomic.Int64  // when free was looked up, Unix nanoseconds
	free      atomic.Uint64 // without the ballast that has to be made again
	unflushed atomic.Uint64 // as old as free

	unfit atomic.Bool // was short, and has not much more room since
}

// New returns the space of a directory. It reads nothing yet.
func New(o Options) *Space { return &Space{o: o} }

// Free returns the bytes that are free, without what the ballast still needs. It looks them up once a second at most.
func (s *Space) Free() uint64 {
	now := time.Now().UnixNano()
	if now-s.at.Load() < int64(CheckEvery) {
		return s.free.Load()
	}
	free, _ := s.now()
	free -= min(free, s.BallastMissing())
	s.free.Store(free)
	s.unflushed.Store(s.o.Unflushed())
	s.at.Store(now)
	return free
}

// Needed returns the free bytes below which the node refuses submissions.
func (s *Space) Needed() uint64 {
	s.Free()
	return Margin + s.unflushed.Load()
}

// PauseBelow returns the free bytes below which background work waits.
func (s *Space) PauseBelow() uint64 { return pauseMargin + s.Needed() }

// Short reports that the node takes no submissions for want of disk space.
func (s *Space) Short() bool { return s.Free() < s.Needed() }

// Unfit reports that the node is too short of space to lead while others can. It stays so until there is clearly more.
func (s *Space) Unfit() bool {
	short := s.Short()
	if short || s.Free() >= s.Needed()+roomAgain {
		s.unfit.Store(short)
	}
	return s.unfit.Load()
}

// now asks the file system for the free bytes and the size of all.
func (s *Space) now() (free, total uint64) {
	switch {
	case s.o.Free != nil:
		return s.o.Free(), plenty
	case !s.o.Virtual:
		if free, total, err := Usage(s.o.Dir); err == nil {
			return free, total
		}
	}
	return plenty, plenty
}

// Usage returns the free bytes for dir and the size of its file system.
func Usage(dir string) (free, total uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}
