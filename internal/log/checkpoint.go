package log

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/durable"
)

// Checkpoint creates dir, on the same file system, and makes a copy of the log there while this one goes on. Tables
// are hard links, the rest are copies, so it takes the space of the unwritten memtables and some milliseconds.
// Tables that the log drops later keep their space until the copy is removed.
//
// The copy has every entry up to index, which must be committed, else the error is ErrNotCommitted or ErrNotFound.
// It may have more entries, also some that were never committed. Trim removes them. The file "end" comes last: Open
// refuses a copy that a crash has interrupted, or that has lost an entry up to index. What an error leaves in dir
// may be removed. Only an unreadable entry is fatal, as in every read. The end of ctx ends the wait for a full
// disk.
func (s *Store) Checkpoint(ctx context.Context, dir string, index uint64) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	at, err := s.committedMark(index)
	if err != nil {
		return err
	}
	if err := s.flushLarge(ctx); err != nil {
		return fmt.Errorf("log: copy to %s: %w", dir, err)
	}
	if err := s.db.Checkpoint(dir); err != nil {
		return fmt.Errorf("log: copy to %s: %w", dir, err)
	}
	e, err := writeEnd(s.opts.FS, dir, at)
	if err != nil {
		return fmt.Errorf("log: copy to %s: %w", dir, err)
	}
	return errors.Join(e.close(), durable.SyncDir(s.opts.FS, s.opts.FS.PathDir(dir)))
}

// flushLarge writes the memtable to a table if a copy of its write-ahead log would be large. Tables of later copies
// are links to it. Flushing less would leave one small table for every copy, and Pebble never joins them.
func (s *Store) flushLarge(ctx context.Context) error {
	if s.db.Metrics().WAL.Size < uint64(s.opts.MemTableBytes)/4 {
		return nil
	}
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-s.done:
		return s.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// committedMark returns the mark of a committed entry.
func (s *Store) committedMark(index uint64) (mark, error) {
	r, held, err := s.held(index)
	if err != nil {
		return mark{}, err
	}
	if !held {
		rs, err := s.scan(index, index, 1, 1)
		if err != nil {
			return mark{}, s.fail(err)
		}
		r = rs[0]
	}
	return markOf(&r), nil
}

// Trim removes the entries behind index from the log in dir, which no process may have open, and makes index the
// lower bound of its end. The caller knows that the entry is where the log is to end: Trim removes committed
// entries, too. It first checks the log as Open does, and fails with ErrNotFound if the log has no entry with this
// index. Nothing of dir may be a link to a file that is still in use, except for tables. After a crash the log has
// its old end or the new one, or Open refuses it, so begin again with another copy. Options.Fatal is not called.
func Trim(dir string, index uint64, o Options) (err error) {
	o.Fatal = func(error) {}
	fs := o.withDefaults().FS
	if _, err := fs.Stat(fs.PathJoin(dir, endName)); err != nil {
		return fmt.Errorf("log: trim %s, which has no finished log: %w", dir, err) // Open would create one
	}
	s, err := Open(dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.beginWrite(); err != nil {
		return err
	}
	defer s.endWrite()
	if index == 0 || index > s.last {
		return fmt.Errorf("%w: %d, the log in %s ends at %d", ErrNotFound, index, dir, s.last)
	}
	if err := s.lowerEnd(index); err != nil {
		return s.fail(err)
	}
	if index == s.last {
		return nil
	}
	err = s.commitBatch(func(b *pebble.Batch) error { return b.DeleteRange(key(index+1), keysEnd(), nil) })
	if err != nil {
		return s.fail(fmt.Errorf("log: trim %s: %w", dir, err))
	}
	return nil
}

// writeEnd creates the file "end" in dir. It writes it under a temporary name first, so that a file of that name is
// always complete.
func writeEnd(fs vfs.FS, dir string, at mark) (*endFile, error) {
	path := fs.PathJoin(dir, endName)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	e := &endFile{f: f}
	if err := e.set(at); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := errors.Join(fs.Rename(path+".new", path), durable.SyncDir(fs, dir)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return e, nil
}
