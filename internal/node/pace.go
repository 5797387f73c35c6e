package node

import (
	"context"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/internal/disk"
)

// countUnflushed returns what all stores together have in memory and not on the disk, at most.
func (n *Node) countUnflushed() uint64 {
	if n.store == nil || n.derived == nil {
		return 0
	}
	sum := n.store.Unflushed() + n.derived.Unflushed()
	for number := range n.openNumbers() {
		if r, _ := n.gens.get(number); r != nil {
			sum += r.Unflushed()
		}
	}
	return sum
}

// restFactor is how long a generation that does not answer rests after a step, in lengths of the step, while submissions
// come in. The next step is read and checked during the rest, which takes about as long as the step itself: together it works a
// quarter of the time.
const restFactor = 6

// busyFor is how long after a submission the node counts as busy.
const busyFor = time.Second

// pace lets the generation that answers, or is to answer, go on at once. Any other one rests while submissions come in, and
// waits while disk space is short.
func (n *Node) pace(ctx context.Context, generation uint32) error {
	r, _ := n.gens.get(generation)
	if r == nil {
		return nil
	}
	r.meter.note(r.Cursor().Seq, time.Now())
	if n.answersWith(r) {
		return nil
	}
	return n.rest(ctx, r, &r.folding)
}

// answersWith reports whether a generation answers, or is to answer as soon as it is folded: that one never waits, since
// no client gets an answer meanwhile. One that waited when it was activated goes on.
func (n *Node) answersWith(r *running) bool { return r == n.live() || r.Number() == n.active() }

// pacer knows when a loop went on last; only that loop uses it.
type pacer struct{ resumed time.Time }

// longestRest bounds a rest: what took long was waiting.
const longestRest = 300 * time.Millisecond

func (n *Node) rest(ctx context.Context, r *running, p *pacer) error {
	took := min(time.Since(p.resumed), longestRest/restFactor)
	defer func() { p.resumed = time.Now() }()
	for n.disk.Free() < n.disk.PauseBelow() && !n.answersWith(r) {
		why := fmt.Sprintf("less than %d bytes of disk are free", n.disk.PauseBelow())
		r.paused.Store(&why)
		if err := pause(ctx, disk.CheckEvery); err != nil {
			return err
		}
	}
	r.paused.Store(nil)
	if n.busy() {
		return pause(ctx, restFactor*took)
	}
	return ctx.Err()
}

// busy reports whether submissions came in a moment ago.
func (n *Node) busy() bool { return time.Now().UnixNano()-n.lastSubmit.Load() < int64(busyFor) }
