package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/recount-ledger/recount/internal/durable"
)

// ErrOther means that two logs have different committed entries with the same index.
var ErrOther = errors.New("log: this is another history")

// Examine opens a copy of the log in dir as a start would, and reads every table. It makes the copy in the
// directory copied, which must be on the same file system and not be there yet. Tables are hard links, so nothing
// in dir changes. It returns the last entry. An error says what is damaged, or is that of ctx. progress is called
// with bytes and may be nil.
func Examine(ctx context.Context, dir, copied string, progress func(read, of uint64)) (last uint64, err error) {
	tables, err := durable.CopyStore(dir, copied)
	if err != nil {
		return 0, fmt.Errorf("the log could not be copied to be read: %w", err)
	}
	var failed error
	s, err := Open(copied, Options{Fatal: func(err error) { failed = err }})
	if err != nil {
		return 0, err
	}
	read := uint64(0)
	err = s.Scrub(ctx, func(ctx context.Context, n int) error {
		if read += uint64(n); progress != nil {
			progress(min(read, tables), tables)
		}
		return ctx.Err()
	})
	last = s.last
	return last, errors.Join(err, s.abandon(), failed)
}

// Compare compares a sound log with what can still be read of a damaged one. It looks at the entries up to the
// highest floor that it reads in the damaged log, because all of them are committed. It returns the number of
// entries that are the same. An entry that is not the same is ErrOther. Tables that cannot be read are left out,
// and so is a damaged log that Pebble cannot open at all. Both directories may be written to.
func Compare(ctx context.Context, damaged, sound string, o Options) (same uint64, err error) {
	o.Fatal = func(error) {}
	o = o.withDefaults()
	s, err := Open(sound, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.abandon()) }()
	s.CommittedTo(s.last)
	p := o.pebble(o.FS, o.Fatal)
	p.ReadOnly, p.DisableConsistencyCheck = true, true
	db, err := pebble.Open(damaged, p)
	if err != nil {
		return 0, nil // nothing of it can be read
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	parts, err := readableParts(db)
	if err != nil {
		return 0, nil // a table is not there, and Pebble does not tell which others are
	}
	c := &comparison{ctx: ctx, sound: s, db: db}
	for _, p := range parts {
		c.floor = max(c.floor, c.lastFloor(p))
	}
	for _, p := range parts {
		if err := c.part(p); err != nil {
			return c.same, err
		}
	}
	return c.same, nil
}

// comparison is one Compare.
type comparison struct {
	ctx         context.Context
	sound       *Store
	db          *pebble.DB
	floor, same uint64
}

// readableParts returns ranges of keys: one for each table, and one for what follows the last table.
func readableParts(db *pebble.DB) (out [][2][]byte, err error) {
	levels, err := db.SSTables()
	end := key(0)
	for _, tables := range levels {
		for _, t := range tables {
			to := append(bytes.Clone(t.Largest.UserKey), 0)
			out = append(out, [2][]byte{t.Smallest.UserKey, to})
			if bytes.Compare(to, end) > 0 {
				end = to
			}
		}
	}
	return append(out, [2][]byte{end, keysEnd()}), err
}

// each calls fn for the entries of a range, up to the first one that cannot be read.
func (c *comparison) each(span [2][]byte, step func(*pebble.Iterator, bool) bool, fn func(record) error) error {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: span[0], UpperBound: span[1]})
	if err != nil {
		return nil
	}
	defer it.Close() // its error is that of the damage
	for ok := step(it, true); ok; ok = step(it, false) {
		index, err := keyIndex(it.Key())
		if err != nil {
			return nil
		}
		r, err := readRecord(it, index)
		if err != nil {
			return nil
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// lastFloor returns the floor in the last entry of a range, 0 if it cannot be read. Floors never get lower.
func (c *comparison) lastFloor(span [2][]byte) (floor uint64) {
	last := func(it *pebble.Iterator, first bool) bool { return first && it.Last() }
	_ = c.each(span, last, func(r record) error { floor = r.floor; return nil })
	return floor
}

// part compares the entries of a range.
func (c *comparison) part(span [2][]byte) error {
	forward := func(it *pebble.Iterator, first bool) bool {
		if first {
			return it.First()
		}
		return it.Next()
	}
	return c.each(span, forward, func(r record) error {
		if err := c.ctx.Err(); err != nil || r.Index > c.floor {
			return err
		}
		e, err := c.sound.Entry(r.Index)
		if err != nil {
			return err
		}
		if e.Term != r.Term || e.Type != r.Type || !bytes.Equal(e.Data, r.Data) {
			return fmt.Errorf("%w: entry %d has term %d and %d bytes here, term %d and %d bytes there", ErrOther,
				r.Index, r.Term, len(r.Data), e.Term, len(e.Data))
		}
		c.same++
		return nil
	})
}
