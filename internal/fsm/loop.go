package fsm

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/recount-ledger/recount/internal/log"
)

// ErrAhead means that a folded state claims a position that the log does not have, so it belongs to another
// log.
var ErrAhead = errors.New("fsm: folded state is ahead of the log")

// DefaultBatchBytes bounds the bytes of entries that a loop reads and folds at once. Several batches of usual records
// fit into the room of a pipeline, so that one is prepared while another is folded.
const DefaultBatchBytes = 512 << 10

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
	// prepare does the work on the items [from, to) of a batch that does not depend on other events. It may run on
	// several parts of a batch at once, and while earlier batches are folded.
	prepare(b *batch, from, to int)
	// fold commits the rows and the cursor of a prepared batch together. Nobody may use the batch afterwards.
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
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := f.read(ctx, at, target)
		if err != nil {
			return err
		}
		at = b.cur
		if at.Index+fewEntries < target {
			return newPipeline(f).run(ctx, b, target)
		}
		prepareAll(f, b)
		if err := f.fold(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// prepareAll prepares the events of a batch, on all processors if there are many.
func prepareAll(f folder, b *batch) {
	n := len(b.items)
	workers := min(runtime.GOMAXPROCS(0), (n+partEvents-1)/partEvents)
	if workers <= 1 {
		f.prepare(b, 0, n)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f.prepare(b, w*n/workers, (w+1)*n/workers) })
	}
	wg.Wait()
}
