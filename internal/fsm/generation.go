package fsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// Generation is one complete fold of the log, in its own directory.
type Generation struct {
	number  uint32
	store   *Store
	src     *log.Store
	derived *Derived
	gen     *projections.Generation
	keys    func() *verify.KeySet
	obs     Observer
	pos     *progress
	ends    recentEnds // digests
	life    sync.RWMutex
	closed  bool

	readBytes int // of entries, at once

	mu       sync.Mutex
	recent   recentOutcomes
	maxEpoch map[string]int64 // by shard, the highest epoch with an occupied id
}

// OpenGeneration opens or creates generation number in dir. keys returns the keys that this node can check with
// at that moment.
func OpenGeneration(fs vfs.FS, dir string, number uint32, src *log.Store, derived *Derived,
	keys func() *verify.KeySet, obs Observer, batchBytes int, logger *slog.Logger) (*Generation, error) {
	store, err := OpenStore(fs, dir, logger, obs.Failed)
	if err != nil {
		return nil, err
	}
	g := &Generation{number: number, store: store, src: src, derived: derived, keys: keys, obs: obs,
		readBytes: batchBytes, maxEpoch: map[string]int64{}}
	if err := g.load(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return g, nil
}

func (g *Generation) load() error {
	v := g.store.Snapshot()
	defer v.Close()
	p, err := projections.ReadPosition(v)
	if err != nil {
		return fmt.Errorf("generation %d: %w", g.number, err)
	}
	cur := Cursor{Index: p.Index, Term: p.Term, Seq: p.Seq, LogTime: p.LogTime}
	if err := checkPosition(g.src, cur); err != nil {
		return fmt.Errorf("generation %d: %w", g.number, err)
	}
	g.src.CommittedTo(cur.Index)
	g.pos = newProgress(cur)
	g.gen, err = projections.LoadGeneration(g.number, v)
	return err
}

// Run folds the committed log until ctx ends or something fails.
func (g *Generation) Run(ctx context.Context) error {
	return g.store.follow(ctx, g.src, g)
}

// Close waits for open views and closes the store. Run must have returned. Later views are empty, and callers
// that wait for more get ErrDropped.
func (g *Generation) Close() error {
	g.pos.end()
	g.life.Lock()
	defer g.life.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	return g.store.Close()
}

// Damage returns the reason why the generation must be folded again, or nil.
func (g *Generation) Damage() error { return g.store.Damage() }

// Number returns the number of the generation.
func (g *Generation) Number() uint32 { return g.number }

// Cursor returns the position up to which the generation is folded.
func (g *Generation) Cursor() Cursor { return g.pos.get() }

// WaitIndex returns when entry index is folded.
func (g *Generation) WaitIndex(ctx context.Context, index uint64) error {
	return g.pos.waitIndex(ctx, index)
}

// WaitSeq returns when event seq is folded.
func (g *Generation) WaitSeq(ctx context.Context, seq uint64) error {
	return g.pos.wait(ctx, func(c Cursor) bool { return c.Seq >= seq })
}

// View returns a snapshot of the rows. The caller closes it. Reading from a closed generation fails with
// ErrDropped.
func (g *Generation) View() *View {
	g.life.RLock()
	if g.closed {
		g.life.RUnlock()
		return &View{r: failedReader{err: ErrDropped}}
	}
	v := g.store.Snapshot()
	v.done = g.life.RUnlock
	return v
}

// Bytes returns the disk space that the generation uses.
func (g *Generation) Bytes() uint64 {
	g.life.RLock()
	defer g.life.RUnlock()
	if g.closed {
		return 0
	}
	return g.store.Metrics().DiskSpaceUsage()
}

// Unflushed returns an upper bound for the bytes in memory that are not yet on disk.
func (g *Generation) Unflushed() uint64 {
	g.life.RLock()
	defer g.life.RUnlock()
	if g.closed {
		return 0
	}
	return g.store.Unflushed()
}

func (g *Generation) cursor() Cursor { return g.pos.get() }

// read takes the batch that derived/ has just folded. If this generation is behind, it reads the log itself. It then
// waits until the control state is folded up to the batch.
func (g *Generation) read(ctx context.Context, at Cursor, target uint64) (*batch, error) {
	if err := g.derived.WaitIndex(ctx, at.Index+1); err != nil {
		return nil, err
	}
	b := g.derived.head.take(at, target, g.readBytes)
	if b == nil {
		var err error
		if b, err = readBatch(newBatch(at), g.src, target, g.readBytes); err != nil {
			return nil, err
		}
	}
	if err := g.derived.WaitIndex(ctx, b.cur.Index); err != nil {
		return nil, err
	}
	b.memory = slices.Grow(b.memory, len(b.items))[:len(b.items)]
	return b, g.checkCount(b.items)
}

// prepare decodes and checks submissions. The rows of a generation have the leaves of operators' events only.
func (g *Generation) prepare(b *batch, from, to int) {
	keys, view := g.keys(), g.derived.Control().For(g.number)
	for i := from; i < to; i++ {
		if it := &b.items[i]; it.Kind != event.Submission {
			hash(b.items[i : i+1])
		} else {
			b.memory[i].Prepare(it, keys, view)
		}
	}
}

func (g *Generation) fold(ctx context.Context, b *batch) error {
	results, ends, err := g.foldAll(b.items, g.derived.Control().For(g.number))
	if err != nil {
		return err
	}
	p := g.gen.Position(b.cur.Index, b.cur.Term)
	p.LogTime = b.cur.LogTime
	if err := g.store.seal(len(b.items), func(tx *txn) { projections.WritePosition(tx, p) }); err != nil {
		return err
	}
	g.ends.push(ends)
	g.publish(b.cur, b.items, results)
	if err := g.store.settle(g.src.Committed() > b.cur.Index); err != nil {
		return err
	}
	if err := g.observeAll(b.items, results); err != nil {
		return err
	}
	b.release()
	if g.obs.Pace == nil {
		return nil
	}
	return g.obs.Pace(ctx, g.number)
}

// ErrCount means that a fold read events other than those of the log.
var ErrCount = errors.New("fsm: the events read are not those of the log")

// checkCount compares what a fold has read with the numbering and the Merkle tree of the log. The last event of
// the batch must have the position and the leaf that derived/ has for it.
func (g *Generation) checkCount(items []projections.Item) error {
	if len(items) == 0 {
		return nil
	}
	last := &items[len(items)-1]
	hash(items[len(items)-1:])
	at, err := g.derived.placeOf(last.Seq)
	if err != nil {
		return err
	}
	if at.index != last.Index || at.leaf != last.Leaf().Hash() {
		return fmt.Errorf("%w: event %d was read from entry %d, the log has it in entry %d", ErrCount, last.Seq,
			last.Index, at.index)
	}
	return nil
}

func (g *Generation) foldAll(items []projections.Item, view projections.ControlView) (
	results []projections.Result, ends []end, err error) {
	results = make([]projections.Result, len(items))
	skip := endsIn(items) - endsOfBatch
	for i := range items {
		err := g.store.folding(func(tx *txn) (err error) {
			results[i], err = g.gen.Fold(tx, &items[i], view)
			return err
		})
		if err != nil {
			return nil, nil, fmt.Errorf("event %d: %w", items[i].Seq, err)
		}
		if endsEntry(items, i) {
			if skip--; skip < 0 {
				seq, digest := g.gen.Digest()
				ends = append(ends, end{seq, digest})
			}
		}
	}
	return results, ends, nil
}

// publish passes the outcomes to the callers that wait for them.
func (g *Generation) publish(cur Cursor, items []projections.Item, results []projections.Result) {
	g.mu.Lock()
	for from := 0; from < len(items); {
		to := from
		for ; to < len(items) && items[to].Index == items[from].Index; to++ {
			g.noteEpoch(&results[to])
		}
		g.recent.push(items[from].Index, results[from:to:to])
		from = to
	}
	g.mu.Unlock()
	g.pos.set(cur)
}

// maxEpochShards bounds the number of shards whose highest epoch is in memory. When it is reached, all are dropped.
const maxEpochShards = 1 << 16

func (g *Generation) noteEpoch(r *projections.Result) {
	if r.MaxEpoch < 0 {
		return
	}
	if _, ok := g.maxEpoch[r.ShardID]; !ok && len(g.maxEpoch) >= maxEpochShards {
		clear(g.maxEpoch)
	}
	g.maxEpoch[r.ShardID] = r.MaxEpoch
}

// IsNew reports that no id of this shard and epoch can be occupied, because a pcs_id is the hash of root, epoch
// and shard. If it returns false, the caller has to look up the id.
func (g *Generation) IsNew(shard string, epoch int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	top, ok := g.maxEpoch[shard]
	return ok && epoch > top
}
