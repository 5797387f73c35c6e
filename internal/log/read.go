package log

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// Entry is one entry of the log, of any type. Data must not be modified.
type Entry struct {
	Index, Term uint64
	Type        raft.LogType
	Data        []byte
}

// Command reports whether the entry holds events, and is none of those that Raft makes for itself.
func (e Entry) Command() bool { return e.Type == raft.LogCommand }

// GetLog reads one entry for Raft, committed or not. If the entry is absent, GetLog returns exactly
// raft.ErrLogNotFound. A read error or a hole is fatal.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	r, err := s.lookup(index)
	if err != nil {
		return err
	}
	r.fill(l)
	return nil
}

func (s *Store) lookup(index uint64) (record, error) {
	s.mu.Lock()
	if index < s.first || index > s.last || index == 0 {
		s.mu.Unlock()
		return record{}, raft.ErrLogNotFound
	}
	if rs := s.tail.from(index); rs != nil {
		r := rs[0]
		s.count.tailHits++
		s.mu.Unlock()
		return r, nil
	}
	if r, ok := s.ahead.get(index); ok {
		s.count.aheadHits++
		s.mu.Unlock()
		return r, nil
	}
	s.count.misses++
	limit := 1
	if _, ok := s.ahead.sequential(index); ok {
		limit = aheadEntries
	}
	last, epoch := s.last, s.epoch
	s.mu.Unlock()
	recs, err := s.scan(index, last, limit, aheadBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		// A suffix was deleted meanwhile. Cache nothing, and return only what is still there.
		if index > s.last || len(recs) == 0 {
			return record{}, raft.ErrLogNotFound
		}
		return recs[0], nil
	}
	if err != nil {
		return record{}, s.fail(err)
	}
	s.ahead.put(recs)
	return recs[0], nil
}

// scan reads consecutive entries from the database: at least one, at most limit, and about maxBytes.
func (s *Store) scan(from, to uint64, limit, maxBytes int) (out window, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: key(from), UpperBound: keysEnd()})
	if err != nil {
		return nil, fmt.Errorf("log: read entry %d: %w", from, err)
	}
	defer func() {
		if cerr := it.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("log: read entry %d: %w", from, cerr))
		}
	}()
	want, size := from, 0
	for ok := it.First(); ok && want <= to && len(out) < limit; ok = it.Next() {
		r, err := readRecord(it, want)
		if err != nil {
			return out, err
		}
		if size += r.size(); size > maxBytes && len(out) > 0 {
			return out, nil
		}
		out = append(out, r)
		want++
	}
	if err := it.Error(); err != nil {
		return out, fmt.Errorf("log: read entry %d: %w", want, err)
	}
	if want <= to && len(out) < limit {
		return out, fmt.Errorf("%w: entry %d is missing, the log ends at %d", ErrGap, want, to)
	}
	return out, nil
}

// readRecord copies the entry under the iterator, which must have the index want.
func readRecord(it *pebble.Iterator, want uint64) (record, error) {
	index, err := keyIndex(it.Key())
	if err != nil {
		return record{}, err
	}
	if index != want {
		return record{}, fmt.Errorf("%w: entry %d where %d belongs", ErrGap, index, want)
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return record{}, fmt.Errorf("log: read entry %d: %w", want, err)
	}
	return decodeRecord(index, append(make([]byte, 0, len(v)), v...))
}

// Read calls fn for committed entries in order, starting with index from. It stops after about maxBytes, but
// passes at least one entry if there is one. It returns the index after the last entry that fn accepted. If fn
// returns an error, Read stops and returns that error as is. The Data of an entry stays valid.
func (s *Store) Read(from uint64, maxBytes int, fn func(Entry) error) (next uint64, err error) {
	if from == 0 {
		return from, fmt.Errorf("%w: 0", ErrNotFound)
	}
	recs, err := s.readCommitted(from, maxBytes)
	if err != nil {
		return from, err
	}
	for i := range recs {
		if err := fn(recs[i].Entry); err != nil {
			return recs[i].Index, err
		}
	}
	return from + uint64(len(recs)), nil
}

func (s *Store) readCommitted(from uint64, maxBytes int) (window, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	s.mu.Lock()
	to := s.committed
	if from > to {
		s.mu.Unlock()
		return nil, nil
	}
	if rs := s.tail.from(from); rs != nil {
		out := bounded(rs, to, maxBytes)
		s.count.tailHits += uint64(len(out))
		s.mu.Unlock()
		return out, nil
	}
	s.count.misses++
	s.mu.Unlock()
	const limit = 4096
	recs, err := s.scan(from, to, limit, maxBytes)
	if err != nil {
		return nil, s.fail(err)
	}
	return recs, nil
}

// bounded copies records up to index to, about maxBytes of them but at least one.
func bounded(rs []record, to uint64, maxBytes int) window {
	n, size := 0, 0
	for n < len(rs) && rs[n].Index <= to {
		if size += rs[n].size(); size > maxBytes && n > 0 {
			break
		}
		n++
	}
	return append(window(nil), rs[:n]...)
}

// Floor returns a lower bound of the committed index, taken from the headers of stored entries. It survives a
// restart.
func (s *Store) Floor() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.floor
}

// Committed returns the index of the last entry that readers may see. It starts at the floor and follows
// CommittedTo.
func (s *Store) Committed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// CommittedTo records that entries up to index are committed. It ignores an index lower than an earlier one. An
// index beyond the end of the log is fatal.
func (s *Store) CommittedTo(index uint64) {
	if last, ok := s.publish(index); !ok {
		_ = s.fail(fmt.Errorf("%w: entry %d was committed, the log ends at %d", ErrGap, index, last))
	}
}

func (s *Store) publish(index uint64) (last uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index > s.last {
		return s.last, false
	}
	s.advance(index)
	return s.last, true
}

// advance moves the committed position up to index and wakes those who wait. s.mu must be held.
func (s *Store) advance(index uint64) {
	if index <= s.committed {
		return
	}
	s.committed = index
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// Wait blocks until the committed index is above after, and returns it. It fails with ctx's error, ErrClosed or
// ErrFailed.
func (s *Store) Wait(ctx context.Context, after uint64) (committed uint64, err error) {
	for {
		s.mu.Lock()
		committed = s.committed
		if committed > after {
			s.mu.Unlock()
			return committed, nil
		}
		if s.moved == nil {
			s.moved = make(chan struct{})
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-s.done:
			if err := s.failure(); err != nil {
				return committed, err
			}
			return committed, ErrClosed
		case <-ctx.Done():
			return committed, ctx.Err()
		}
	}
}
