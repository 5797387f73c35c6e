package fsm

import (
	"context"
	"runtime"
	"sync"
	"unsafe"

	"github.com/recount-ledger/recount/internal/projections"
)

// pipeline folds many batches. While one is folded, the next ones are read and prepared:
//
//	read ----> parts ----> prepare, on all processors --+
//	  |                                                 v ready
//	  +------> batches, in the order of the log ------> fold ----> apply (step)
//
// Nobody stops between batches: a worker takes the next part, of whatever batch, and only the fold waits for a whole
// batch. The memory of batches that are read and not folded is bounded: the reader takes units of room for each of
// them, and the fold gives them back.
type pipeline struct {
	f       folder
	parts   chan part
	batches chan *batch   // never full, because each batch in it has a unit of room
	room    chan struct{} // one element for each unit that is taken
	err     error         // of the reader; set before batches is closed
}

// part is some events of a batch.
type part struct {
	of       *batch
	from, to int // items
}

// The bounds of a pipeline. A batch has at least one unit, so there are at most roomUnits batches. A batch that is
// larger than the room takes all of it.
const (
	partEvents = 32        // events of a part
	unitBytes  = 256 << 10 // memory of a unit
	roomUnits  = 32
)

// itemBytes is the memory of an item without its payload, preparedBytes what prepare adds to it.
const (
	itemBytes     = int(unsafe.Sizeof(projections.Item{}))
	preparedBytes = int(unsafe.Sizeof(projections.Memory{}))
)

func newPipeline(f folder) *pipeline {
	return &pipeline{f: f, parts: make(chan part), batches: make(chan *batch, roomUnits),
		room: make(chan struct{}, roomUnits)}
}

// run folds a batch that was read, and everything after it, up to and including entry target. It returns when all
// goroutines have ended, because the caller may close the stores then.
func (p *pipeline) run(ctx context.Context, first *batch, target uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() {
		defer close(p.batches)
		defer close(p.parts)
		p.err = p.read(ctx, first, target)
	})
	for range runtime.GOMAXPROCS(0) {
		others.Go(func() { p.work(ctx) })
	}
	for b := range p.batches {
		select {
		case <-b.ready:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		units := b.units
		if err := p.f.fold(ctx, b); err != nil {
			return err
		}
		for range units {
			<-p.room
		}
	}
	return p.err
}

// read passes on the first batch and those after it.
func (p *pipeline) read(ctx context.Context, b *batch, target uint64) (err error) {
	for {
		at := b.cur
		if err := p.pass(ctx, b); err != nil || at.Index >= target {
			return err
		}
		if b, err = p.f.read(ctx, at, target); err != nil {
			return err
		}
	}
}

// pass waits for room, then gives a batch to the fold and its parts to the workers.
func (p *pipeline) pass(ctx context.Context, b *batch) error {
	n := len(b.items)
	b.units = min(1+b.bytes()/unitBytes, roomUnits)
	for range b.units {
		select {
		case p.room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.ready = make(chan struct{})
	b.left.Store(int64(n))
	if n == 0 {
		close(b.ready)
	}
	p.batches <- b
	for from := 0; from < n; from += partEvents { // after the last part, the batch may be folded already
		select {
		case p.parts <- part{b, from, min(from+partEvents, n)}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// work prepares parts. Who prepares the last one of a batch tells the fold.
func (p *pipeline) work(ctx context.Context) {
	for w := range p.parts {
		if ctx.Err() != nil {
			continue
		}
		p.f.prepare(w.of, w.from, w.to)
		if w.of.left.Add(int64(w.from-w.to)) == 0 {
			close(w.of.ready)
		}
	}
}
