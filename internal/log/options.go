// Package log keeps the Raft log, which is the event log: a raft.LogStore on Pebble that is synced on every append and
// never compacted, a reader of its committed part, and the Merkle helpers of the ledger.
//
// It refuses to delete anything that may be committed, to leave a hole, to go on after a store error, to show an entry
// that is not committed to anybody but Raft, and to interpret entries.
package log

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ExitStore is the exit status of a process whose log store failed or refused.
const ExitStore = 70

var (
	// ErrRefusedDelete: Raft asked to delete something else than a suffix above the committed floor.
	ErrRefusedDelete = errors.New("log: refused to delete")
	// ErrGap: an append that does not start at last+1, or a hole in the stored log.
	ErrGap = errors.New("log: gap")
	// ErrCorrupt: a stored entry that cannot be read, or a floor above the end of the log.
	ErrCorrupt = errors.New("log: corrupt entry")
	// ErrInUse: another process, or another Store, has the directory.
	ErrInUse = errors.New("log: this directory is in use by another process; stop that one first, and never run two nodes on one directory")
	// ErrNotCommitted: the entry may still vanish.
	ErrNotCommitted = errors.New("log: entry is not committed")
	// ErrNotFound: no entry has this index.
	ErrNotFound = errors.New("log: no such entry")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("log: closed")
	// ErrFailed: the store failed or refused earlier and does nothing any more; it wraps the first failure.
	ErrFailed = errors.New("log: store has failed")
)

// Options of a Store. The zero value of each field takes the default that is named.
type Options struct {
	FS            vfs.FS        // default: the operating system's
	Logger        *slog.Logger  // default: discards
	Fatal         func(error)   // called once on a failure or refusal; default: log and exit with ExitStore
	Commit        func() uint64 // Raft's CommitIndex; see SetCommitSource
	TailBytes     int           // bound on the payload bytes of recent entries kept in memory; default 64 MiB
	MemTableBytes int           // Pebble's memtable and table size; default 64 MiB
	CacheBytes    int64         // Pebble's block cache; default 32 MiB
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Fatal == nil {
		logger := o.Logger
		o.Fatal = func(err error) {
			logger.Error("the event log stops this process", "error", err)
			os.Exit(ExitStore)
		}
	}
	if o.TailBytes == 0 {
		o.TailBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 64 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	return o
}

// pebble returns the Pebble options for an append-only key order: tables never overlap, so the thresholds that stall
// writers are far away and compactions are moves of single tables.
func (o Options) pebble(fs vfs.FS, fatal func(error)) *pebble.Options {
	p := &pebble.Options{
		FS:                          fs,
		CacheSize:                   o.CacheBytes,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0CompactionFileThreshold:   64,
		L0StopWritesThreshold:       1000,
		BytesPerSync:                512 << 10,
		MaxOpenFiles:                4096,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		Logger:                      pebbleLogger{o.Logger, fatal},
		EventListener: &pebble.EventListener{DataCorruption: func(info pebble.DataCorruptionInfo) {
			fatal(fmt.Errorf("%w: %s: %w: %s", ErrCorrupt, info.Path, info.Details, damagedAdvice))
		}},
	}
	for i := range p.Levels {
		p.TargetFileSizes[i] = int64(o.MemTableBytes)
		p.Levels[i].BlockSize = 32 << 10
		p.Levels[i].IndexBlockSize = 256 << 10
	}
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return p
}

// pebbleLogger sends Pebble's log to slog. Pebble goes on after Fatalf returns, so Fatalf also marks the store failed.
type pebbleLogger struct {
	log   *slog.Logger
	fatal func(error)
}

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("pebble: "+format, args...))
}
