package log

import (
	"context"
	"errors"
	"fmt"
)

// verifyStep is the bytes of entries that Verify reads at a time.
const verifyStep = 4 << 20

// Verify opens the log in dir as Open does, reads each entry and closes it. It returns the last entry's index and term.
// It is for a log that came from elsewhere, so it never calls Options.Fatal, and gives back what it holds after an
// error, too, so that the caller may remove dir and go on. Opening a log may write to dir. The end of ctx ends it.
func Verify(ctx context.Context, dir string, o Options) (last, term uint64, err error) {
	o.Fatal = func(error) {}
	fs := o.withDefaults().FS
	if _, err := fs.Stat(fs.PathJoin(dir, endName)); err != nil {
		return 0, 0, fmt.Errorf("log: verify %s, which has no finished log: %w", dir, err) // Open would create one
	}
	s, err := Open(dir, o)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.abandon()) }()
	s.CommittedTo(s.last)
	for next := uint64(1); next <= s.last; {
		next, err = s.Read(next, verifyStep, func(e Entry) error {
			term = e.Term
			return ctx.Err()
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return s.last, term, nil
}

// abandon closes the store as Close does, and the database of a store that has failed.
func (s *Store) abandon() error {
	err := s.Close()
	if s.failure() == nil {
		return err
	}
	return errors.Join(s.db.Close(), s.bound.f.Close())
}
