package fsm

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// Store is one folded state on disk. Its rows can always be rebuilt from the log, so it has no write-ahead log.
// What was in memory at a crash, at most a few memtables, is folded again. Pebble makes whole batches durable
// in order, which keeps rows and cursor consistent.
type Store struct {
	db  *pebble.DB
	dir string
	*health
	flusher flusher
}

// cacheBytes is the size of the block cache of a folded state.
const cacheBytes = 64 << 20

// memTableBytes is the size of a memtable, which is kept in memory until it is flushed.
const memTableBytes = 32 << 20

// The work that is folded again after a crash is bounded in events and in time, to about a second.
const (
	flushEvents  = 50_000
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
	fs = log.Backoff(fs)
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
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	o.Cache = cache
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open folded state %s: %w", dir, err)
	}
	s := &Store{db: db, dir: dir, health: h}
	s.flusher.limit = flushEvents
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

// Unflushed returns an upper bound for the bytes in memory that are not yet on disk.
func (s *Store) Unflushed() uint64 { return s.db.Metrics().MemTable.Size }

// Close flushes and closes the store. What a full or bad disk does not accept is folded again at the next
// start.
func (s *Store) Close() error {
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
			return errors.Join(err, s.db.Close())
		}
		select {
		case <-flushed:
		case <-s.failing:
			s.log.Warn("the folded state could not be flushed; its end is folded again at the next start")
		}
	}
	err := s.db.Close()
	if s.Damage() != nil {
		return nil // it is deleted
	}
	return err
}

// Metrics returns Pebble's own metrics.
func (s *Store) Metrics() *pebble.Metrics { return s.db.Metrics() }

// Snapshot returns a snapshot of the store. The caller closes it.
func (s *Store) Snapshot() *View { return &View{r: s.db.NewSnapshot(), health: s.health} }

// begin starts a transaction of about that many rows. Without a commit it leaves no trace.
func (s *Store) begin(rows int) *txn {
	return &txn{View: View{r: s.db, health: s.health}, db: s.db, pending: make(map[string]int, rows)}
}

// keptRows bounds the rows of a transaction whose memory serves the next one.
const keptRows = 2048

// again starts a transaction in the memory of the last one of the same fold, which is over and may be nil. What was
// read from that one is not valid any more.
func (s *Store) again(last *txn, rows int) *txn {
	if last == nil || max(rows, len(last.pending)) > keptRows {
		return s.begin(rows)
	}
	clear(last.pending)
	for i := range last.ops {
		last.ops[i] = last.ops[i][:0]
	}
	last.block, last.cleared = last.first, [2][]byte{}
	return last
}

// View is a snapshot of a store.
type View struct {
	r      pebble.Reader
	health *health // receives damage, nil for a closed generation
	done   func()  // called by Close, may be nil
}

// ErrDropped means that a generation is no longer on this node.
var ErrDropped = errors.New("fsm: this generation was dropped")

// droppedReader replaces the rows of a closed generation.
type droppedReader struct{ pebble.Reader }

func (droppedReader) Get([]byte) ([]byte, io.Closer, error) { return nil, nil, ErrDropped }

func (droppedReader) NewIter(*pebble.IterOptions) (*pebble.Iterator, error) { return nil, ErrDropped }

var _ projections.Store = (*View)(nil)

// Close releases the snapshot.
func (v *View) Close() error {
	if v.done != nil {
		defer v.done()
	}
	if s, ok := v.r.(*pebble.Snapshot); ok {
		return s.Close()
	}
	return nil
}

// Get returns a copy of the value of key, or nil if there is none.
func (v *View) Get(key []byte) ([]byte, error) {
	val, closer, err := v.r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, v.met(fmt.Errorf("read folded state: %w", err))
	}
	out := append(make([]byte, 0, len(val)), val...)
	return out, closer.Close()
}

// Scan calls fn for the rows in [lo, hi), backwards if reverse is set, until fn returns false. Key and value
// are valid only during the call.
func (v *View) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	it, err := v.r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return v.met(fmt.Errorf("scan folded state: %w", err))
	}
	first, step := it.First, it.Next
	if reverse {
		first, step = it.Last, it.Prev
	}
	for ok := first(); ok; ok = step() {
		val, err := it.ValueAndErr()
		if err != nil {
			return v.met(errors.Join(fmt.Errorf("scan folded state: %w", err), it.Close()))
		}
		if !fn(it.Key(), val) {
			break
		}
	}
	return v.met(errors.Join(it.Error(), it.Close()))
}

// met returns the error of a read. If the error shows damage, met marks the store damaged and returns
// ErrDamaged.
func (v *View) met(err error) error {
	if err == nil || v.health == nil || !pebble.IsCorruptionError(err) {
		return err
	}
	return v.health.note(err)
}

// txn is one atomic step of a fold. Point reads see its own writes. Scans see only earlier steps, which is
// enough because no fold scans rows that it writes in the same step.
type txn struct {
	View
	db      *pebble.DB
	pending map[string]int // key -> index of its newest operation, among those of its space
	ops     [256][]op      // by space, the first byte of a key
	first   []byte         // the first block of memory for keys and values
	block   []byte         // what is free in the current block
	cleared [2][]byte      // range of keys to delete before all other operations
}

type op struct {
	key     string
	value   []byte
	deleted bool
}

var _ projections.Tx = (*txn)(nil)

func (t *txn) Get(key []byte) ([]byte, error) {
	if i, ok := t.pending[string(key)]; ok {
		return t.ops[key[0]][i].value, nil
	}
	return t.View.Get(key)
}

// Set writes a row. The key must not be empty. Errors surface at commit.
func (t *txn) Set(k, v []byte) { t.push(op{key: t.key(k), value: t.keep(v)}) }

// Delete removes a row.
func (t *txn) Delete(k []byte) { t.push(op{key: t.key(k), deleted: true}) }

// clear deletes a range of rows with a single range deletion. The step must not read them nor write there
// before.
func (t *txn) clear(lo, hi []byte) { t.cleared = [2][]byte{lo, hi} }

func (t *txn) push(o op) {
	space := &t.ops[o.key[0]]
	t.pending[o.key] = len(*space)
	*space = append(*space, o)
}

// blockBytes is the size of the blocks in which memory for keys and values is allocated.
const blockBytes = 64 << 10

// keep copies b into memory that is not written again during the step.
func (t *txn) keep(b []byte) []byte {
	if len(b) > len(t.block) {
		t.block = make([]byte, max(blockBytes, len(b)))
		if t.first == nil {
			t.first = t.block
		}
	}
	out := t.block[:len(b):len(b)]
	t.block = t.block[copy(out, b):]
	return out
}

func (t *txn) key(k []byte) string {
	return unsafe.String(unsafe.SliceData(t.keep(k)), len(k))
}

// commit applies the step atomically, without waiting for the disk.
func (t *txn) commit() error { return t.apply(pebble.NoSync) }

func (t *txn) apply(how *pebble.WriteOptions) error {
	batch := t.db.NewBatch()
	defer batch.Close()
	if t.cleared[1] != nil {
		if err := batch.DeleteRange(t.cleared[0], t.cleared[1], nil); err != nil {
			return fmt.Errorf("write folded state: %w", err)
		}
	}
	// Write space by space: neighbouring rows that are written together save the memtable most of its searches.
	for space := range t.ops {
		for i, o := range t.ops[space] {
			if t.pending[o.key] != i {
				continue
			}
			if err := put(batch, o); err != nil {
				return fmt.Errorf("write folded state: %w", err)
			}
		}
	}
	if err := t.db.Apply(batch, how); err != nil {
		return fmt.Errorf("write folded state: %w", err)
	}
	return t.health.Damage()
}

func put(batch *pebble.Batch, o op) error {
	key := unsafe.Slice(unsafe.StringData(o.key), len(o.key)) // Pebble copies it
	if o.deleted {
		return batch.Delete(key, nil)
	}
	return batch.Set(key, o.value, nil)
}

// prefixedStore puts every key of a projection under one byte, so that several keyspaces share a store.
type prefixedStore struct {
	s      projections.Store
	prefix byte
}

func (p prefixedStore) key(k []byte) []byte {
	return append(append(make([]byte, 0, len(k)+1), p.prefix), k...)
}

func (p prefixedStore) Get(k []byte) ([]byte, error) { return p.s.Get(p.key(k)) }

func (p prefixedStore) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	upper := []byte{p.prefix + 1}
	if hi != nil {
		upper = p.key(hi)
	}
	return p.s.Scan(p.key(lo), upper, reverse, func(k, v []byte) bool { return fn(k[1:], v) })
}

// prefixed is prefixedStore for a step of a fold.
type prefixed struct {
	prefixedStore
	tx projections.Tx
}

func inSpace(tx projections.Tx, prefix byte) prefixed {
	return prefixed{prefixedStore{tx, prefix}, tx}
}

func (p prefixed) Set(k, v []byte) { p.tx.Set(p.key(k), v) }
func (p prefixed) Delete(k []byte) { p.tx.Delete(p.key(k)) }
