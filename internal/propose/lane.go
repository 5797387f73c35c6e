package propose

import (
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/laps"
)

// lane is one of the two queues of a packer, with its packs in flight. Packer.mu guards it.
type lane[R any] struct {
	queue    []*group[R]
	waiting  int // payload bytes in queue
	events   int // in queue
	oldest   time.Time
	free     time.Time // since when no pack is in flight, if none is
	inFlight int
	usual    usual
}

// The lanes of a packer, in the order in which they are looked at.
const (
	fewLane  = iota // single events, and small packs of other nodes
	manyLane        // everything else
	lanes
)

// A pack of another node is small up to these sizes. Followers make their packs of single events no larger.
const (
	smallEvents = maxPackEvents / 4
	smallBytes  = maxPackBytes / 4
)

// laneOf returns the lane of a group.
func (p *Packer[R]) laneOf(g *group[R]) *lane[R] {
	small := g.run.Count == 1
	if g.forwarded {
		small = small || g.run.Count <= smallEvents && g.run.Payload <= smallBytes
	}
	if small {
		return &p.lanes[fewLane]
	}
	return &p.lanes[manyLane]
}

// add appends a group. It reports whether the loop has to look at the lane, which is only at the first group and
// when a pack may leave.
func (l *lane[R]) add(g *group[R]) (look bool) {
	ripe := l.ripe()
	if len(l.queue) == 0 {
		l.oldest, look = time.Now(), true
	}
	l.queue = append(l.queue, g)
	l.waiting += g.run.Payload
	l.events += g.run.Count
	return look || l.ripe() && !ripe
}

// remove takes group i out of the queue.
func (l *lane[R]) remove(i int) *group[R] {
	g := l.queue[i]
	l.queue = slices.Delete(l.queue, i, i+1)
	l.waiting -= g.run.Payload
	l.events -= g.run.Count
	return g
}

// clear removes all groups.
func (l *lane[R]) clear() (queue []*group[R]) {
	queue, l.queue, l.waiting, l.events = l.queue, nil, 0, 0
	return queue
}

// fill removes the groups of the next pack from the queue: the oldest, and those behind it while they fit into these
// bounds. No group passes another one, and one that wants its own entry gets it.
func (l *lane[R]) fill(events, bytes int) (batch []*group[R]) {
	n, end := 0, len(l.queue)
	if i := slices.IndexFunc(l.queue, func(g *group[R]) bool { return g.alone }); i >= 0 {
		end = max(i, 1)
	}
	for ; n < end; n++ {
		run := &l.queue[n].run
		if events, bytes = events-run.Count, bytes-run.Payload; n > 0 && (events < 0 || bytes < 0) {
			break
		}
		l.waiting -= run.Payload
		l.events -= run.Count
		l.queue[n].state = idle
		l.queue[n].watch.Lap(laps.Packed)
	}
	batch = slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	return batch
}

// takeAlone removes the first group that wants its own entry. It returns nil if there is none.
func (l *lane[R]) takeAlone() []*group[R] {
	i := slices.IndexFunc(l.queue, func(g *group[R]) bool { return g.alone })
	if i < 0 {
		return nil
	}
	g := l.remove(i)
	g.state = idle
	return []*group[R]{g}
}

// full reports whether the queue holds a whole pack.
func (l *lane[R]) full() bool { return l.waiting >= maxPackBytes || l.events >= maxPackEvents }

// delay returns how long the queue, which is not empty, still waits for company.
func (l *lane[R]) delay(now time.Time) time.Duration {
	switch {
	case l.full():
		return 0
	case l.inFlight > 0:
		return l.usual.beside() - now.Sub(l.oldest)
	case l.events >= l.usual.enough():
		return 0
	case l.free.After(l.oldest):
		return l.usual.gather() - now.Sub(l.free)
	}
	return l.usual.gather() - now.Sub(l.oldest)
}

// ripe reports whether a pack may leave without waiting for more events.
func (l *lane[R]) ripe() bool { return l.full() || l.inFlight == 0 && l.events >= l.usual.enough() }
