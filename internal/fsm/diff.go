package fsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/recount-ledger/recount/internal/projections"
)

// compareEvents is the number of events that one batch of a comparison covers.
const compareEvents = 4096

// Comparison stores the differences between a generation and an older one, beside the rows of the newer one.
// One goroutine runs it. Readers see whole batches only.
type Comparison struct {
	old, new *Generation
	derived  *Derived
	pos      *progress // only Seq is used
	at       projections.DiffPosition
	flips    atomic.Uint64 // at.Flips, for others than Run
	items    itemReader

	mu      sync.Mutex
	checked projections.DiffPosition // up to here the flips were read back and form one chain

	sumMu sync.Mutex
	sums  *projections.FlipSums // of the flips up to event summed
	upTo  uint64
}

// NewComparison resumes the comparison of new with old that is stored in new, or starts one.
func NewComparison(old, new *Generation, derived *Derived) (*Comparison, error) {
	c := &Comparison{
		old:     old,
		new:     new,
		derived: derived,
		items:   itemReader{d: derived},
		sums:    projections.NewFlipSums(),
	}
	v := new.View()
	defer v.Close()
	var err error
	if c.at, err = projections.ReadDiffPosition(v); err != nil {
		return nil, err
	}
	if c.at.Against != old.number {
		tx := new.store.begin(0)
		tx.clear(projections.FlipRange())
		c.at = projections.DiffPosition{Against: old.number}
		projections.WriteDiffPosition(tx, c.at)
		if err := tx.commit(); err != nil {
			return nil, err
		}
	}
	c.flips.Store(c.at.Flips)
	c.pos = newProgress(Cursor{Seq: c.at.Seq})
	return c, nil
}

// Damage returns the reason why the older generation must be folded again, or nil.
func (c *Comparison) Damage() error { return c.old.Damage() }

// Seq returns the number of the last event compared.
func (c *Comparison) Seq() uint64 { return c.pos.get().Seq }

// Flips returns how many outcomes differ up to the last event compared.
func (c *Comparison) Flips() uint64 { return c.flips.Load() }

// WaitSeq returns when event seq is compared.
func (c *Comparison) WaitSeq(ctx context.Context, seq uint64) error {
	return c.pos.wait(ctx, func(at Cursor) bool { return at.Seq >= seq })
}

// Run compares what both generations have folded until ctx ends. It stops after event last unless last is 0. It
// calls pause after every batch.
func (c *Comparison) Run(ctx context.Context, last uint64, pause func(context.Context) error) error {
	for last == 0 || c.at.Seq < last {
		next := c.at.Seq + 1
		if err := c.old.WaitSeq(ctx, next); err != nil {
			return err
		}
		if err := c.new.WaitSeq(ctx, next); err != nil {
			return err
		}
		to := min(c.old.Cursor().Seq, c.new.Cursor().Seq, c.at.Seq+compareEvents)
		if last != 0 {
			to = min(to, last)
		}
		if err := c.batch(to); err != nil {
			return fmt.Errorf("compare generations %d and %d: %w", c.old.number, c.new.number, err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Comparison) batch(to uint64) error {
	old, new := c.old.View(), c.new.View()
	defer old.Close()
	defer new.Close()
	seqs, err := projections.Differing(old, new, c.at.Seq+1, to)
	if err != nil {
		return err
	}
	control := c.derived.Control()
	at := c.at
	tx := c.new.store.begin(len(seqs) + 1)
	for _, seq := range seqs {
		it, err := c.items.item(seq)
		if err != nil {
			return err
		}
		f, err := projections.NewFlip(seq, &it, old, new, control.For(c.old.number), control.For(c.new.number))
		if err != nil {
			return err
		}
		f.Chain(at.Digest)
		projections.SetFlip(tx, &f)
		at.Flips, at.Digest = at.Flips+1, f.Digest
	}
	at.Seq = to
	projections.WriteDiffPosition(tx, at)
	if err := tx.commit(); err != nil {
		return err
	}
	c.at = at
	c.flips.Store(at.Flips)
	c.pos.set(Cursor{Seq: to})
	return nil
}

// sumBatch is the number of flips that are added up under one view.
const sumBatch = 4096

// Sums adds up the flips to position, which must have been compared. It keeps the sums to the highest position
// asked for, so that only newer flips are read again. It also keeps what was added when ctx ends.
func (c *Comparison) Sums(ctx context.Context, position uint64) (*projections.FlipSums, error) {
	c.sumMu.Lock()
	defer c.sumMu.Unlock()
	if position < c.upTo {
		sums, upTo := projections.NewFlipSums(), uint64(0)
		err := c.addUp(ctx, sums, &upTo, position)
		return sums, err
	}
	if err := c.addUp(ctx, c.sums, &c.upTo, position); err != nil {
		return nil, err
	}
	return c.sums.Clone(), nil
}

func (c *Comparison) addUp(ctx context.Context, sums *projections.FlipSums, upTo *uint64, position uint64) error {
	for *upTo < position {
		if err := ctx.Err(); err != nil {
			return err
		}
		last, n := position, 0
		v := c.new.View()
		err := projections.EachFlip(v, *upTo+1, position, func(f *projections.Flip) bool {
			if n++; n > sumBatch {
				last = f.Seq - 1
				return false
			}
			sums.Add(f)
			return true
		})
		if err = errors.Join(err, v.Close()); err != nil {
			*sums, *upTo = *projections.NewFlipSums(), 0
			return err
		}
		*upTo = last
	}
	return nil
}

// Digest returns the digest of the comparison up to position, which must have been compared, and of the newer
// state there.
func (c *Comparison) Digest(position uint64) (diff, state [32]byte, err error) {
	if position > c.Seq() {
		return diff, state, fmt.Errorf("%w: compared up to %d of %d", ErrNoEvent, c.Seq(), position)
	}
	before, err := c.old.stateDigest(position)
	if err != nil {
		return diff, state, err
	}
	if state, err = c.new.stateDigest(position); err != nil {
		return diff, state, err
	}
	v := c.new.View()
	defer v.Close()
	if err := c.check(v); err != nil {
		return diff, state, err
	}
	flips, err := projections.FlipDigestAt(v, position)
	return projections.DiffDigest(c.old.number, c.new.number, position, before, state, flips), state, err
}

// check reads back the flips that were not read back yet, so that no digest depends on the last row alone.
func (c *Comparison) check(v *View) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, err := projections.ReadDiffPosition(v)
	if err != nil || at.Seq <= c.checked.Seq {
		return err
	}
	digest, flips, err := projections.CheckFlips(v, c.checked.Seq, at.Seq, c.checked.Digest)
	if err != nil {
		return err
	}
	if digest != at.Digest || c.checked.Flips+flips != at.Flips {
		return fmt.Errorf("flips up to event %d: %d of %d are there: %w", at.Seq, c.checked.Flips+flips, at.Flips,
			projections.ErrCorrupt)
	}
	c.checked = at
	return nil
}

// Old returns the number of the older generation.
func (c *Comparison) Old() uint32 { return c.old.number }
