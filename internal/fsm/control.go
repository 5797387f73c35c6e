package fsm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sort"
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
	spaceHash     = 'h' // stored hash index (tlog), big-endian uint64 -> 32 bytes
)

// ErrNoEvent means that no event has this number yet.
var ErrNoEvent = errors.New("fsm: no such event")

// Derived is the state that all generations share, in derived/: the numbering of events, the Merkle hashes, the
// control state and the Raft configuration. It is folded once, ahead of every generation.
type Derived struct {
	store *Store
	src   *log.Store
	ctrl  *projections.Control
	pos   *position
	batch int

	mu   sync.Mutex // guards meta
	meta meta

	countMu sync.Mutex // guards the fields below
	// counted: events counted so far; operators: those of them that are not submissions
	counted, operators uint64
}

// meta is the durable state that Raft learns of: the cursor and the configuration of one step.
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
	d := &Derived{store: store, src: src, batch: batchBytes}
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
	cur, conf, err := decodePosition(raw)
	if err != nil {
		return fmt.Errorf("derived: %w", err)
	}
	if err := checkPosition(d.src, cur); err != nil {
		return fmt.Errorf("derived: %w", err)
	}
	// only committed entries are folded, so this may be ahead of the floor in the log's headers
	d.src.CommittedTo(cur.Index)
	d.pos = newPosition(cur)
	d.setApplied(cur, conf)
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
	return catchUp(ctx, d.src, d, d.src.Committed(), d.batch)
}

// Run folds the committed log until ctx ends or something fails.
func (d *Derived) Run(ctx context.Context) error {
	return d.store.folded(follow(ctx, d.src, d, d.batch))
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

func (d *Derived) prepare(context.Context, *step) error { return nil }

func (d *Derived) fold(_ context.Context, s *step) error {
	m := d.applied()
	tx := d.store.begin(4 * len(s.items))
	if err := d.foldAll(tx, s); err != nil {
		return err
	}
	for _, e := range s.entries {
		if e.Type == raft.LogConfiguration {
			m.conf = confRow{index: e.Index, data: e.Data}
		}
	}
	m.cur = s.cur
	tx.Set([]byte{spacePosition}, encodePosition(m.cur, m.conf))
	if err := tx.commit(); err != nil {
		return err
	}
	d.store.wrote(len(s.items))
	d.setApplied(m.cur, m.conf)
	d.pos.set(m.cur)
	return nil
}

func (d *Derived) foldAll(tx *txn, s *step) error {
	space := inSpace(tx, spaceControl)
	for i := range s.items {
		it := &s.items[i]
		if i == 0 || it.Index != s.items[i-1].Index {
			n := 1
			for i+n < len(s.items) && s.items[i+n].Index == it.Index {
				n++
			}
			tx.Set(seqKey(it.Seq), encodePlace(it.Index, n, it.LogTime))
		}
		if err := appendLeaf(tx, it); err != nil {
			return err
		}
		if err := d.ctrl.Fold(space, it); err != nil {
			return fmt.Errorf("entry %d: control: %w", it.Index, err)
		}
	}
	return nil
}

func appendLeaf(tx *txn, it *projections.Item) error {
	leaf := it.Leaf().Hash()
	n := it.Seq - 1
	hashes, err := log.AppendLeaf(n, leaf, hashReader{tx})
	if err != nil {
		return fmt.Errorf("event %d: merkle: %w", it.Seq, err)
	}
	at := log.FirstHash(n)
	for i, h := range hashes {
		tx.Set(hashKey(at+int64(i)), h[:])
	}
	return nil
}

// Root returns the RFC 6962 Merkle tree hash of the first size events.
func (d *Derived) Root(size uint64) ([32]byte, error) {
	if size > d.pos.get().Seq {
		return [32]byte{}, fmt.Errorf("%w: %d of %d", ErrNoEvent, size, d.pos.get().Seq)
	}
	v := d.store.Snapshot()
	defer v.Close()
	return log.Root(size, hashReader{v})
}

// Edge returns the roots of the complete subtrees of the first size events, from left to right.
func (d *Derived) Edge(size uint64) ([][32]byte, error) {
	if size > d.pos.get().Seq {
		return nil, fmt.Errorf("%w: %d of %d", ErrNoEvent, size, d.pos.get().Seq)
	}
	v := d.store.Snapshot()
	defer v.Close()
	return log.Edge(size, hashReader{v})
}

// Leaf returns the Merkle leaf hash of event seq.
func (d *Derived) Leaf(seq uint64) ([32]byte, error) {
	v := d.store.Snapshot()
	defer v.Close()
	b, err := v.Get(hashKey(log.FirstHash(seq - 1)))
	if err == nil && len(b) != 32 {
		err = fmt.Errorf("%w: %d", ErrNoEvent, seq)
	}
	if err != nil {
		return [32]byte{}, err
	}
	return [32]byte(b), nil
}

// SeqOf returns the number of the first event of a folded entry near the end of the log.
func (d *Derived) SeqOf(index uint64) (seq uint64, err error) {
	v := d.store.Snapshot()
	defer v.Close()
	err = fmt.Errorf("%w in entry %d", ErrNoEvent, index)
	scanErr := v.Scan([]byte{spaceSeq}, []byte{spaceSeq + 1}, true, func(k, val []byte) bool {
		at := binary.BigEndian.Uint64(val)
		if at == index {
			seq, err = binary.BigEndian.Uint64(k[1:]), nil
		}
		return at > index
	})
	return seq, errors.Join(scanErr, err)
}

// Effect returns the effect of the operator's event seq of kind k.
func (d *Derived) Effect(k event.Kind, seq uint64) (projections.Effect, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.EffectOf(prefixedStore{v, spaceControl}, k, seq)
}

// OperatorSeqs lists the events from seq on that are not submissions, at most limit.
func (d *Derived) OperatorSeqs(from uint64, limit int) ([]uint64, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.OperatorSeqs(prefixedStore{v, spaceControl}, from, limit)
}

// Submissions returns the number of submissions among the first seq events.
func (d *Derived) Submissions(seq uint64) (uint64, error) {
	v := d.store.Snapshot()
	defer v.Close()
	d.countMu.Lock()
	defer d.countMu.Unlock()
	lo, hi := min(seq, d.counted), max(seq, d.counted)
	n, err := projections.OperatorsBetween(prefixedStore{v, spaceControl}, lo+1, hi)
	if err != nil {
		return 0, err
	}
	if seq < d.counted {
		return seq - (d.operators - n), nil
	}
	d.counted, d.operators = seq, d.operators+n
	return seq - d.operators, nil
}

// Place returns the index of the entry that holds event seq, and the event's offset in it.
func (d *Derived) Place(seq uint64) (index uint64, offset int, err error) {
	index, offset, _, err = d.place(seq)
	return index, offset, err
}

func (d *Derived) place(seq uint64) (index uint64, offset int, logTime int64, err error) {
	v := d.store.Snapshot()
	defer v.Close()
	err = fmt.Errorf("%w: %d", ErrNoEvent, seq)
	scanErr := v.Scan([]byte{spaceSeq}, seqKey(seq+1), true, func(k, val []byte) bool {
		first := binary.BigEndian.Uint64(k[1:])
		if n := uint64(binary.BigEndian.Uint32(val[8:])); seq >= first && seq < first+n {
			index, offset, logTime, err = binary.BigEndian.Uint64(val), int(seq-first),
				int64(binary.BigEndian.Uint64(val[12:])), nil
		}
		return false
	})
	return index, offset, logTime, errors.Join(scanErr, err)
}

// ControlDigest returns the digest of the control state as of event seq. It is zero before the first operator's
// event.
func (d *Derived) ControlDigest(seq uint64) ([32]byte, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.ControlDigestAt(prefixedStore{v, spaceControl}, seq)
}

// LoggedDigests returns the digests that leaders logged in events from seq on, at most limit.
func (d *Derived) LoggedDigests(from uint64, limit int) ([]projections.DigestRow, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.StateDigests(prefixedStore{v, spaceControl}, from, 0, limit)
}

// LastDigest returns the last logged digest of a generation in the events up to to. ok is false if there is
// none.
func (d *Derived) LastDigest(generation uint32, to uint64) (row projections.DigestRow, ok bool, err error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.LastStateDigest(prefixedStore{v, spaceControl}, generation, to)
}

// TermOpened returns the node that opened the term of event seq and wrote what its leader logged, or "" if the
// log does not say. Terms only grow along the log, and the first events of a term are Genesis and TermStart.
func (d *Derived) TermOpened(seq uint64) (node string, err error) {
	last, err := d.Item(seq)
	if err != nil {
		return "", err
	}
	var failed error
	first := uint64(sort.Search(int(seq), func(i int) bool {
		it, err := d.Item(uint64(i) + 1)
		failed = errors.Join(failed, err)
		return err != nil || it.Term >= last.Term
	})) + 1
	for ; failed == nil && first <= seq; first++ {
		it, err := d.Item(first)
		if err != nil || it.Kind != event.Genesis && it.Kind != event.TermStart {
			return "", err
		}
		if it.Kind == event.TermStart {
			_, m, err := it.Event.Message()
			if start, ok := m.(*event.TermStartV1); ok && err == nil {
				return start.Node, nil
			}
			return "", err
		}
	}
	return "", failed
}
