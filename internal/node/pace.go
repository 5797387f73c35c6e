package node

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// diskMargin is what must stay free beyond what is in memory and not flushed yet, in bytes.
const diskMargin = 256 << 20

// pauseMargin is what generations that do not answer leave free.
const pauseMargin = 1 << 30

// Watermarks of free disk space, in bytes. Below the first one, generations that do not answer wait; below the second,
// submissions are refused with 503 while reads stay up. Both leave room for what the stores have in memory.
func (n *Node) diskPause() uint64  { return pauseMargin + n.diskFreeze() }
func (n *Node) diskFreeze() uint64 { return diskMargin + n.unflushed() }

// diskShort reports that this node takes no submissions for want of disk space.
func (n *Node) diskShort() bool { return n.diskFree() < n.diskFreeze() }

// unflushed is what all stores together have in memory and not on the disk, at most. It is as old as diskFree.
func (n *Node) unflushed() uint64 {
	n.diskFree()
	return n.disk.unflushed.Load()
}

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

// diskCheckEvery bounds how old the knowledge of free disk space is.
const diskCheckEvery = time.Second

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
	for n.diskFree() < n.diskPause() && !n.answersWith(r) {
		why := fmt.Sprintf("less than %d bytes of disk are free", n.diskPause())
		r.paused.Store(&why)
		if err := pause(ctx, diskCheckEvery); err != nil {
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

// diskFree is the free space for the data directory, looked up once a second at most. When it cannot be looked up it counts
// as plenty: the stores stop the process on a full disk anyway.
func (n *Node) diskFree() uint64 {
	now := time.Now().UnixNano()
	if now-n.disk.at.Load() < int64(diskCheckEvery) {
		return n.disk.free.Load()
	}
	free, _ := n.diskNow()
	free -= min(free, n.ballastMissing())
	n.disk.free.Store(free)
	n.disk.unflushed.Store(n.countUnflushed())
	n.disk.at.Store(now)
	return free
}

// diskNow asks the file system: what is free and the size of all.
func (n *Node) diskNow() (free, total uint64) {
	var st syscall.Statfs_t
	switch {
	case n.cfg.DiskFree != nil:
		return n.cfg.DiskFree(), 1 << 62
	case n.cfg.FS == nil && syscall.Statfs(n.cfg.Dir, &st) == nil:
		return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize)
	}
	return 1 << 62, 1 << 62
}
