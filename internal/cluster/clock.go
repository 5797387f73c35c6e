package cluster

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// clockTable holds how far the clocks of the other voters are from this node's, measured with every term RPC.
type clockTable struct {
	c     *Cluster
	every time.Duration
	mu    sync.Mutex
	seen  map[string]clockSample
}

type clockSample struct {
	at     time.Time
	offset time.Duration // their clock minus ours
}

func newClockTable(c *Cluster) *clockTable {
	return &clockTable{c: c, every: max(c.cfg.Timings.Election/4, 50*time.Millisecond), seen: map[string]clockSample{}}
}

// poll asks one member for its term, 0 when it does not answer, and notes its clock.
func (t *clockTable) poll(ctx context.Context, id string) (term uint64) {
	sentWall, sent := t.c.cfg.Clock(), time.Now()
	out, err := t.c.Call(ctx, id, pathTerm, nil)
	took := time.Since(sent)
	if err != nil || len(out) != termAnswerSize {
		return 0
	}
	if took < t.c.cfg.MaxClockSkew/2 { // a slow answer says little about the clock
		theirs := time.Unix(0, int64(binary.BigEndian.Uint64(out[8:])))
		t.mu.Lock()
		t.seen[id] = clockSample{at: time.Now(), offset: theirs.Sub(sentWall.Add(took / 2).Round(0))}
		t.mu.Unlock()
	}
	return binary.BigEndian.Uint64(out)
}

// run polls all members until the cluster closes, so that ClockOK does not depend on reads.
func (t *clockTable) run() {
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for {
		var round sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.c.stop, t.c.cfg.Timings.Election)
		for id := range t.c.calls {
			round.Go(func() { t.poll(ctx, id) })
		}
		round.Wait()
		cancel()
		select {
		case <-tick.C:
		case <-t.c.stop.Done():
			return
		}
	}
}

// ClockOK compares this node's clock with the median of the voters heard within the last ten election timeouts, itself
// included. offset is this clock minus the median. ok is false when fewer than a majority was heard or the offset exceeds
// MaxClockSkew; then a leader should not propose.
func (c *Cluster) ClockOK() (offset time.Duration, ok bool) {
	offsets := []time.Duration{0}
	c.clocks.mu.Lock()
	for _, s := range c.clocks.seen {
		if time.Since(s.at) <= 10*c.cfg.Timings.Election {
			offsets = append(offsets, s.offset)
		}
	}
	c.clocks.mu.Unlock()
	if len(offsets) <= len(c.cfg.Voters)/2 {
		return 0, false
	}
	slices.Sort(offsets)
	mid := len(offsets) / 2
	median := offsets[mid]
	if len(offsets)%2 == 0 {
		median = (offsets[mid-1] + offsets[mid]) / 2
	}
	return -median, median.Abs() <= c.cfg.MaxClockSkew
}
