package fsm

import (
	"context"
	"errors"

	"github.com/recount-ledger/recount/internal/log"
)

// ErrAhead means that a folded state claims a position that the log does not have, so it belongs to another
// log.
var ErrAhead = errors.New("fsm: folded state is ahead of the log")

// DefaultBatchBytes bounds the bytes of entries that a loop reads and folds at once.
const DefaultBatchBytes = 4 << 20

// Cursor is a position in the log: the last entry folded, the number of events up to it, and the log time
// there.
type Cursor struct {
	Index   uint64 // Raft index of the last entry folded
	Term    uint64 // its term
	Seq     uint64 // number of the last event
	LogTime int64  // Unix nanoseconds
}

// folder is one fold with its own cursor.
type folder interface {
	cursor() Cursor
	// read returns the batch after a cursor, up to entry target. It may run while earlier batches are folded.
	read(ctx context.Context, at Cursor, target uint64) (*batch, error)
	// prepare does the work that does not depend on other batches. It may run while earlier batches are folded.
	prepare(ctx context.Context, b *batch) error
	// fold commits the rows and the cursor of a prepared batch together.
	fold(ctx context.Context, b *batch) error
}

// follow folds committed entries until ctx ends or an error occurs. Nothing else writes to a folded state.
func follow(ctx context.Context, src *log.Store, f folder) error {
	for {
		committed, err := src.Wait(ctx, f.cursor().Index)
		if err != nil {
			return err
		}
		if err := catchUp(ctx, f, committed); err != nil {
			return err
		}
	}
}

// fewEntries is the number of entries that are folded without a pipeline, whatever their size.
const fewEntries = 16

// catchUp folds up to and including entry target. It reads, prepares and folds one batch after the other, as long as
// few entries are left after a batch, and passes the rest to a pipeline.
func catchUp(ctx context.Context, f folder, target uint64) error {
	for at := f.cursor(); at.Index < target; {
		b, err := next(ctx, f, at, target)
		if err != nil {
			return err
		}
		at = b.cur
		if at.Index+fewEntries < target {
			return pipeline(ctx, f, b, target)
		}
		if err := f.fold(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// batchesAhead is the number of prepared batches that may wait for the fold, enough that neither side waits for
// long.
const batchesAhead = 2

// pipeline folds the prepared batch first and everything after it, up to and including entry target. While one batch
// is folded, the next ones are read and prepared.
func pipeline(ctx context.Context, f folder, first *batch, target uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan prepared, batchesAhead)
	go func(at Cursor) {
		defer close(batches)
		for at.Index < target {
			b, err := next(ctx, f, at, target)
			batches <- prepared{b, err}
			if err != nil {
				return
			}
			at = b.cur
		}
	}(first.cur)
	err := f.fold(ctx, first)
	if err != nil {
		cancel()
	}
	for p := range batches { // drain the channel, because the caller may close the stores when this returns
		if err == nil {
			err = p.err
		}
		if err == nil {
			err = f.fold(ctx, p.batch)
		}
		if err != nil {
			cancel()
		}
	}
	return err
}

type prepared struct {
	batch *batch
	err   error
}

// next reads and prepares the batch after a cursor.
func next(ctx context.Context, f folder, at Cursor, target uint64) (*batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := f.read(ctx, at, target)
	if err != nil {
		return nil, err
	}
	return b, f.prepare(ctx, b)
}
