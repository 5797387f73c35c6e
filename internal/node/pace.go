package node

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// Watermarks of free disk space, in bytes. Below the first one, generations that do not answer wait; below the second,
// submissions are refused with 503 while reads stay up.
const (
	diskPause  = 1 << 30
	diskFreeze = 256 << 20
)

// restFactor is how long a generation that does not answer rests after a step, in lengths of the step, while submissions
// come in. The next step is read and checked during the rest, which takes about as long as the step itself: together it works a
// quarter of the time.
const restFactor = 6

// busyFor is how long after a submission the node counts as busy.
const busyFor = time.Second

// diskCheckEvery bounds how old the knowledge of free disk space is.
const diskCheckEvery = time.Second

// pace lets the generation that answers, or is to answer, go on at once. Any other one rests while submissions come in, and waits while disk
// space is short.
func (n *Node) pace(ctx context.Context, generation uint32) error {
	r, _ := n.gens.get(generation)
	if r == nil {
		return nil
	}
	r.meter.note(r.Cursor().Seq, time.Now())
	if r == n.live() || generation == n.active() {
		return nil
	}
	return n.rest(ctx, r, &r.folding)
}

// pacer knows when a loop went on last; only that loop uses it.
type pacer struct{ resumed time.Time }

// longestRest bounds a rest: what took long was waiting.
const longestRest = 300 * time.Millisecond

func (n *Node) rest(ctx context.Context, r *running, p *pacer) error {
	took := min(time.Since(p.resumed), longestRest/restFactor)
	defer func() { p.resumed = time.Now() }()
	for n.diskFree() < diskPause {
		why := fmt.Sprintf("less than %d bytes of disk are free", diskPause)
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
	free := uint64(1) << 62
	var st syscall.Statfs_t
	if n.cfg.DiskFree != nil {
		free = n.cfg.DiskFree()
	} else if n.cfg.FS == nil && syscall.Statfs(n.cfg.Dir, &st) == nil {
		free = st.Bavail * uint64(st.Bsize)
	}
	n.disk.free.Store(free)
	n.disk.at.Store(now)
	return free
}
