package log

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Entry reads one committed entry. It returns ErrNotFound beyond the end of the log and ErrNotCommitted for an
// entry that is not known to be committed.
func (s *Store) Entry(index uint64) (e Entry, err error) {
	err = s.one(index, func(found Entry, lasts bool) error {
		if e = found; !lasts {
			e.Data = bytes.Clone(found.Data)
		}
		return nil
	})
	return e, err
}

// With calls fn with one committed entry, which it does not copy: Data is valid only during the call. It returns the
// error of fn as is, and otherwise the errors of Entry. fn must not call the store.
func (s *Store) With(index uint64, fn func(Entry) error) error {
	return s.one(index, func(found Entry, _ bool) error { return fn(found) })
}

// one calls fn with a committed entry from memory, which lasts, or from the database. It leaves what is read ahead to
// Raft: a reader of single entries asks for others than Raft does.
func (s *Store) one(index uint64, fn func(e Entry, lasts bool) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	r, held, err := s.held(index)
	if err != nil {
		return err
	}
	if held {
		return fn(r.Entry, true)
	}
	v, done, err := s.db.Get(key(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return s.fail(fmt.Errorf("%w: entry %d is missing", ErrGap, index))
	}
	if err != nil {
		return s.fail(fmt.Errorf("log: read entry %d: %w", index, err))
	}
	if r, err = decodeRecord(index, v); err != nil {
		return s.fail(errors.Join(err, done.Close()))
	}
	err = fn(r.Entry, false)
	if cerr := done.Close(); cerr != nil {
		return errors.Join(err, cerr)
	}
	return err
}

// held returns a committed entry that is in memory. held is false if it has to be read from the database.
func (s *Store) held(index uint64) (r record, held bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case index == 0 || index > s.last:
		return r, false, fmt.Errorf("%w: %d", ErrNotFound, index)
	case index > s.committed:
		return r, false, fmt.Errorf("%w: %d", ErrNotCommitted, index)
	}
	if rs := s.tail.from(index); rs != nil {
		s.count.tailHits++
		return rs[0], true, nil
	}
	if r, held = s.ahead.get(index); held {
		s.count.aheadHits++
		return r, true, nil
	}
	s.count.misses++
	return r, false, nil
}
