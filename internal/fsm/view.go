package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/recount-ledger/recount/internal/projections"
)

// View is a snapshot of a store.
type View struct {
	r      pebble.Reader
	health *health // receives damage, nil for a closed generation
	done   func()  // called by Close, may be nil
}

// ErrDropped means that a generation is no longer on this node.
var ErrDropped = errors.New("fsm: this generation was dropped")

// failedReader replaces rows that cannot be read, such as those of a closed generation.
type failedReader struct {
	pebble.Reader
	err error
}

func (r failedReader) Get([]byte) ([]byte, io.Closer, error) { return nil, nil, r.err }

func (r failedReader) NewIter(*pebble.IterOptions) (*pebble.Iterator, error) { return nil, r.err }

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
	switch layouts[key[0]] {
	case blocks:
		return v.getOfBlock(key)
	case postings:
		return v.getPosting(key)
	}
	return v.get(key)
}

// get returns a copy of a value of Pebble, or nil.
func (v *View) get(key []byte) (out []byte, err error) {
	err = v.peek(key, func(val []byte) error {
		out = append(make([]byte, 0, len(val)), val...)
		return nil
	})
	return out, err
}

// peek calls fn with a value of Pebble, if there is one.
func (v *View) peek(key []byte, fn func(val []byte) error) error {
	val, closer, err := v.r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return v.met(fmt.Errorf("read folded state: %w", err))
	}
	return errors.Join(fn(val), closer.Close())
}

func (v *View) getOfBlock(key []byte) (out []byte, err error) {
	of, at, ok := blockOf(key)
	if !ok {
		return nil, nil
	}
	err = v.met(v.peek(of[:], func(val []byte) error {
		var b block
		if err := b.decode(val); err != nil || b[at] == nil {
			return err
		}
		out = append(make([]byte, 0, len(b[at])), b[at]...)
		return nil
	}))
	return out, err
}

// getPosting returns an empty value if there is a row with the key.
func (v *View) getPosting(key []byte) (out []byte, err error) {
	err = v.Scan(key, append(bytes.Clone(key), 0), false, func(_, _ []byte) bool {
		out = []byte{}
		return false
	})
	return out, err
}

// Scan calls fn for the rows in [lo, hi), backwards if reverse is set, until fn returns false. Key and value
// are valid only during the call.
func (v *View) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	from, held := lo, len(lo) > 1 && layouts[lo[0]] != plain
	if held {
		from = lo[:1] // a row of Pebble before lo may hold rows after it
	}
	it, err := v.r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: hi})
	if err != nil {
		return v.met(fmt.Errorf("scan folded state: %w", err))
	}
	err = scan(it, lo, held, reverse, func(k, val []byte) bool {
		switch {
		case bytes.Compare(k, lo) < 0:
			return !reverse
		case hi != nil && bytes.Compare(k, hi) >= 0:
			return reverse
		}
		return fn(k, val)
	})
	return v.met(errors.Join(err, it.Close()))
}

// scan calls fn for the rows in the rows of an iterator until fn returns false. If held is set, it begins with the row of Pebble
// before lo.
func scan(it *pebble.Iterator, lo []byte, held, reverse bool, fn func(k, v []byte) bool) error {
	first, step := it.First, it.Next
	switch {
	case reverse:
		first, step = it.Last, it.Prev
	case held:
		first = func() bool { return it.SeekLT(lo) || it.Error() == nil && it.First() }
	}
	var e expander
	for ok := first(); ok; ok = step() {
		val, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("scan folded state: %w", err)
		}
		if more, err := e.each(it.Key(), val, reverse, fn); err != nil || !more {
			return err
		}
	}
	return it.Error()
}

// met returns the error of an access. If the error shows damage, a file that cannot be read or a block or list that no
// step writes, met marks the store damaged and returns ErrDamaged.
func (v *View) met(err error) error {
	if err == nil || v.health == nil || errors.Is(err, ErrDamaged) ||
		!pebble.IsCorruptionError(err) && !errors.Is(err, projections.ErrCorrupt) {
		return err
	}
	return v.health.note(err)
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
