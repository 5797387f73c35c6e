package fsm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// ErrAhead means that a folded state claims a position that the log does not have, so it belongs to another
// log.
var ErrAhead = errors.New("fsm: folded state is ahead of the log")

// DefaultBatchBytes bounds the bytes of entries that one step of a loop reads.
const DefaultBatchBytes = 4 << 20

// Cursor is a position in the log: the last entry folded, the number of events up to it, and the log time
// there.
type Cursor struct {
	Index   uint64 // Raft index of the last entry folded
	Term    uint64 // its term
	Seq     uint64 // number of the last event
	LogTime int64  // Unix nanoseconds
}

// items numbers and dates the events of an entry and moves the cursor past it.
func (c *Cursor) items(e log.Entry) ([]projections.Item, error) {
	if e.Index <= c.Index {
		return nil, fmt.Errorf("%w: entry %d after %d", log.ErrGap, e.Index, c.Index)
	}
	c.Index, c.Term = e.Index, e.Term
	if e.Type != raft.LogCommand {
		return nil, nil
	}
	pack, err := event.DecodePack(e.Data)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	c.LogTime = timeOf(c.LogTime, c.Seq == 0, pack)
	out := make([]projections.Item, len(pack.Events))
	for i, ev := range pack.Events {
		if !ev.Kind.Known() {
			return nil, fmt.Errorf("entry %d event %d: %w: %d", e.Index, i, projections.ErrUnknownKind, ev.Kind)
		}
		c.Seq++
		out[i] = ItemOf(e, pack, c.Seq, i)
		out[i].LogTime = c.LogTime
	}
	return out, nil
}

// ItemOf returns event seq, which is at offset in the pack of entry e. It leaves LogTime zero.
func ItemOf(e log.Entry, pack event.Pack, seq uint64, offset int) projections.Item {
	ev := pack.Events[offset]
	return projections.Item{Seq: seq, Index: e.Index, Term: e.Term, RawTime: pack.ProposedAt, Kind: ev.Kind, Event: ev,
		PayloadSHA: sha256.Sum256(ev.Payload)}
}

// step is a run of entries that is folded in one batch.
type step struct {
	entries []log.Entry
	items   []projections.Item // their events
	cur     Cursor             // position after them
}

// folder is one fold with its own cursor.
type folder interface {
	cursor() Cursor
	// prepare does the work that does not depend on other steps. It may run while the previous step is folded.
	prepare(ctx context.Context, s *step) error
	// fold commits the rows and the cursor of a prepared step together.
	fold(ctx context.Context, s *step) error
}

// follow folds committed entries until ctx ends or an error occurs. Nothing else writes to a folded state.
func follow(ctx context.Context, src *log.Store, f folder, batchBytes int) error {
	for {
		committed, err := src.Wait(ctx, f.cursor().Index)
		if err != nil {
			return err
		}
		if err := catchUp(ctx, src, f, committed, batchBytes); err != nil {
			return err
		}
	}
}

// stepsAhead is the number of prepared steps that may wait for the fold, enough that neither side waits for
// long.
const stepsAhead = 2

// catchUp folds up to and including entry target. While one step is folded, the next ones are read and
// prepared.
func catchUp(ctx context.Context, src *log.Store, f folder, target uint64, batchBytes int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	steps := make(chan prepared, stepsAhead)
	go func(at Cursor) {
		defer close(steps)
		for at.Index < target {
			s, err := next(ctx, src, f, at, target, batchBytes)
			steps <- prepared{s, err}
			if err != nil {
				return
			}
			at = s.cur
		}
	}(f.cursor())
	var err error
	for p := range steps { // drain the channel, because the caller may close the stores when this returns
		if err == nil {
			err = p.err
		}
		if err == nil {
			err = f.fold(ctx, p.step)
		}
		if err != nil {
			cancel()
		}
	}
	return err
}

type prepared struct {
	step *step
	err  error
}

// next reads and prepares the step after a cursor.
func next(ctx context.Context, src *log.Store, f folder, at Cursor, target uint64, batchBytes int) (*step, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &step{cur: at}
	_, err := src.Read(at.Index+1, batchBytes, func(e log.Entry) error {
		s.entries = append(s.entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.entries) == 0 {
		return nil, fmt.Errorf("%w: nothing after entry %d of %d", log.ErrGap, at.Index, target)
	}
	if s.entries[0].Index != at.Index+1 {
		return nil, fmt.Errorf("%w: entry %d after %d", log.ErrGap, s.entries[0].Index, at.Index)
	}
	for _, e := range s.entries {
		items, err := s.cur.items(e)
		if err != nil {
			return nil, err
		}
		s.items = append(s.items, items...)
	}
	return s, f.prepare(ctx, s)
}
