package fsm

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/log"
)

// Store is one folded state on disk. Its rows can always be rebuilt from the log, so it has no write-ahead log.
// What was in memory at a crash, at most a few memtables, is folded again. Pebble makes whole batches durable
// in order, which keeps rows and cursor consistent.
type Store struct {
	db  *pebble.DB
	dir string
	*health
	step    step
	flusher flusher
}

// memTableBytes is the size of a memtable, which is kept in memory until it is flushed.
const memTableBytes = 32 << 20

// cacheBytes is room for 32 MiB of blocks of a folded state. Pebble takes its memtables out of the cache: the one that
// is written, and one that it keeps for use again.
const cacheBytes = 32<<20 + 2*memTableBytes

// The work that is folded again after a crash is bounded in events and in time, to half a second or so.
const (
	flushEvents  = 25_000
	flushSeconds = 30
)

// OpenStore opens or creates the folded state in dir. A nil fs means the disk. damaged may be nil. It is called
// once, from any goroutine and must not block, when a file of the store cannot be read. It is also called with
// ErrUnwritten and must then end the process. Without damaged, reads fail from then on.
func OpenStore(fs vfs.FS, dir string, log *slog.Logger, damaged func(error)) (*Store, error) {
	return openStore(fs, dir, log, damaged, false)
}

// openStore can also open a store that must survive a crash: synced writes need a write-ahead log.
func openStore(fs vfs.FS, dir string, logger *slog.Logger, damaged func(error), durable bool) (*Store, error) {
	if fs == nil {
		fs = vfs.Default
	}
	fs = log.Backoff(log.MarkersLast(fs))
	h := &health{log: logger.With("store", filepath.Base(dir)), told: damaged, failing: make(chan struct{}, 1)}
	o := &pebble.Options{
		FS:                          fs,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		DisableWAL:                  !durable,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       20,
		L0StopWritesThreshold:       1000,
		MaxOpenFiles:                1000,
		Logger:                      h,
		EventListener:               &pebble.EventListener{DataCorruption: h.corruption, BackgroundError: h.background},
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.Experimental.CompactionScheduler = log.Compactions()
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	o.Cache = cache
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open folded state %s: %w", dir, err)
	}
	s := &Store{db: db, dir: dir, health: h}
	s.flusher.limit, s.step.bounds = flushEvents, usualBounds
	s.step.moved.L = &s.step.mu
	return s, nil
}

// flusher tracks what was written since the last flush was requested.
type flusher struct {
	mu     sync.Mutex
	limit  int // events
	events int
	timer  interface{ Stop() bool } // runs while something waits for a flush
	closed bool
}

// wrote requests a flush, without waiting for it, after enough events. Otherwise a timer requests one after
// flushSeconds.
func (s *Store) wrote(events int) {
	f := &s.flusher
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events += events
	switch {
	case f.closed:
	case f.events >= f.limit:
		s.flushLocked()
	case f.timer == nil:
		f.timer = log.AfterSeconds(flushSeconds, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.closed {
				s.flushLocked()
			}
		})
	}
}

func (s *Store) flushLocked() {
	f := &s.flusher
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	f.events = 0
	if s.Damage() != nil {
		return
	}
	if _, err := s.db.AsyncFlush(); err != nil {
		s.log.Warn("a flush could not be asked for", "error", err)
	}
}

// Unflushed returns an upper bound for the bytes in memory that are not yet on disk. It waits for no write, because
// heartbeats depend on what a node knows of its disk.
func (s *Store) Unflushed() uint64 { return s.db.Metrics().MemTable.Size + uint64(s.step.size.Load()) }

// Close flushes and closes the store. What a full or bad disk does not accept is folded again at the next
// start.
func (s *Store) Close() error {
	failed := s.endStep()
	s.flusher.mu.Lock()
	s.flusher.closed = true
	if s.flusher.timer != nil {
		s.flusher.timer.Stop()
	}
	s.flusher.mu.Unlock()
	select {
	case <-s.failing: // an earlier failure
	default:
	}
	if s.Damage() == nil {
		flushed, err := s.db.AsyncFlush()
		if err != nil {
			return errors.Join(failed, err, s.db.Close())
		}
		select {
		case <-flushed:
		case <-s.failing:
			s.log.Warn("the folded state could not be flushed; its end is folded again at the next start")
		}
	}
	err := errors.Join(failed, s.db.Close())
	if s.Damage() != nil {
		return nil // it is deleted
	}
	return err
}

// Metrics returns Pebble's own metrics.
func (s *Store) Metrics() *pebble.Metrics { return s.db.Metrics() }

// Snapshot returns a snapshot of the store, with all batches that were folded. The caller closes it.
func (s *Store) Snapshot() *View {
	return s.whole(func() pebble.Reader { return s.db.NewSnapshot() })
}

// present returns the store itself, with all batches that were folded, for the read of one row.
func (s *Store) present() *View {
	return s.whole(func() pebble.Reader { return s.db })
}

// whole has the batches that were folded applied before reader is called.
func (s *Store) whole(reader func() pebble.Reader) *View {
	s.step.mu.Lock()
	defer s.step.mu.Unlock()
	if err := s.applyAll(); err != nil {
		return &View{r: failedReader{err: err}}
	}
	return &View{r: reader(), health: s.health}
}
