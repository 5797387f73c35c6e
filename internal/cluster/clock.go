package cluster

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// MaxJointStep bounds a joint step of the clocks of a majority while their nodes run, up to the skew. A larger
// step is treated as a fault of their common source. The time agreed before then continues until a majority of
// the nodes has been restarted. The suspension of a machine is not a step: the time that passed is counted.
const MaxJointStep = time.Hour

// clockTable holds the wall clocks of the voters, each relative to the time that passed on this machine, and
// the last agreement of a majority. A base is a wall clock minus the time since this process began, in Unix
// nanoseconds. It stays the same until that clock steps.
type clockTable struct {
	c     *Cluster
	every time.Duration
	start time.Duration // Config.Elapsed when this process began

	mu     sync.Mutex
	seen   map[string]clockSample
	agreed bool  // there was an agreement
	held   bool  // a jump away from the agreement is a step
	base   int64 // of the last agreement
	voters []string
}

type clockSample struct {
	id      string
	at      time.Duration // since the process began
	base    int64
	stepped bool // the voter itself reports that its clock stepped too far
}

// ClockState describes this node's wall clock.
type ClockState struct {
	Offset  time.Duration // this clock minus the current or last agreement
	Heard   int           // voters heard within the last ten election timeouts, this node included if it votes
	Agree   int           // voters in the majority that agrees now, 0 if none does
	Voters  int
	Stepped bool // this clock stepped by more than MaxJointStep since the last agreement
	OK      bool // a majority agrees and this clock is near it
}

// Off reports whether a majority of the voters agrees on a time that is too far from this clock. Others can
// then lead.
func (s ClockState) Off() bool { return s.Agree > 0 && !s.OK }

func newClockTable(c *Cluster) *clockTable {
	return &clockTable{c: c, every: max(c.cfg.Timings.Election/4, 50*time.Millisecond), start: c.cfg.Elapsed(),
		seen: map[string]clockSample{}}
}

// passed returns the time since this process began, including time in which the machine was suspended.
func (t *clockTable) passed() time.Duration { return t.c.cfg.Elapsed() - t.start }

// own returns the current sample of this node's clock.
func (t *clockTable) own() clockSample {
	at := t.passed()
	s := clockSample{id: t.c.cfg.NodeID, at: at, base: t.c.cfg.Clock().UnixNano() - int64(at)}
	s.stepped = t.held && time.Duration(s.base-t.base).Abs() > MaxJointStep+t.c.cfg.MaxClockSkew
	return s
}

// poll asks one member for its term and records its clock. It returns 0 if the member does not respond.
func (t *clockTable) poll(ctx context.Context, id string) (term uint64) {
	sent, moment := t.passed(), time.Now()
	out, err := t.c.Call(ctx, id, pathTerm, queryFitness)
	at := t.passed()
	if err != nil || len(out) < termResponseSize || len(out) > termResponseSize+len(queryFitness) {
		return 0
	}
	t.c.fitness.note(id, moment, out)
	if at-sent < t.c.cfg.MaxClockSkew/2 { // a slow response says little about the clock
		wall := int64(binary.BigEndian.Uint64(out[8:]))
		t.mu.Lock()
		t.seen[id] = clockSample{id: id, at: at, base: wall - int64((sent+at)/2), stepped: out[16] != 0}
		t.mu.Unlock()
	}
	return binary.BigEndian.Uint64(out)
}

// appendTo appends this node's wall clock and whether it stepped too far.
func (t *clockTable) appendTo(out []byte) []byte {
	t.mu.Lock()
	own := t.own()
	t.mu.Unlock()
	out = binary.BigEndian.AppendUint64(out, uint64(own.base+int64(own.at)))
	if own.stepped {
		return append(out, 1)
	}
	return append(out, 0)
}

// run polls all members until the cluster closes, so that the agreement does not depend on reads.
func (t *clockTable) run() {
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		var round sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.c.stop, t.c.cfg.Timings.Election)
		for _, p := range t.c.calls.of(t.asked(n)) {
			round.Go(func() { t.poll(ctx, p.id) })
		}
		round.Wait()
		cancel()
		t.agree()
		select {
		case <-tick.C:
		case <-t.c.stop.Done():
			return
		}
	}
}

// asked returns the voters to ask in a round. A node that was removed asks seldom, only to hear that it still is. One
// without a log asks the nodes of its settings: it may have been removed before it got an entry.
func (t *clockTable) asked(round int) []string {
	if t.c.peer.roster.removed() != nil && round%32 != 0 {
		return nil
	}
	now := t.c.members.now()
	if now.index == 0 {
		return t.c.cfg.ids()
	}
	return now.voters
}

// agree makes the current majority the agreement.
func (t *clockTable) agree() {
	t.mu.Lock()
	a, ok := t.agreement(t.own())
	stepped := ok && t.agreed && time.Duration(a.base()-t.base).Abs() > t.c.cfg.MaxClockSkew
	before := t.base
	if ok {
		t.agreed, t.base, t.voters = true, a.base(), a.voters
	}
	t.mu.Unlock()
	if stepped {
		t.c.log.Warn("cluster: the clocks of a majority stepped together", "by", time.Duration(a.base()-before),
			"voters", a.voters)
	}
}

// agreement describes the clocks of a majority: the two middle clocks, which are one clock if the number is
// odd, and the voters near them.
type agreement struct {
	low, high int64
	voters    []string
}

func (a agreement) base() int64 { return a.low + (a.high-a.low)/2 }

// from returns the distance of a clock from the farther one of the middle clocks. With two clocks, that is the
// other one.
func (a agreement) from(base int64) time.Duration {
	low, high := time.Duration(base-a.low), time.Duration(base-a.high)
	if low.Abs() > high.Abs() {
		return low
	}
	return high
}

// agreement looks for a majority of the voters near each of the middle clocks. It ignores clocks that stepped
// too far. t.mu must be held.
func (t *clockTable) agreement(own clockSample) (agreement, bool) {
	var list []clockSample
	for _, s := range t.fresh(own) {
		if !s.stepped {
			list = append(list, s)
		}
	}
	majority := t.c.members.now().majority()
	if len(list) < majority {
		return agreement{}, false
	}
	slices.SortFunc(list, func(a, b clockSample) int { return int(min(max(a.base-b.base, -1), 1)) })
	a := agreement{low: list[(len(list)-1)/2].base, high: list[len(list)/2].base}
	nearLow := 0
	for _, s := range list {
		if time.Duration(s.base-a.low).Abs() <= t.c.cfg.MaxClockSkew {
			nearLow++
		}
		if time.Duration(s.base-a.high).Abs() <= t.c.cfg.MaxClockSkew {
			a.voters = append(a.voters, s.id)
		}
	}
	slices.Sort(a.voters)
	return a, nearLow >= majority && len(a.voters) >= majority
}

// fresh returns the clocks of the voters heard within the last ten election timeouts, this one included.
func (t *clockTable) fresh(own clockSample) (list []clockSample) {
	now := t.c.members.now()
	if now.votes(own.id) {
		list = append(list, own)
	}
	for _, s := range t.seen {
		if now.votes(s.id) && own.at-s.at <= 10*t.c.cfg.Timings.Election {
			list = append(list, s)
		}
	}
	return list
}

// Clock compares this node's current wall clock with those of the voters heard last and with the time since the
// last agreement.
func (c *Cluster) Clock() ClockState {
	t := c.clocks
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.own()
	s := ClockState{Heard: len(t.fresh(own)), Voters: len(c.members.now().voters), Stepped: own.stepped}
	a, ok := t.agreement(own)
	switch {
	case ok:
		s.Offset, s.Agree = a.from(own.base), len(a.voters)
		s.OK = !own.stepped && s.Offset.Abs() <= c.cfg.MaxClockSkew
	case t.agreed:
		s.Offset = time.Duration(own.base - t.base)
	}
	return s
}

// ClockOK reports whether a majority of the voters agrees on the time and this node's clock is near it. Only
// then should a leader propose. offset is this clock minus theirs.
func (c *Cluster) ClockOK() (offset time.Duration, ok bool) {
	s := c.Clock()
	return s.Offset, s.OK
}

// HoldTime declares the agreed time right. From then on this node does not trust its clock after a step of more
// than MaxJointStep. Before, a clock that was wrong at the start may be corrected by any step.
func (c *Cluster) HoldTime() {
	t := c.clocks
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = t.agreed
}

// AgreedTime returns the wall time of the last agreement plus the time that passed since, so the step of one
// clock does not move it. voters are those that agreed. Before the first agreement there are none, and the time
// is this clock's.
func (c *Cluster) AgreedTime() (now time.Time, voters []string) {
	t := c.clocks
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.agreed {
		return c.cfg.Clock(), nil
	}
	return time.Unix(0, t.base+int64(t.passed())), t.voters
}
