package fsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// Keyspaces of derived/. A key is one byte followed by the fields listed here.
const (
	spacePosition = 'p' // nothing: the position row
	spaceControl  = 'c' // keys of projections.Control
	spaceSeq      = 'q' // first seq of an entry, big-endian uint64 -> raft index, number of events, log time
	spaceRemoved  = 'g' // id of a removed node -> entry of the first configuration without it, big-endian uint64
	spaceTile     = 't' // level, number of the tile, big-endian uint64 -> its Merkle hashes
)

// ErrNoEvent means that no event has this number yet.
var ErrNoEvent = errors.New("fsm: no such event")

// Derived is the state that all generations share, in derived/: the numbering of events, the Merkle hashes, the
// control state and the Raft configuration. It is folded once, ahead of every generation.
type Derived struct {
	store *Store
	src   *log.Store
	ctrl  *projections.Control
	pos   *progress
	head  head

	readBytes int // of entries, at once

	edge   log.TileEdge // of the Merkle tree of the events folded
	next   log.TileEdge // the edge after the batch that is being folded
	leaves [][32]byte   // of the events of that batch
	recent recentPlaces // of the last events folded
	ends   recentEnds   // roots
	roots  []end        // of the batch that is being folded

	mu   sync.Mutex // guards meta
	meta meta

	removed removedNodes

	countMu sync.Mutex // guards the fields below
	// counted: events counted so far; operators: those of them that are not submissions
	counted, operators uint64
}

// meta is the durable state that Raft learns of: the cursor and the configuration of one batch.
type meta struct {
	cur  Cursor
	conf confRow
}

type confRow struct {
	index uint64
	data  []byte
}

// OpenDerived opens or creates derived/ in dir and reads its position.
func OpenDerived(fs vfs.FS, dir string, src *log.Store, batchBytes int, logger *slog.Logger,
	damaged func(error)) (*Derived, error) {
	store, err := OpenStore(fs, dir, logger, damaged)
	if err != nil {
		return nil, err
	}
	d := &Derived{store: store, src: src, readBytes: batchBytes, head: head{limit: headBytes},
		recent: newRecentPlaces(placesHeld)}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return d, nil
}

func (d *Derived) load() error {
	v := d.store.Snapshot()
	defer v.Close()
	raw, err := v.Get([]byte{spacePosition})
	if err != nil {
		return err
	}
	cur, root, conf, err := decodePosition(raw)
	if err != nil {
		return fmt.Errorf("derived: %w", err)
	}
	if err := checkPosition(d.src, cur); err != nil {
		return fmt.Errorf("derived: %w", err)
	}
	// only committed entries are folded, so this may be ahead of the floor in the log's headers
	d.src.CommittedTo(cur.Index)
	d.pos = newProgress(cur)
	d.setApplied(cur, conf)
	if err := d.removed.load(v); err != nil {
		return fmt.Errorf("derived: %w", err)
	}
	if err := d.loadEdge(v, cur.Seq, root); err != nil {
		return fmt.Errorf("derived: %w", err)
	}
	d.ctrl, err = projections.LoadControl(prefixedStore{v, spaceControl})
	return err
}

// checkPosition rejects a folded state that the log cannot explain.
func checkPosition(src *log.Store, cur Cursor) error {
	last, err := src.LastIndex()
	if err != nil {
		return err
	}
	if cur.Index > last {
		return fmt.Errorf("%w: at entry %d, the log ends at %d", ErrAhead, cur.Index, last)
	}
	if cur.Index == 0 {
		return nil
	}
	var l raft.Log
	if err := src.GetLog(cur.Index, &l); err != nil {
		return err
	}
	if l.Term != cur.Term {
		return fmt.Errorf("%w: entry %d has term %d in the log, %d in the folded state", ErrAhead, cur.Index,
			l.Term, cur.Term)
	}
	return nil
}

// Meta returns the durable applied position, for the synthetic snapshot that Raft starts from.
func (d *Derived) Meta() (index, term uint64, configuration []byte, configurationIndex uint64) {
	m := d.applied()
	return m.cur.Index, m.cur.Term, m.conf.data, m.conf.index
}

func (d *Derived) applied() meta {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}

func (d *Derived) setApplied(cur Cursor, conf confRow) {
	d.mu.Lock()
	d.meta = meta{cur, conf}
	d.mu.Unlock()
}

// CatchUp folds up to the committed floor of the log. Call it before Raft starts.
func (d *Derived) CatchUp(ctx context.Context) error {
	return catchUp(ctx, d, d.src.Committed())
}

// Run folds the committed log until ctx ends or something fails.
func (d *Derived) Run(ctx context.Context) error {
	return d.store.follow(ctx, d.src, d)
}

// Close closes the store. Run must have returned.
func (d *Derived) Close() error { return d.store.Close() }

// Damage returns the reason why derived/ must be folded again, or nil.
func (d *Derived) Damage() error { return d.store.Damage() }

// Control returns the folded control state.
func (d *Derived) Control() *projections.Control { return d.ctrl }

// Cursor returns the position up to which derived/ is folded.
func (d *Derived) Cursor() Cursor { return d.pos.get() }

// WaitIndex returns when entry index is folded.
func (d *Derived) WaitIndex(ctx context.Context, index uint64) error {
	return d.pos.waitIndex(ctx, index)
}

// WaitSeq returns when event seq is folded.
func (d *Derived) WaitSeq(ctx context.Context, seq uint64) error {
	return d.pos.wait(ctx, func(c Cursor) bool { return c.Seq >= seq })
}

// WaitControl returns when an operator's event after event seen is folded.
func (d *Derived) WaitControl(ctx context.Context, seen uint64) error {
	return d.pos.wait(ctx, func(Cursor) bool {
		last, _ := d.ctrl.Digest()
		return last != seen
	})
}

// Unflushed returns an upper bound for the bytes in memory that are not yet on disk.
func (d *Derived) Unflushed() uint64 { return d.store.Unflushed() }

func (d *Derived) cursor() Cursor { return d.pos.get() }

func (d *Derived) read(_ context.Context, at Cursor, target uint64) (*batch, error) {
	return readBatch(&batch{cur: at}, d.src, target, d.readBytes)
}

// prepare computes the hashes of the payloads.
func (d *Derived) prepare(b *batch, from, to int) { hash(b.items[from:to]) }

func (d *Derived) fold(_ context.Context, b *batch) error {
	m := d.applied()
	before := m.cur
	if err := d.foldAll(b); err != nil {
		return err
	}
	removed, err := d.foldConfigurations(b, &m)
	if err != nil {
		return err
	}
	m.cur = b.cur
	err = d.store.seal(len(b.items), func(tx *txn) {
		setRemoved(tx, removed)
		d.next.Flush(tx.setTile)
		tx.Set([]byte{spacePosition}, encodePosition(m.cur, d.next.Root(), m.conf))
	})
	if err != nil {
		return err
	}
	d.edge, d.next = d.next, d.edge
	d.removed.add(removed)
	d.setApplied(m.cur, m.conf)
	d.head.push(before, b)
	d.recent.push(b.items, d.leaves)
	d.ends.push(d.roots)
	d.pos.set(m.cur)
	return d.store.settle(d.src.Committed() > m.cur.Index)
}

func (d *Derived) foldAll(b *batch) error {
	d.next.Copy(&d.edge)
	d.leaves, d.roots = d.leaves[:0], d.roots[:0]
	skip := endsIn(b.items) - endsOfBatch
	for i := range b.items {
		n := entryEvents(b.items[i:], i == 0 || b.items[i].Index != b.items[i-1].Index)
		if err := d.store.folding(func(tx *txn) error { return d.foldOne(tx, &b.items[i], n) }); err != nil {
			return err
		}
		if endsEntry(b.items, i) {
			if skip--; skip < 0 {
				d.roots = append(d.roots, end{b.items[i].Seq, d.next.Root()})
			}
		}
	}
	return nil
}

// entryEvents returns the number of events of the entry that begins with the first item, or 0 if none begins there.
func entryEvents(items []projections.Item, begins bool) int {
	n := 0
	for begins && n < len(items) && items[n].Index == items[0].Index {
		n++
	}
	return n
}

// foldOne folds an event, the first one of an entry of n events, or with n = 0 a later one.
func (d *Derived) foldOne(tx *txn, it *projections.Item, n int) error {
	if n > 0 {
		tx.Set(seqKey(it.Seq), encodeLocation(it.Index, n, it.LogTime))
	}
	if err := d.appendLeaf(tx, it); err != nil {
		return err
	}
	if it.Kind == event.Submission {
		return nil
	}
	if err := d.ctrl.Fold(inSpace(tx, spaceControl), it); err != nil {
		return fmt.Errorf("entry %d: control: %w", it.Index, err)
	}
	return nil
}
