package log

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type counters struct {
	batches, entries, bytes     uint64
	tailHits, aheadHits, misses uint64
}

// Metrics is a snapshot of the counters of a store. They start at 0 in Open.
type Metrics struct {
	First, Last, Floor, Committed uint64
	Batches                       uint64 // StoreLogs calls that were stored
	Entries                       uint64 // entries stored
	PayloadBytes                  uint64 // bytes of their Data
	Syncs                         uint64 // fsyncs of write-ahead log files
	TailBytes, TailEntries        int    // held in memory
	TailHits, AheadHits, Misses   uint64 // reads served from memory, from read-ahead, from the database
	DiskBytes                     uint64
	L0Files                       int64
	BytesFlushed, BytesCompacted  uint64 // written by flushes and compactions
	BytesMoved                    uint64 // moved by compactions without writing
	WALBytes                      uint64 // written to the write-ahead log
}

// Metrics returns the counters. The fields that come from Pebble are zero if the store is closed or has failed.
func (s *Store) Metrics() Metrics {
	s.mu.Lock()
	m := Metrics{
		First: s.first, Last: s.last, Floor: s.floor, Committed: s.committed,
		Batches: s.count.batches, Entries: s.count.entries, PayloadBytes: s.count.bytes,
		TailBytes: s.tail.bytes, TailEntries: len(s.tail.recs) - s.tail.head,
		TailHits: s.count.tailHits, AheadHits: s.count.aheadHits, Misses: s.count.misses,
	}
	s.mu.Unlock()
	m.Syncs = s.Syncs()
	if s.enter() != nil {
		return m
	}
	defer s.life.RUnlock()
	p := s.db.Metrics()
	m.DiskBytes, m.L0Files, m.WALBytes = p.DiskSpaceUsage(), p.Levels[0].TablesCount, p.WAL.BytesWritten
	for _, l := range p.Levels {
		m.BytesFlushed += l.TableBytesFlushed
		m.BytesCompacted += l.TableBytesCompacted
		m.BytesMoved += l.TableBytesMoved
	}
	return m
}

// Syncs counts the fsyncs of write-ahead log files since Open.
func (s *Store) Syncs() uint64 { return s.sync.n.Load() }

// Unflushed returns an upper bound for the bytes in memory that are not yet in tables.
func (s *Store) Unflushed() uint64 {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return 0
	}
	return s.db.Metrics().MemTable.Size
}

// Packs returns the number of StoreLogs calls stored since Open. Syncs/Packs should stay at one.
func (s *Store) Packs() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count.batches
}

// syncCounter counts the syncs of files named *.log, which are Pebble's write-ahead log.
type syncCounter struct {
	vfs.FS
	n atomic.Uint64
}

func (c *syncCounter) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &countedFile{File: f, n: &c.n}, nil
}

func (c *syncCounter) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, cat)
	return c.wrap(name, f, err)
}

func (c *syncCounter) ReuseForWrite(from, to string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.ReuseForWrite(from, to, cat)
	return c.wrap(to, f, err)
}

// Unwrap returns the counted file system.
func (c *syncCounter) Unwrap() vfs.FS { return c.FS }

type countedFile struct {
	vfs.File
	n *atomic.Uint64
}

func (f *countedFile) Sync() error {
	f.n.Add(1)
	return f.File.Sync()
}

func (f *countedFile) SyncData() error {
	f.n.Add(1)
	return f.File.SyncData()
}

func (f *countedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	if full {
		f.n.Add(1)
	}
	return full, err
}
