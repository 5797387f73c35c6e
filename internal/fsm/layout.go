package fsm

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/projections"
)

// layout is the form in which the rows of a space are stored. Readers, folds and digests see rows only.
type layout uint8

const (
	plain    layout = iota // a row of Pebble for each row
	blocks                 // a block for blockRows rows whose keys are numbers in a sequence
	postings               // a list for rows without a value, whose keys end in ascending numbers
)

// layouts has the layout of each space. History and derived/ use none of those that are not plain.
var layouts = func() (out [256]layout) {
	out[projections.RowSpace] = blocks
	for _, space := range []byte(projections.IndexSpaces) {
		out[space] = postings
	}
	return out
}()

// blockRows is the number of rows of a block, maxPostings that of a list.
const (
	blockRows   = 16
	maxPostings = 1024
)

// A block has the key of its first row, whose number is a multiple of blockRows. Its value has the length of each row
// as uvarint, 0 for none, and the row.
type block [blockRows][]byte

// blockOf returns the key of the block of a row, and the row's place in it. ok is false if no block holds such a key.
func blockOf(key []byte) (of [9]byte, at int, ok bool) {
	if len(key) != len(of) {
		return of, 0, false
	}
	n := binary.BigEndian.Uint64(key[1:])
	of[0] = key[0]
	binary.BigEndian.PutUint64(of[1:], n/blockRows*blockRows)
	return of, int(n % blockRows), true
}

func (b *block) decode(value []byte) error {
	*b = block{}
	for i := range b {
		if len(value) == 0 {
			return nil
		}
		n, w := binary.Uvarint(value)
		if w <= 0 || n > uint64(len(value)-w) {
			return fmt.Errorf("block of rows: %w", projections.ErrCorrupt)
		}
		if value = value[w:]; n > 0 {
			b[i] = value[:n:n]
		}
		value = value[n:]
	}
	if len(value) > 0 {
		return fmt.Errorf("block of rows: %w", projections.ErrCorrupt)
	}
	return nil
}

func (b *block) append(dst []byte) []byte {
	last := blockRows
	for last > 0 && len(b[last-1]) == 0 {
		last--
	}
	for _, row := range b[:last] {
		dst = append(binary.AppendUvarint(dst, uint64(len(row))), row...)
	}
	return dst
}

// decodePostings appends to dst the numbers of a list. The first is in its key, the value has the distance of each further
// one from the one before, as uvarint.
func decodePostings(dst []uint64, key, value []byte) ([]uint64, error) {
	if len(key) < 9 {
		return dst, fmt.Errorf("list of events: %w", projections.ErrCorrupt)
	}
	n := binary.BigEndian.Uint64(key[len(key)-8:])
	for dst = append(dst, n); len(value) > 0; dst = append(dst, n) {
		d, w := binary.Uvarint(value)
		if w <= 0 || d == 0 || n+d < n {
			return dst, fmt.Errorf("list of events: %w", projections.ErrCorrupt)
		}
		n, value = n+d, value[w:]
	}
	return dst, nil
}

// expander gives the rows that a row of Pebble holds.
type expander struct {
	key     []byte // of the row that is given
	numbers []uint64
	block   block
}

// each calls fn for the rows in a row of Pebble, in order of their keys or backwards, until fn returns false. Key and
// value are valid only during the call.
func (e *expander) each(k, v []byte, reverse bool, fn func(k, v []byte) bool) (more bool, err error) {
	switch layouts[k[0]] {
	case blocks:
		return e.eachOfBlock(k, v, reverse, fn)
	case postings:
		if len(v) > 0 || len(k) < 9 {
			return e.eachPosting(k, v, reverse, fn)
		}
	}
	return fn(k, v), nil
}

func (e *expander) eachOfBlock(k, v []byte, reverse bool, fn func(k, v []byte) bool) (more bool, err error) {
	of, at, ok := blockOf(k)
	if !ok || at != 0 {
		return false, fmt.Errorf("block of rows %x: %w", k, projections.ErrCorrupt)
	}
	if err := e.block.decode(v); err != nil {
		return false, err
	}
	first := binary.BigEndian.Uint64(of[1:])
	for i := range e.block {
		if reverse {
			i = blockRows - 1 - i
		}
		if e.block[i] == nil {
			continue
		}
		e.key = binary.BigEndian.AppendUint64(append(e.key[:0], of[0]), first+uint64(i))
		if !fn(e.key, e.block[i]) {
			return false, nil
		}
	}
	return true, nil
}

func (e *expander) eachPosting(k, v []byte, reverse bool, fn func(k, v []byte) bool) (more bool, err error) {
	if e.numbers, err = decodePostings(e.numbers[:0], k, v); err != nil {
		return false, err
	}
	if reverse {
		slices.Reverse(e.numbers)
	}
	e.key = append(e.key[:0], k...)
	for _, n := range e.numbers {
		binary.BigEndian.PutUint64(e.key[len(k)-8:], n)
		if !fn(e.key, nil) {
			return false, nil
		}
	}
	return true, nil
}
