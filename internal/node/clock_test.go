package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// clockOutage bounds how long no submission is taken while a majority of the clocks is right.
const clockOutage = 10 * time.Second

// takes sends a new record until it is accepted, and says how far its log time is from the time of this machine.
func takes(t *testing.T, c *nodetest.Cluster, body []byte) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clockOutage)
	defer cancel()
	a, err := c.Submit(ctx, c.Client, body)
	if err != nil || a.Submit == nil {
		t.Fatalf("not taken within %s: %+v, %v", clockOutage, a, err)
	}
	return time.Until(logTime(t, c, a.Seq))
}

func logTime(t *testing.T, c *nodetest.Cluster, seq uint64) time.Time {
	t.Helper()
	e, err := c.Client.Event(t.Context(), seq, client.Read{MinSeq: seq})
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339Nano, e.LogTime)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// saysClock waits until node i is not ready because of its clock, and says some words about it.
func saysClock(c *nodetest.Cluster, i int, words string) {
	c.Await(fmt.Sprintf("node %d names the clock", i), func() error {
		status, text := c.Once(i, http.MethodGet, "/readyz?verbose", nil)
		if status != http.StatusServiceUnavailable || !strings.Contains(string(text), "[-]clock failed") ||
			!strings.Contains(string(text), words) {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
}

// TestClocks: whatever one clock does, the others go on, log time stays right and a replay stays a replay; when
// all clocks step by more than their nodes can believe, nothing is taken and everybody is told why.
func TestClocks(t *testing.T) {
	const month = 30 * 24 * time.Hour
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	made := 0
	record := func() []byte {
		made++
		return f.Sign(nodetest.Record{Shard: fmt.Sprint("s", made), Epoch: 1, Root: "r"})
	}
	first := record()
	takes(t, c, first)
	right := func() {
		t.Helper()
		for i := range c.Size() {
			c.ShiftClock(i, 0)
		}
		for i := range c.Size() {
			c.AwaitReady(i)
		}
		if off := takes(t, c, record()); off.Abs() > time.Minute {
			t.Errorf("log time is %s away when the clocks are right", off)
		}
		ctx, cancel := context.WithTimeout(t.Context(), clockOutage)
		defer cancel()
		if a, err := c.Submit(ctx, c.Client, first); err != nil || a.Submit == nil || !a.Submit.Replayed ||
			a.Submit.Reverified {
			t.Errorf("the first record, sent again: %+v, %v", a.Submit, err)
		}
	}
	for _, step := range []time.Duration{-month, -time.Hour, 20 * time.Second, time.Hour, month} {
		for _, who := range []string{"leader", "follower"} {
			node := c.Leader()
			if who == "follower" {
				node = (node + 1) % c.Size()
			}
			c.ShiftClock(node, step)
			for range 3 {
				if off := takes(t, c, record()); off.Abs() > time.Minute {
					t.Errorf("%s, a step of %s: log time is %s away", who, step, off)
				}
			}
			saysClock(c, node, "")
			if who == "leader" && c.Leader() == node {
				t.Errorf("a step of %s: node %d still leads", step, node)
			}
			right()
		}
	}
	for _, step := range []time.Duration{-month, month} {
		for i := range c.Size() {
			c.ShiftClock(i, step)
		}
		// a record that is sent while some still agree may be on its way when none do any more
		for i := range c.Size() {
			saysClock(c, i, "no majority of the voters vouches for either")
		}
		for i := range c.Size() {
			status, text := c.Once(i, http.MethodPost, "/v1/pcs/submit", record())
			var p wire.Problem
			if err := json.Unmarshal(text, &p); err != nil || status != http.StatusServiceUnavailable ||
				p.Code != wire.CodeClock || !strings.Contains(p.Detail, "the clock stepped by") {
				t.Errorf("all clocks by %s: node %d: %d %s", step, i, status, text)
			}
		}
		right()
	}
	c.Check()
}

// TestLogTimeAfterAPause: a cluster whose clocks a majority agrees on works by itself after a week off; the
// step is an event.
func TestLogTimeAfterAPause(t *testing.T) {
	const week = 7 * 24 * time.Hour
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	takes(t, c, f.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}))
	for i := range c.Size() {
		c.Stop(i)
		c.ShiftClock(i, week)
	}
	for i := range c.Size() {
		c.Restart(i)
	}
	for i := range c.Size() {
		c.AwaitReady(i)
	}
	if off := takes(t, c, f.Sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r"})) - week; off.Abs() > time.Minute {
		t.Errorf("log time is %s away after the pause", off)
	}
	if !strings.Contains(c.Logs(), "log time moves on") {
		t.Error("no word of the step in the log")
	}
	c.Check()
}

// TestLogTimeAfterSleep: machines that were suspended together, for longer than their clocks may step, go on by
// themselves and without a start; log time follows with an event.
func TestLogTimeAfterSleep(t *testing.T) {
	const nap = 2 * time.Hour
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	takes(t, c, f.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}))
	for i := range c.Size() {
		c.Sleep(i, nap)
	}
	if off := takes(t, c, f.Sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r"})) - nap; off.Abs() > time.Minute {
		t.Errorf("log time is %s away after the sleep", off)
	}
	if !strings.Contains(c.Logs(), "log time moves on") {
		t.Error("no word of the step in the log")
	}
	for i := range c.Size() {
		c.AwaitReady(i)
	}
	c.Check()
}
