package cluster

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
)

// tableOf is a clock table of node "a" with a clock that the test moves; the other voters were heard just now.
// slept is the time for which its machine slept.
func tableOf(voters int, skew time.Duration, own, slept *atomic.Int64, others ...time.Duration) *Cluster {
	c := &Cluster{log: slog.New(slog.DiscardHandler)}
	c.cfg = Config{NodeID: "a", MaxClockSkew: skew, Timings: Timings{Election: time.Hour}}
	began := time.Now()
	c.cfg.Elapsed = func() time.Duration { return time.Since(began) + time.Duration(slept.Load()) }
	c.cfg.Clock = func() time.Time { return began.Add(c.cfg.Elapsed()).Add(time.Duration(own.Load())) }
	for i := range voters {
		c.cfg.Voters = append(c.cfg.Voters, Voter{ID: string(rune('a' + i))})
	}
	c.members = founded(c.cfg.Voters)
	c.clocks = newClockTable(c)
	base := began.UnixNano() + int64(c.clocks.start)
	for i, d := range others {
		id := string(rune('b' + i))
		c.clocks.seen[id] = clockSample{id: id, base: base + int64(d)}
	}
	return c
}

func TestWhoseClockIsOff(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		voters  int
		own     time.Duration
		others  []time.Duration
		ok, off bool
	}{
		{1, 0, nil, true, false},
		{3, 0, nil, false, false},                                      // too few heard
		{3, 0, []time.Duration{0}, true, false},                        // one is down
		{3, 0, []time.Duration{6 * s}, false, false},                   // of two nobody can say which one is wrong
		{3, 9 * s, []time.Duration{0}, false, false},                   // and half of the difference is not the skew
		{3, 4 * s, []time.Duration{0}, true, false},                    //
		{3, 20 * s, []time.Duration{0, 0}, false, true},                // the others can lead
		{3, 0, []time.Duration{0, 720 * time.Hour}, true, false},       // another one is wrong
		{3, 0, []time.Duration{-time.Hour, time.Hour}, false, false},   // the middle one is not right for being in the middle
		{5, 0, []time.Duration{0, 30 * s, 30 * s}, false, false},       // two against two
		{5, 30 * s, []time.Duration{0, 0, 30 * s, 0}, false, true},     // two against three
		{5, 0, []time.Duration{2 * s, 6 * s, 7 * s}, false, true},      // and not what lies between the two
		{5, 0, []time.Duration{4 * s, 8 * s, 12 * s}, false, true},     // the farther middle counts
		{5, 6 * s, []time.Duration{4 * s, 8 * s, 12 * s}, true, false}, //
	} {
		t.Run(fmt.Sprint(test.voters, test.own, test.others), func(t *testing.T) {
			var own, slept atomic.Int64
			own.Store(int64(test.own))
			state := tableOf(test.voters, 5*s, &own, &slept, test.others...).Clock()
			if state.OK != test.ok || state.Off() != test.off {
				t.Errorf("%+v, off %v", state, state.Off())
			}
		})
	}
}

// TestAgreedTimeDoesNotStep: the step of one clock changes the state at once and the agreed time not at all; a step of all
// clocks is taken when it is small, and when most nodes have forgotten the time before it.
func TestAgreedTimeDoesNotStep(t *testing.T) {
	var own, slept atomic.Int64
	c := tableOf(3, 5*time.Second, &own, &slept, 0, 0)
	right := c.clocks.own().base
	c.clocks.agree()
	c.HoldTime()
	near := func(want time.Duration) {
		t.Helper()
		now, voters := c.AgreedTime()
		if d := time.Until(now) - want; d.Abs() > time.Second || len(voters) < 2 {
			t.Errorf("the agreed time is %s away, wanted %s; %v", time.Until(now), want, voters)
		}
	}
	others := func(d time.Duration, stepped bool) {
		for _, id := range []string{"b", "c"} {
			c.clocks.seen[id] = clockSample{id: id, at: c.clocks.passed(), base: right + int64(d), stepped: stepped}
		}
	}
	near(0)
	for _, step := range []time.Duration{-720 * time.Hour, -time.Hour, 20 * time.Second, time.Hour, 720 * time.Hour} {
		own.Store(int64(step))
		if s := c.Clock(); s.OK || !s.Off() || (s.Offset-step).Abs() > time.Second {
			t.Errorf("after a step of %s: %+v", step, s)
		}
		near(0)
		c.clocks.agree()
		near(0)
		own.Store(0)
		if s := c.Clock(); !s.OK {
			t.Errorf("right again after a step of %s: %+v", step, s)
		}
	}
	own.Store(int64(20 * time.Second))
	others(20*time.Second, false)
	c.clocks.agree()
	near(20 * time.Second)

	const month = 720 * time.Hour
	own.Store(int64(month))
	others(month, true) // they, too, saw the step
	c.clocks.agree()
	if s := c.Clock(); s.OK || s.Off() || !s.Stepped {
		t.Errorf("all clocks stepped by a month: %+v", s)
	}
	near(20 * time.Second)
	others(month, false) // they were started again
	c.clocks.agree()
	if s := c.Clock(); !s.OK {
		t.Errorf("a majority started again: %+v", s)
	}
	near(month)
}

// TestLeaderWithWrongClockIsReplaced: the others elect a leader while its clock is off, it stays alive as a follower, does
// not stand, and counts again when the clock is right.
func TestLeaderWithWrongClockIsReplaced(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	shift := map[string]*atomic.Int64{}
	for _, v := range b.voters {
		by := &atomic.Int64{}
		shift[v.ID] = by
		b.start(v.ID, func(c *Config) { c.Clock = func() time.Time { return time.Now().Add(time.Duration(by.Load())) } })
	}
	old := b.leader()
	until(t, "the clocks are known", func() bool { _, ok := old.c.ClockOK(); return ok })
	last := b.propose(old, "before")
	shift[old.id].Store(int64(20 * time.Second))
	next := b.leader(old.id)
	last = max(last, b.propose(next, "while it is wrong"))
	until(t, "the old leader follows", func() bool { _, leads := old.c.IsLeader(); return !leads && old.fsm.at(last) != "" })
	shift[old.id].Store(0)
	until(t, "the clock counts again", func() bool { _, ok := old.c.ClockOK(); return ok })
	last = b.propose(b.leader(), "after")
	until(t, "the old leader has it", func() bool { return old.fsm.at(last) == "after" })
}

// TestSleepIsNoStep: the wall clocks and the time that passed go on together while machines sleep. So nobody's clock stepped,
// and the time goes on as soon as the voters have told their clocks anew; a step of the same size without a sleep is none.
func TestSleepIsNoStep(t *testing.T) {
	const nap = 30 * time.Hour
	var own, slept atomic.Int64
	c := tableOf(3, 5*time.Second, &own, &slept, 0, 0)
	right := c.clocks.own().base
	c.clocks.agree()
	c.HoldTime()
	slept.Store(int64(nap))
	if s := c.Clock(); s.OK || s.Stepped || s.Heard != 1 {
		t.Errorf("just awake, nobody heard: %+v", s)
	}
	for _, id := range []string{"b", "c"} {
		c.clocks.seen[id] = clockSample{id: id, at: c.clocks.passed(), base: right}
	}
	c.clocks.agree()
	if s := c.Clock(); !s.OK || s.Offset.Abs() > time.Second {
		t.Errorf("awake: %+v", s)
	}
	now, voters := c.AgreedTime()
	if d := time.Until(now) - nap; d.Abs() > time.Second || len(voters) != 3 {
		t.Errorf("the agreed time is %s away from that after the sleep; %v", d, voters)
	}
	own.Store(int64(nap))
	if s := c.Clock(); s.OK || !s.Stepped || !s.Off() {
		t.Errorf("a step of the same size: %+v", s)
	}
}

// TestTimePasses: the system's count goes on by itself and as fast as Go's.
func TestTimePasses(t *testing.T) {
	began, from := time.Now(), sinceBoot()
	until(t, "time passes", func() bool { return sinceBoot()-from > 20*time.Millisecond })
	if d := sinceBoot() - from - time.Since(began); d.Abs() > 10*time.Second {
		t.Errorf("%s more than Go's clock", d)
	}
}

// TestClockSetRightAfterTheStart: a node that started with a wrong clock follows any step until its time is held.
func TestClockSetRightAfterTheStart(t *testing.T) {
	const month = 720 * time.Hour
	var own, slept atomic.Int64
	own.Store(-int64(month))
	c := tableOf(1, 5*time.Second, &own, &slept)
	c.clocks.agree()
	own.Store(0)
	c.clocks.agree()
	if now, _ := c.AgreedTime(); time.Until(now).Abs() > time.Second || !c.Clock().OK {
		t.Errorf("the agreed time is %s away: %+v", time.Until(now), c.Clock())
	}
	c.HoldTime()
	own.Store(int64(month))
	c.clocks.agree()
	if now, _ := c.AgreedTime(); time.Until(now).Abs() > time.Second || c.Clock().OK {
		t.Errorf("after a step the agreed time is %s away: %+v", time.Until(now), c.Clock())
	}
}
