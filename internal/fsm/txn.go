package fsm

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/recount-ledger/recount/internal/projections"
)

// txn collects rows in memory, in batches, and applies whole batches to its store atomically. Point reads see all its
// writes. Scans see whole batches only, which is enough because no fold scans rows that it writes in the same batch.
type txn struct {
	View
	db      *pebble.DB
	under   *txn           // rows that are not in the store yet, of the step before; nil if there are none
	wait    func() error   // returns when under is in the store
	pending map[string]int // key -> index of its newest operation, among those of its space; not of lists
	most    int            // rows of pending that there have been at once
	spaces  [256]space     // by the first byte of a key
	memory  memory
	put     int       // bytes of memory that there were at the last apply
	cleared [2][]byte // range of keys to delete before all other operations
	due     []*op     // memory of the writer
	value   []byte    // the same
}

// space holds the operations on the keys of one space, in order.
type space struct {
	ops     []op
	whole   int // ops[:whole] belong to whole batches
	applied int // ops[:applied] are in the store
}

type op struct {
	key     string
	value   []byte
	next    int32 // index of the operation of a later batch that replaces this one, 0 for none
	deleted bool
}

// bytes returns the key, which must not be changed.
func (o *op) bytes() []byte { return unsafe.Slice(unsafe.StringData(o.key), len(o.key)) }

var _ projections.Tx = (*txn)(nil)

// begin starts a transaction of about that many rows. Without a commit it leaves no trace.
func (s *Store) begin(rows int) *txn {
	return &txn{View: View{r: s.db, health: s.health}, db: s.db, pending: make(map[string]int, rows)}
}

// A batch of Pebble begins with smallBatch bytes or more, because Pebble panics at one without room for its own header.
// A batch of up to keptBatch bytes serves the next one.
const (
	smallBatch = 1 << 10
	keptBatch  = 4 << 20
)

// keptRows bounds the rows of a transaction whose memory serves the next one. Much memory is given up when
// a transaction has less than one in smallPart of the rows, because clearing it costs more than it saves.
const (
	keptRows  = 1 << 14
	smallPart = 64
)

// reset begins again in the memory of a transaction that is over. What was read from it is not valid any more. It
// returns false if the next one should begin without it.
func (t *txn) reset() bool {
	t.most = max(t.most, len(t.pending))
	if t.most > keptRows || t.most > keptRows/16 && len(t.pending) < t.most/smallPart {
		return false
	}
	clear(t.pending)
	for i := range t.spaces {
		t.spaces[i] = space{ops: t.spaces[i].ops[:0]}
	}
	t.memory.reset()
	t.put = 0
	t.cleared = [2][]byte{}
	return true
}

// Get returns the newest value of key.
func (t *txn) Get(key []byte) ([]byte, error) {
	for at := t; at != nil; at = at.under {
		if value, ok := at.own(key); ok {
			return value, nil
		}
	}
	return t.View.Get(key)
}

// own returns the newest value of key that this transaction has written, nil if it deleted the row.
func (t *txn) own(key []byte) (value []byte, ok bool) {
	ops := t.spaces[key[0]].ops
	if i, ok := t.pending[string(key)]; ok {
		return ops[i].value, true
	}
	if layouts[key[0]] == postings { // no fold looks for one
		for i := range ops {
			if ops[i].key == string(key) {
				return []byte{}, true
			}
		}
	}
	return nil, false
}

// Scan implements projections.Store. It does not see the batch that is being written.
func (t *txn) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	if t.under != nil {
		if err := t.wait(); err != nil {
			return err
		}
	}
	if err := t.apply(pebble.NoSync); err != nil {
		return err
	}
	return t.View.Scan(lo, hi, reverse, fn)
}

// Set writes a row. The key must not be empty. Errors surface when the row is applied.
func (t *txn) Set(k, v []byte) {
	if o := t.push(k); o.value != nil && cap(o.value) >= len(v) {
		o.value = append(o.value[:0], v...)
	} else {
		o.value, o.deleted = t.memory.keep(v), false
	}
}

// Delete removes a row.
func (t *txn) Delete(k []byte) {
	o := t.push(k)
	o.value, o.deleted = nil, true
}

// clear deletes a range of rows with a single range deletion. The transaction must not read them nor write there
// before.
func (t *txn) clear(lo, hi []byte) { t.cleared = [2][]byte{lo, hi} }

// push returns the operation on a key in the batch that is being written.
func (t *txn) push(k []byte) *op {
	s := &t.spaces[k[0]]
	if layouts[k[0]] == postings {
		return s.add(t.memory.key(k))
	}
	before, again := t.pending[string(k)]
	if again && before >= s.whole {
		return &s.ops[before]
	}
	var key string
	if again {
		s.ops[before].next = int32(len(s.ops))
		key = s.ops[before].key
	} else {
		key = t.memory.key(k)
	}
	t.pending[key] = len(s.ops)
	return s.add(key)
}

func (s *space) add(key string) *op {
	s.ops = append(s.ops, op{key: key})
	return &s.ops[len(s.ops)-1]
}

// seal ends a batch.
func (t *txn) seal() {
	for i := range t.spaces {
		t.spaces[i].whole = len(t.spaces[i].ops)
	}
}

// commit ends the last batch and applies everything, without waiting for the disk.
func (t *txn) commit() error {
	t.seal()
	return errors.Join(t.apply(pebble.NoSync), t.health.Damage())
}

// commitSync commits and returns when everything is on disk.
func (t *txn) commitSync() error {
	t.seal()
	return errors.Join(t.apply(pebble.Sync), t.health.Damage())
}

// done reports whether everything that was written is in the store.
func (t *txn) done() bool {
	for i := range t.spaces {
		if t.spaces[i].applied < len(t.spaces[i].ops) {
			return false
		}
	}
	return true
}

// apply applies the whole batches that are not in the store yet.
func (t *txn) apply(how *pebble.WriteOptions) error {
	size := max(smallBatch, (t.memory.bytes-t.put)*9/8) // most batches need no more
	batch := t.db.NewBatchWithSize(size, pebble.WithMaxRetainedSizeBytes(keptBatch))
	defer batch.Close()
	t.put = t.memory.bytes
	err := t.fill(batch)
	if err == nil && !batch.Empty() {
		err = t.db.Apply(batch, how)
	}
	if err != nil {
		return t.met(fmt.Errorf("write folded state: %w", err))
	}
	t.cleared = [2][]byte{}
	for i := range t.spaces {
		t.spaces[i].applied = t.spaces[i].whole
	}
	return nil
}

// fill adds the whole batches that are not in the store yet to a batch of Pebble. It goes space by space: neighbouring
// rows that are written together save the memtable most of its searches.
func (t *txn) fill(batch *pebble.Batch) error {
	if t.cleared[1] != nil {
		if err := batch.DeleteRange(t.cleared[0], t.cleared[1], nil); err != nil {
			return err
		}
	}
	w := writer{db: t.db, batch: batch, due: t.due, value: t.value}
	for i := range t.spaces {
		if err := w.put(&t.spaces[i], layouts[i]); err != nil {
			return err
		}
	}
	t.due, t.value = w.due, w.value
	return nil
}

// memory holds the keys and values of a transaction.
type memory struct {
	blocks [][]byte // of blockBytes each
	used   int      // of the blocks, the last one in part
	free   []byte   // what is left of the last one
	bytes  int      // kept so far
}

// blockBytes is the size of a block of memory, keptBlocks the number of blocks that serve the next transaction.
const (
	blockBytes = 64 << 10
	keptBlocks = 64
)

// keep copies b into memory that is not written again before the next reset.
func (m *memory) keep(b []byte) []byte {
	m.bytes += len(b)
	if len(b) > len(m.free) || m.free == nil {
		if len(b) > blockBytes/4 {
			return append(make([]byte, 0, len(b)), b...)
		}
		if m.used == len(m.blocks) {
			m.blocks = append(m.blocks, make([]byte, blockBytes))
		}
		m.free = m.blocks[m.used]
		m.used++
	}
	out := m.free[:len(b):len(b)]
	m.free = m.free[copy(out, b):]
	return out
}

// key is keep for a key.
func (m *memory) key(k []byte) string {
	kept := m.keep(k)
	return unsafe.String(unsafe.SliceData(kept), len(kept))
}

func (m *memory) reset() {
	if len(m.blocks) > keptBlocks {
		clear(m.blocks[keptBlocks:])
		m.blocks = m.blocks[:keptBlocks]
	}
	m.used, m.free, m.bytes = 0, nil, 0
}
