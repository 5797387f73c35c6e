package log

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Scrub reads every block of every table from the disk, bypassing all caches, and verifies the checksums, so
// that damage is found before the data is needed. It calls pace with the size of each read before the read. An
// error of pace ends the scrub. An unreadable block is fatal, as in any other read. The newest entries are in
// the write-ahead log and in memory and are not scrubbed.
func (s *Store) Scrub(ctx context.Context, pace func(ctx context.Context, bytes int) error) error {
	names, err := s.tables()
	for _, name := range names {
		if err == nil {
			err = s.scrubTable(ctx, name, pace)
		}
	}
	return err
}

// tables lists the files of the current tables, oldest first.
func (s *Store) tables() (names []string, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	levels, err := s.db.SSTables()
	for _, level := range levels {
		for _, t := range level {
			names = append(names, s.opts.FS.PathJoin(s.dir, t.BackingSSTNum.String()+".sst"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

func (s *Store) scrubTable(ctx context.Context, name string, pace func(ctx context.Context, bytes int) error) error {
	f, err := s.opts.FS.Open(name, vfs.RandomReadsOption)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a compaction deleted the table; Pebble reports other missing tables when it opens them
	}
	if err != nil {
		return fmt.Errorf("log: examine %s: %w", name, err)
	}
	file := &paced{File: f, pace: func(bytes int) error { return pace(ctx, bytes) }}
	err = validate(ctx, file, s.opts.pebble(s.opts.FS, func(error) {}))
	switch {
	case err == nil, file.stopped != nil:
		return file.stopped
	case pebble.IsCorruptionError(err):
		return s.fail(fmt.Errorf("%w: %s: %w", ErrCorrupt, name, err))
	}
	return s.fail(fmt.Errorf("log: examine %s: %w", name, err))
}

// validate verifies the checksums of a table and closes its file.
func validate(ctx context.Context, f sstable.ReadableFile, o *pebble.Options) error {
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o.EnsureDefaults()
	r, err := sstable.NewReader(ctx, readable, o.MakeReaderOptions())
	if err != nil {
		return err // the file is closed
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// paced is a file that calls pace before each read.
type paced struct {
	vfs.File
	pace    func(bytes int) error
	stopped error
}

func (p *paced) ReadAt(b []byte, off int64) (int, error) {
	if p.stopped == nil {
		p.stopped = p.pace(len(b))
	}
	if p.stopped != nil {
		return 0, p.stopped
	}
	return p.File.ReadAt(b, off)
}
