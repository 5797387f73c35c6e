package log

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// Store is the log of one node. It implements raft.LogStore. All methods are safe for concurrent use.
type Store struct {
	opts Options
	dir  string
	db   *pebble.DB
	sync *syncCounter

	bound   *endFile      // lower bound of the end of the log
	keeping chan struct{} // closed when keepEnd has returned

	life   sync.RWMutex // read-locked during every use of db
	closed bool
	done   chan struct{} // closed by Close and by the first failure
	end    sync.Once
	failed atomic.Pointer[error]

	writing sync.Mutex // one writer at a time
	started atomic.Pointer[time.Time]

	mu        sync.Mutex // guards the fields below and is never held during I/O
	commit    func() uint64
	first     uint64 // 0 when empty
	last      uint64 // 0 when empty
	floor     uint64
	committed uint64
	promised  promise       // what the leader said is committed and is not here yet
	moved     chan struct{} // closed when committed moves, nil without waiters
	epoch     uint64        // counts deletions
	tail      tail
	ahead     ahead
	count     counters
}

var _ raft.LogStore = (*Store)(nil)

// Close waits for calls in progress and closes the database. It leaves a failed store as it is.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.end.Do(func() { close(s.done) })
	<-s.keeping
	if err := s.failure(); err != nil {
		return err
	}
	return errors.Join(s.db.Close(), s.bound.close())
}

// enter acquires life for reading. If it returns nil, the caller must call s.life.RUnlock.
func (s *Store) enter() error {
	s.life.RLock()
	err := s.failure()
	if s.closed {
		err = ErrClosed
	}
	if err != nil {
		s.life.RUnlock()
	}
	return err
}

func (s *Store) failure() error {
	if p := s.failed.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrFailed, *p)
	}
	return nil
}

// Failures returns 1 after the store has failed or refused a request, and 0 before.
func (s *Store) Failures() uint64 {
	if s.failed.Load() != nil {
		return 1
	}
	return 0
}

// fail marks the store failed, calls Options.Fatal the first time, and returns err for the caller to return.
func (s *Store) fail(err error) error {
	if s.failed.CompareAndSwap(nil, &err) {
		s.opts.Logger.Error("log store failed", "error", err)
		s.end.Do(func() { close(s.done) })
		s.opts.Fatal(err)
	}
	return err
}

func (s *Store) pebbleFatal(err error) { _ = s.fail(err) }

// SetCommitSource sets the function that returns Raft's commit index. Every append stores that index as the
// floor.
func (s *Store) SetCommitSource(commit func() uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit = commit
}

// FirstIndex returns the index of the first entry, or 0 if the log is empty.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, nil
}

// LastIndex returns the index of the last entry, or 0 if the log is empty.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

// StoreLog appends one entry. See StoreLogs.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries with one fsync and returns when they are durable. The first must have the index
// last+1, else the error is ErrGap. Every error is fatal. The store retains the Data slices, so they must not
// be modified.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.beginWrite(); err != nil {
		return err
	}
	defer s.endWrite()
	last, floor := s.bounds()
	records := make([]record, len(logs))
	for i, l := range logs {
		if l.Index != last+1+uint64(i) {
			return s.fail(fmt.Errorf("%w: entry %d after %d", ErrGap, l.Index, last+uint64(i)))
		}
		records[i] = recordOf(l, floor)
		if n := records[i].size(); n > maxValue {
			return s.fail(fmt.Errorf("log: entry %d has %d bytes", l.Index, n))
		}
	}
	if err := s.commitBatch(func(b *pebble.Batch) error { return putAll(b, records) }); err != nil {
		return s.fail(fmt.Errorf("log: store entries %d..%d: %w", last+1, last+uint64(len(logs)), err))
	}
	if err := s.bound.put(markOf(&records[len(records)-1])); err != nil {
		return s.fail(err)
	}
	s.stored(records, floor)
	return nil
}

// bounds returns the last index and the committed floor. The floor is the maximum of the previous floor, Raft's
// commit index and the committed position, but never above the last index.
func (s *Store) bounds() (last, floor uint64) {
	s.mu.Lock()
	commit := s.commit
	s.mu.Unlock()
	if commit != nil {
		floor = commit()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, min(max(floor, s.floor, s.committed), s.last)
}

func putAll(b *pebble.Batch, records []record) error {
	for i := range records {
		r := &records[i]
		op := b.SetDeferred(keySize, r.size())
		copy(op.Key, key(r.Index))
		r.encode(op.Value)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) stored(records []record, floor uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == 0 {
		s.first = records[0].Index
	}
	s.last = records[len(records)-1].Index
	s.floor = max(s.floor, floor)
	s.count.batches++
	s.count.entries += uint64(len(records))
	for i := range records {
		s.count.bytes += uint64(len(records[i].Data))
		s.tail.push(records[i])
	}
	s.keepPromise()
}

// commitBatch commits durably. Pebble reports a failed commit through Fatalf, which marks the store failed, or
// through a panic, never as an error.
func (s *Store) commitBatch(fill func(*pebble.Batch) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble: %v", p)
		}
	}()
	b := s.db.NewBatch()
	if err := fill(b); err != nil {
		return err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return err
	}
	if err := s.failure(); err != nil {
		return err
	}
	return b.Close()
}

func (s *Store) beginWrite() error {
	if err := s.enter(); err != nil {
		return err
	}
	s.writing.Lock()
	if err := s.failure(); err != nil {
		s.writing.Unlock()
		s.life.RUnlock()
		return err
	}
	now := time.Now()
	s.started.Store(&now)
	return nil
}

func (s *Store) endWrite() {
	s.started.Store(nil)
	s.writing.Unlock()
	s.life.RUnlock()
}

// StoreStarted returns the start time of the write in progress. busy is false if there is none.
func (s *Store) StoreStarted() (since time.Time, busy bool) {
	if t := s.started.Load(); t != nil {
		return *t, true
	}
	return time.Time{}, false
}

// DeleteRange durably deletes the entries lo to hi. hi must be the last entry and lo must be above every index
// known to be committed, else the error is ErrRefusedDelete. Every error is fatal.
func (s *Store) DeleteRange(lo, hi uint64) error {
	if err := s.beginWrite(); err != nil {
		return err
	}
	defer s.endWrite()
	_, floor := s.bounds()
	if err := s.cut(lo, hi, floor); err != nil {
		return s.fail(err)
	}
	if err := s.lowerEnd(lo - 1); err != nil {
		return s.fail(err)
	}
	err := s.commitBatch(func(b *pebble.Batch) error { return b.DeleteRange(key(lo), keysEnd(), nil) })
	if err != nil {
		return s.fail(fmt.Errorf("log: delete entries %d..%d: %w", lo, hi, err))
	}
	return nil
}

// cut checks the request and drops the suffix from memory, so that no reader sees it while it is being deleted.
func (s *Store) cut(lo, hi, floor uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	floor = max(floor, s.committed)
	if s.last == 0 || lo > hi || lo < s.first || hi != s.last || lo <= floor {
		return fmt.Errorf("%w %d..%d: the log holds %d..%d and is committed to %d at least",
			ErrRefusedDelete, lo, hi, s.first, s.last, floor)
	}
	s.last = lo - 1
	if s.last == 0 {
		s.first = 0
	}
	s.epoch++
	s.tail.cut(lo)
	s.ahead = ahead{}
	return nil
}
