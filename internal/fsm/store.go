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

// Store is one folded state on disk. Its rows can always be rebuilt from the log, so there is no write-ahead log: what was
// in memory at a crash, at most a few memtables, is folded again. Pebble makes whole batches durable in their order, which
// keeps rows and cursor together.
type Store struct {
	db  *pebble.DB
	dir string
	*health
	flusher flusher
}

// cacheBytes is the block cache of a folded state.
const cacheBytes = 64 << 20

// memTableBytes bounds what waits for a flush in memory.
const memTableBytes = 32 << 20

// What is folded again after a crash is bounded in events and in time: a second's work or less.
const (
	flushEvents  = 50_000
	flushSeconds = 30
)

// OpenStore opens or creates the folded state in dir. A nil fs means the disk. damaged may be nil; it is told once, by any
// goroutine, that a file of the store cannot be read, and must not wait. It is told ErrUnwritten, too, and must end the process
// then, with its last words; without damaged nothing can be read from the store any more.
func OpenStore(fs vfs.FS, dir string, log *slog.Logger, damaged func(error)) (*Store, error) {
	return openStore(fs, dir, log, damaged, false)
}

// openStore also opens what must survive a crash: synced writes need a write-ahead log.
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

// flusher knows what was written since the last flush was asked for.
type flusher struct {
	mu     sync.Mutex
	limit  int // events
	events int
	timer  interface{ Stop() bool } // runs while something waits for a flush
	closed bool
}

// wrote asks for a flush, without waiting for it, when enough events were folded; flushSeconds later in any case.
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

// Unflushed is how many bytes of memory wait for room on the disk, at most.
func (s *Store) Unflushed() uint64 { return s.db.Metrics().MemTable.Size }

// Close flushes and closes the store. What a full or bad disk does not take is folded again at the next start.
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

// Metrics are Pebble's own, sampled at scrape.
func (s *Store) Metrics() *pebble.Metrics { return s.db.Metrics() }

// Snapshot returns a view of one moment; the caller closes it.
func (s *Store) Snapshot() *View { return &View{r: s.db.NewSnapshot(), health: s.health} }

// begin starts a step of about so many rows; one that is not committed leaves no trace.
func (s *Store) begin(rows int) *txn {
	return &txn{View: View{r: s.db, health: s.health}, db: s.db, pending: make(map[string]int, rows)}
}

// View reads a store at one moment.
type View struct {
	r      pebble.Reader
	health *health // told of damage, nil for a closed generation
	done   func()  // called by Close, may be nil
}

// ErrDropped means that a generation is no longer on this node.
var ErrDropped = errors.New("fsm: this generation was dropped")

// droppedReader stands for the rows of a closed generation.
type droppedReader struct{ pebble.Reader }

func (droppedReader) Get([]byte) ([]byte, io.Closer, error) { return nil, nil, ErrDropped }

func (droppedReader) NewIter(*pebble.IterOptions) (*pebble.Iterator, error) { return nil, ErrDropped }

var _ projections.Store = (*View)(nil)

// Close releases the view.
func (v *View) Close() error {
	if v.done != nil {
		defer v.done()
	}
	if s, ok := v.r.(*pebble.Snapshot); ok {
		return s.Close()
	}
	return nil
}

// Get returns a copy of the value of key, nil when there is none.
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

// Scan calls fn for the rows in [lo, hi), backwards when reverse is set, until fn answers false. Key and value are
// valid only during the call.
func (v *View) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	it, err := v.r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return v.met(fmt.Errorf("scan folded state: %w", err))
	}
	step, ok := it.Next, false
	if reverse {
		step, ok = it.Prev, it.Last()
	} else {
		ok = it.First()
	}
	for ; ok; ok = step() {
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

// met passes an error of a read on. Damage makes the store one that must be folded anew, and the error is ErrDamaged then.
func (v *View) met(err error) error {
	if err == nil || v.health == nil || !pebble.IsCorruptionError(err) {
		return err
	}
	return v.health.note(err)
}

// txn is one atomic step of a fold. Point reads see its own writes; scans see only what was there before, which is
// enough because no fold scans rows that it writes in the same step.
type txn struct {
	View
	db      *pebble.DB
	pending map[string]int // key -> its newest operation, among those of its space
	ops     [256][]op      // by space, the first byte of a key
	room    []byte         // for the next keys and values
	cleared [2][]byte      // keys from the first to before the second go before everything else
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

// Set writes a row; no key is empty. Errors surface at commit.
func (t *txn) Set(k, v []byte) { t.push(op{key: t.key(k), value: t.keep(v)}) }

// Delete removes a row.
func (t *txn) Delete(k []byte) { t.push(op{key: t.key(k), deleted: true}) }

// clear removes a range of rows, at the cost of one row. The step must not read them, nor write there before.
func (t *txn) clear(lo, hi []byte) { t.cleared = [2][]byte{lo, hi} }

func (t *txn) push(o op) {
	space := &t.ops[o.key[0]]
	t.pending[o.key] = len(*space)
	*space = append(*space, o)
}

// roomBytes is how much is allocated at once for the keys and values of a step.
const roomBytes = 64 << 10

// keep copies b into a piece of memory that is never written again.
func (t *txn) keep(b []byte) []byte {
	if len(b) > len(t.room) {
		t.room = make([]byte, max(roomBytes, len(b)))
	}
	out := t.room[:len(b):len(b)]
	t.room = t.room[copy(out, b):]
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
	// Space by space: rows that are neighbours and are written together save the memtable most of its searches.
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
