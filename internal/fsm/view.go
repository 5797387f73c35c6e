package fsm

import (
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

// Scan calls fn for the rows in [lo, hi), backwards if reverse is set, until fn returns false. Key and value
// are valid only during the call.
func (v *View) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	it, err := v.r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return v.met(fmt.Errorf("scan folded state: %w", err))
	}
	first, step := it.First, it.Next
	if reverse {
		first, step = it.Last, it.Prev
	}
	for ok := first(); ok; ok = step() {
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

// met returns the error of a read. If the error shows damage, met marks the store damaged and returns
// ErrDamaged.
func (v *View) met(err error) error {
	if err == nil || v.health == nil || !pebble.IsCorruptionError(err) {
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
