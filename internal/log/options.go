// Package log stores the Raft log, which is at the same time the event log of the ledger. It implements
// raft.LogStore on Pebble, reads the committed part for folds and proofs, and has the helpers for the ledger's
// Merkle tree. It does not interpret the entries that it stores.
//
// # Writing
//
// Raft appends entries with StoreLogs. A call returns after one fsync, whatever the number of its entries, so
// the packs that package propose makes share the cost of the disk. Entries are never compacted and there are no
// snapshots: the log is the history. Raft may delete only a suffix, when a new leader overwrites entries that
// were never committed.
//
//	leader:   StoreLogs([7 8 9])     one batch, one fsync, "end" says 9
//	follower: DeleteRange(9, 9)      "end" says 8, then the entry goes
//	          StoreLogs([9' 10])     the entries of the new leader
//
// # Bytes
//
// The key of an entry is the byte 'e' and the index. Its value is a header of 32 bytes, the extension that Raft
// attaches (usually none) and the data. Integers are big-endian.
//
//	offset  size
//	     0     1  format, 1
//	     1     1  raft.LogType
//	     2     2  flags: 1 if appended-at is set
//	     4     8  term
//	    12     8  appended-at, Unix nanoseconds
//	    20     8  committed floor
//	    28     4  length of the extension
//	    32        extension, then data
//
// Entry 7 of term 2, of type LogCommand, with the data "hi", stored when entry 6 was known to be committed:
//
//	key    65 0000000000000007
//	value  01 00 0000 0000000000000002 0000000000000000
//	       0000000000000006 00000000 6869
//
// # What is committed
//
// Raft tells no store what is committed, but folds must never see an entry that may vanish. The store keeps two
// positions. The floor comes from the headers of stored entries. It survives a restart and guards DeleteRange.
// The committed position starts at the floor and moves with CommittedTo, which package fsm calls for the entries
// that Raft commits. Read, Entry and Wait serve entries up to the committed position. GetLog serves all, for
// Raft alone.
//
//	next := cursor.Index + 1
//	for {
//		committed, err := store.Wait(ctx, next-1)
//		...
//		next, err = store.Read(next, 4<<20, func(e log.Entry) error { ... })
//	}
//
// # Damage
//
// A node that has lost acknowledged entries must not vote. When its write-ahead log is damaged, Pebble opens a
// shorter log without an error. The file "end" records a lower bound for the end of the log, with the term and
// the checksum of that entry, and Open refuses a log that ends earlier. The bound is synced once a second, so
// it can lag the log by about a second. Scrub reads every table from the disk to find damage early.
//
// # Copies
//
// Checkpoint copies the log while it is written to, and Trim cuts such a copy behind an entry. Backups are made of such
// copies. A copy that is not finished, or is shorter than it was, is refused like any damaged log.
//
// # Limits
//
// A Store never repairs anything and never continues after an error. Appending with a gap (ErrGap), deleting
// what may be committed (ErrRefusedDelete) and errors of the disk mark it failed, call Options.Fatal once, and
// make every later call return ErrFailed. One process may open a directory at a time (ErrInUse). An entry has
// at most about 1 GiB, including its header.
package log

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ExitStore is the exit status of a process whose log store failed or refused a request.
const ExitStore = 70

var (
	// ErrRefusedDelete means that Raft asked to delete something other than a suffix above the committed floor.
	ErrRefusedDelete = errors.New("log: refused to delete")
	// ErrGap means that an append did not start at last+1 or that the stored log has a hole.
	ErrGap = errors.New("log: gap")
	// ErrCorrupt means that a stored entry cannot be read or that a floor is above the end of the log.
	ErrCorrupt = errors.New("log: corrupt entry")
	// ErrInUse means that another process, or another Store, has the directory open.
	ErrInUse = errors.New("log: this directory is in use by another process; stop that one first, and never " +
		"run two nodes on one directory")
	// ErrNotCommitted means that the entry is not known to be committed and may still be deleted.
	ErrNotCommitted = errors.New("log: entry is not committed")
	// ErrNotFound means that the log has no entry with this index.
	ErrNotFound = errors.New("log: no such entry")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("log: closed")
	// ErrFailed means that the store failed or refused a request earlier. It wraps the first failure.
	ErrFailed = errors.New("log: store has failed")
)

// Options configure a Store. The zero value of a field selects the default.
type Options struct {
	FS            vfs.FS        // default: the operating system's
	Logger        *slog.Logger  // default: discards
	Fatal         func(error)   // called once on a failure or refusal; default: log and exit with ExitStore
	Commit        func() uint64 // Raft's CommitIndex; see SetCommitSource
	TailBytes     int           // bound on the payload bytes of recent entries kept in memory; default defaultTail
	MemTableBytes int           // Pebble's memtable and table size; default 64 MiB
	CacheBytes    int64         // blocks of tables that Pebble keeps in memory; default 32 MiB
}

// defaultTail bounds the recent entries in memory, in bytes. It holds about two seconds of submissions on fast
// nodes, more than folds and followers usually fall behind. Older entries come from Pebble, which has the newest
// of them in memory, too. Go keeps several times this amount of memory, because it lets the heap grow before it
// collects.
const defaultTail = 16 << 20

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
		o.TailBytes = defaultTail
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 64 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	return o
}

// pebble returns Pebble options for keys that only grow. Tables never overlap, so the thresholds that stall
// writers are out of reach and compactions move single tables. A table is compressed once, when it is written
// from memory, and with the fastest method. The write-ahead log is not compressed. Pebble takes its memtables out of the
// cache: the one that is written, and one that it keeps for use again.
func (o Options) pebble(fs vfs.FS, fatal func(error)) *pebble.Options {
	p := &pebble.Options{
		FS:                          fs,
		CacheSize:                   o.CacheBytes + 2*int64(o.MemTableBytes),
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
	p.Experimental.CompactionScheduler = Compactions()
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	return p
}

// pebbleLogger sends Pebble's log to slog. Pebble continues after Fatalf returns, so Fatalf also marks the
// store failed.
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
