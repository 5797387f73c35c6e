package node_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestAloneWithWrongClock: a cluster of one has nobody to ask, so its clock is compared with log time when it
// starts and with the time that passed while it runs. It waits and names the clock until the clock is right or
// an operator vouches for it.
func TestAloneWithWrongClock(t *testing.T) {
	const hour, month = time.Hour, 30 * 24 * time.Hour
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	made := 0
	record := func() []byte {
		made++
		return f.Sign(nodetest.Record{Shard: fmt.Sprint("s", made), Epoch: 1, Root: "r"})
	}
	takes(t, c, record())
	startAt := func(shift time.Duration, accept time.Time) {
		c.Stop(0)
		c.ShiftClock(0, shift)
		c.Tune(0, func(cfg *node.Config) { cfg.AcceptClock = accept })
		c.Restart(0)
	}
	refuses := func(words ...string) {
		t.Helper()
		saysClock(c, 0, "")
		status, text := c.Once(0, http.MethodPost, "/v1/pcs/submit", record())
		for _, w := range append(words, `"code":"clock"`) {
			if status != http.StatusServiceUnavailable || !strings.Contains(string(text), w) {
				t.Errorf("%d %s, wanted the word %q", status, text, w)
			}
		}
	}
	goesOn := func(want time.Duration) {
		t.Helper()
		c.AwaitReady(0)
		if off := takes(t, c, record()) - want; off.Abs() > time.Minute {
			t.Errorf("log time is %s away, wanted %s", off+want, want)
		}
	}
	for _, shift := range []time.Duration{-month, -hour, -20 * time.Second, month + hour} {
		startAt(shift, time.Time{})
		refuses("of the newest event", "--accept-clock "+time.Now().Add(shift).UTC().Format("2006-01-02T"))
		c.ShiftClock(0, 0) // right again: it goes on without a start
		goesOn(0)
	}
	startAt(-2*hour, time.Now()) // the operator names another time than the clock
	refuses("of the newest event")
	startAt(-2*hour, time.Now().Add(-2*hour))
	goesOn(0) // log time stands, it never goes back
	startAt(0, time.Time{})
	goesOn(0)
	c.ShiftClock(0, month) // while it runs
	refuses("the clock stepped by 720h")
	c.ShiftClock(0, 0)
	goesOn(0)
	c.Check() // before the dedup periods end
	startAt(month+hour, time.Now().Add(month+hour))
	goesOn(month + hour)
	if !strings.Contains(c.Logs(), "log time moves on") {
		t.Error("no word of the step in the log")
	}
}

// TestStartWithWrongClocks: nodes that start together with clocks far from the newest event wait and name the
// clock. They go on when the clocks are set right, without another start, or when an operator vouches for them.
func TestStartWithWrongClocks(t *testing.T) {
	const month = 30 * 24 * time.Hour
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	takes(t, c, f.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}))
	startAt := func(shift time.Duration, accept time.Time) {
		for i := range c.Size() {
			c.Stop(i)
			c.ShiftClock(i, shift)
			c.Tune(i, func(cfg *node.Config) { cfg.AcceptClock = accept })
		}
		for i := range c.Size() {
			c.Restart(i)
		}
	}
	goesOn := func(shard string, want time.Duration) {
		t.Helper()
		for i := range c.Size() {
			c.AwaitReady(i)
		}
		if off := takes(t, c,
			f.Sign(nodetest.Record{Shard: shard, Epoch: 1, Root: "r"})) - want; off.Abs() > time.Minute {
			t.Errorf("log time is %s away, wanted %s", off+want, want)
		}
	}
	for i, shift := range []time.Duration{-month, 2 * month} {
		startAt(shift, time.Time{})
		saysClock(c, c.Leader(), "")
		body := f.Sign(nodetest.Record{Shard: fmt.Sprint("b", i), Epoch: 1, Root: "r"})
		status, text := c.Once(c.Leader(), http.MethodPost, "/v1/pcs/submit", body)
		if status != http.StatusServiceUnavailable ||
			!strings.Contains(string(text), "of the newest event; set it right or") {
			t.Errorf("started %s away: %d %s", shift, status, text)
		}
		for i := range c.Size() {
			c.ShiftClock(i, 0)
		}
		goesOn(fmt.Sprint("c", i), 0)
	}
	c.Check() // before the dedup periods end
	startAt(2*month, time.Now().Add(2*month))
	goesOn("d", 2*month)
}

// TestNextLeaderComparesTheClock: nodes that started together with clocks far ahead of the newest event put log
// time nowhere when their leader goes either, although the next one had caught up before. All go on when the
// clocks are right.
func TestNextLeaderComparesTheClock(t *testing.T) {
	const months = 60 * 24 * time.Hour
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	takes(t, c, f.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}))
	for i := range c.Size() {
		c.Stop(i)
		c.ShiftClock(i, months)
	}
	for i := range c.Size() {
		c.Restart(i)
	}
	for i := range c.Size() {
		c.Await("caught up", func() error { return c.Node(i).CaughtUp() })
	}
	first := c.Leader()
	c.Stop(first)
	next := leaderIsNot(c, first)
	saysClock(c, next, "of the newest event; set it right or")
	status, text := c.Once(next, http.MethodPost, "/v1/pcs/submit",
		f.Sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r"}))
	if status != http.StatusServiceUnavailable ||
		!strings.Contains(string(text), "of the newest event; set it right or") {
		t.Errorf("the next leader: %d %s", status, text)
	}
	c.Restart(first)
	for i := range c.Size() {
		c.ShiftClock(i, 0)
	}
	for i := range c.Size() {
		c.AwaitReady(i)
	}
	if off := takes(t, c, f.Sign(nodetest.Record{Shard: "c", Epoch: 1, Root: "r"})); off.Abs() > time.Minute {
		t.Errorf("log time is %s away", off)
	}
}

// putAhead moves log time ahead by whole packs, as joint steps of all clocks have before.
func putAhead(t *testing.T, c *nodetest.Cluster, by time.Duration) {
	t.Helper()
	lead := c.Leader()
	for at := time.Duration(0); at < by; at += 50 * time.Minute {
		pack := event.Pack{
			ProposedAt: time.Now().Add(at + 50*time.Minute).UnixNano(),
			Events: []event.Event{{Kind: event.TermStart,
				Payload: payloadOf(t, &event.TermStartV1{Node: c.Config(lead).NodeID})}},
		}
		pack.Mark()
		if _, err := c.Node(lead).ProposeRaw(t.Context(), pack.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStartedWhileLogTimeIsAhead: a node that starts while log time is far ahead of the right clocks waits, but
// does not lead while the others can, who were there before.
func TestStartedWhileLogTimeIsAhead(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	made := 0
	record := func() []byte {
		made++
		return f.Sign(nodetest.Record{Shard: fmt.Sprint("s", made), Epoch: 1, Root: "r"})
	}
	takes(t, c, record())
	fresh := (c.Leader() + 1) % 3
	c.Stop(fresh)
	putAhead(t, c, 3*time.Hour)
	c.Restart(fresh)
	saysClock(c, fresh, "of the newest event; set it right or")
	for range 6 { // the lead goes to one of the two others, by chance
		lead := c.Leader()
		if lead == fresh {
			break
		}
		c.ShiftClock(lead, 20*time.Second)
		leaderIsNot(c, lead)
		c.ShiftClock(lead, 0)
	}
	for range 3 {
		takes(t, c, record())
	}
	if lead := c.Leader(); lead == fresh {
		t.Errorf("node %d leads", lead+1)
	}
}

// TestQuietLedger: the leader of a ledger that nobody writes to moves log time now and then, so that its nodes
// can be started again one after the other without an operator who vouches for their clocks.
func TestQuietLedger(t *testing.T) {
	const quiet = 20 * 24 * time.Hour
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	takes(t, c, f.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}))
	for n := range 2 {
		for i := range c.Size() {
			c.Sleep(i, time.Duration(n+1)*quiet)
		}
		c.Await("a step of log time", func() error {
			if steps := strings.Count(c.Logs(), "log time moves on"); steps <= n {
				return fmt.Errorf("%d", steps)
			}
			return nil
		})
	}
	last := c.Leader()
	for _, i := range []int{(last + 1) % 3, (last + 2) % 3, last} {
		c.Stop(i)
		c.Restart(i)
		c.AwaitReady(i)
	}
	if off := takes(t, c, f.Sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r"})) - 2*quiet; off.Abs() > time.Minute {
		t.Errorf("log time is %s away", off)
	}
}
