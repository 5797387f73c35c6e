package log

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/recount-ledger/recount/internal/durable"
)

// Open opens or creates the log in dir and reads its bounds. It returns an error if the log does not start at
// 1, has a hole, is shorter than its recorded end or has an unreadable last entry. It repairs nothing.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := durable.MkdirAll(o.FS, dir, 0o755); err != nil {
		return nil, fmt.Errorf("log: create %s: %w", dir, err)
	}
	s := &Store{
		opts:    o,
		dir:     dir,
		commit:  o.Commit,
		done:    make(chan struct{}),
		keeping: make(chan struct{}),
		tail:    tail{limit: o.TailBytes},
	}
	s.sync = &syncCounter{FS: newWALPrefix(Backoff(MarkersLast(o.FS)), dir)}
	var err error
	if s.bound, err = openEnd(o.FS, dir); err != nil {
		return nil, fmt.Errorf("log: open %s: %w", dir, err)
	}
	if err := s.openPebble(dir); err != nil {
		return nil, fmt.Errorf("log: open %s: %w", dir, errors.Join(err, s.bound.f.Close()))
	}
	if err := s.check(); err != nil {
		return nil, errors.Join(fmt.Errorf("log: open %s: %w", dir, err), s.db.Close(), s.bound.f.Close())
	}
	s.sync.n.Store(0)
	go func() {
		defer close(s.keeping)
		s.keepEnd()
	}()
	return s, nil
}

// openPebble opens the database. The first write-ahead log of a new database has Pebble's oldest format, in
// which a damaged chunk looks like the end. Therefore an empty database is opened twice.
func (s *Store) openPebble(dir string) (err error) {
	if s.bound.at.index == 0 {
		if err := s.openOnce(dir); err != nil {
			return err
		}
		if err := s.db.Close(); err != nil {
			return err
		}
	}
	return s.openOnce(dir)
}

func (s *Store) openOnce(dir string) (err error) {
	s.db, err = pebble.Open(dir, s.opts.pebble(s.sync, s.pebbleFatal))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EAGAIN), strings.Contains(err.Error(), "lock held by current process"):
		return fmt.Errorf("%w (%w)", ErrInUse, err)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w: %s", ErrCorrupt, err, damagedAdvice)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != syscall.ENOENT {
		return err // the disk failed, or a permission is missing
	}
	return fmt.Errorf("%w: %s", err, damagedAdvice) // a file is missing or has contents that no release writes
}

// check reads the bounds and compares them with the recorded end.
func (s *Store) check() error {
	if err := s.loadBounds(); pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w: %s", ErrCorrupt, err, damagedAdvice)
	} else if err != nil {
		return err
	}
	if err := s.checkEnd(); err != nil {
		return err
	}
	return s.checkHoles()
}

// checkHoles looks for entries that are neither in a table nor in the write-ahead log. Tables have no holes
// inside because their keys were written in order.
func (s *Store) checkHoles() error {
	levels, err := s.db.SSTables()
	if err != nil {
		return err
	}
	var spans [][2]uint64
	for _, tables := range levels {
		for _, t := range tables {
			if lo, err := keyIndex(t.Smallest.UserKey); err == nil {
				hi, err := keyIndex(t.Largest.UserKey)
				if err == nil { // else the table has a range deletion, which extends to the end of all keys
					spans = append(spans, [2]uint64{lo, hi})
				}
			}
		}
	}
	slices.SortFunc(spans, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	next := uint64(1)
	for _, sp := range append(spans, [2]uint64{s.last + 1, s.last}) {
		for next < sp[0] && next <= s.last {
			rs, err := s.scan(next, min(sp[0]-1, s.last), aheadEntries, aheadBytes)
			if err != nil {
				return fmt.Errorf("%w: %s", err, damagedAdvice)
			}
			next += uint64(len(rs))
		}
		next = max(next, sp[1]+1)
	}
	return nil
}

func (s *Store) loadBounds() (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyPrefix}, UpperBound: keysEnd()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.First() {
		return it.Error()
	}
	if s.first, err = keyIndex(it.Key()); err != nil {
		return err
	}
	if s.first != 1 {
		return fmt.Errorf("%w: the log starts at entry %d: %s", ErrGap, s.first, damagedAdvice)
	}
	if !it.Last() {
		return errors.Join(ErrCorrupt, it.Error())
	}
	if s.last, err = keyIndex(it.Key()); err != nil {
		return err
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	r, err := decodeRecord(s.last, v)
	s.floor, s.committed = r.floor, r.floor
	return err
}
