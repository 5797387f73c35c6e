package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// TestCrashes kills the leader, then a follower, then all three nodes while records flow from 32 clients. Every
// acknowledged record must be there with its acknowledged answer, no id may have two outcomes, and all nodes agree.
func TestCrashes(t *testing.T) {
	rounds := 1
	if full {
		rounds = 20
	}
	c, ctx := start(t, 3, "RECOUNT_ELECTION_TIMEOUT=1s")
	cases := storm(t)
	acked := &acks{by: map[string]harness.Answer{}}
	for round := range rounds {
		from, to := round*len(cases)/rounds, (round+1)*len(cases)/rounds
		flow, stop := context.WithCancel(ctx)
		var clients sync.WaitGroup
		for w := range 32 {
			clients.Go(func() { flood(flow, c, cases[from:to], w, acked) })
		}
		crash(t, ctx, c, acked)
		stop()
		clients.Wait()
		if t.Failed() {
			return
		}
		checkAcks(t, ctx, c, acked)
		d := sameDigest(t, ctx, c)
		t.Logf("round %d: %d acknowledged, digest at %d is %.16s", round+1, len(acked.by), d.Seq, d.State)
	}
}

// storm is the good corpus: real records, each sent until it is acknowledged.
func storm(t *testing.T) []harness.Case {
	all, _ := corpora(t, "good-hmac", "good-ed25519")
	return all
}

type acks struct {
	mu sync.Mutex
	by map[string]harness.Answer // by pcs_id
	n  int
	x  []error
}

// add keeps an acknowledgement. "Try again" and "unknown" are fair while nodes die; a refusal of a good record is not.
func (a *acks) add(got harness.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch got.Status {
	case http.StatusOK, http.StatusAccepted:
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return
	default:
		a.x = append(a.x, fmt.Errorf("a good record was answered %d: %s", got.Status, got.Raw))
		return
	}
	a.n++
	was, ok := a.by[got.PCSID]
	if !ok {
		a.by[got.PCSID] = got
		return
	}
	if was.Status != got.Status || was.Outcome != got.Outcome || was.ReasonCode != got.ReasonCode || was.Seq != got.Seq {
		a.x = append(a.x, fmt.Errorf("two answers for %s:\n%s\n%s", got.PCSID, was.Raw, got.Raw))
	}
}

func (a *acks) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// flood sends the records again and again, each to some node, until ctx ends.
func flood(ctx context.Context, c *harness.Cluster, cases []harness.Case, w int, acked *acks) {
	client := c.HTTP(1)
	client.Timeout = 5 * time.Second
	defer client.CloseIdleConnections()
	for i := w; ctx.Err() == nil; i++ {
		a, err := cases[i%len(cases)].Send(ctx, client, c.API[(i+w)%len(c.API)])
		if err == nil {
			acked.add(a)
		}
	}
}

func crash(t *testing.T, ctx context.Context, c *harness.Cluster, acked *acks) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	awaitAcks(t, ctx, acked, 200)
	leader := leaderOf(t, ctx, c)
	must(c.Kill(leader))
	awaitAcks(t, ctx, acked, 50)
	must(c.Restart(leader))
	must(c.AwaitReady(ctx, leader))
	awaitAcks(t, ctx, acked, 50)
	follower := (leaderOf(t, ctx, c) + 1) % 3
	must(c.Kill(follower))
	awaitAcks(t, ctx, acked, 50)
	must(c.Restart(follower))
	must(c.AwaitReady(ctx, follower))
	for i := range 3 {
		must(c.Kill(i))
	}
	for i := range 3 {
		must(c.Restart(i))
	}
	must(c.AwaitReady(ctx, 0, 1, 2))
	awaitAcks(t, ctx, acked, 50)
}

// awaitAcks waits for n more acknowledgements.
func awaitAcks(t *testing.T, ctx context.Context, acked *acks, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for target := acked.count() + n; acked.count() < target; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("no progress: %d of %d acknowledgements", acked.count(), target)
			return
		}
	}
}

func leaderOf(t *testing.T, ctx context.Context, c *harness.Cluster) int {
	t.Helper()
	client := c.HTTP(1)
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, api := range c.API {
			var a struct{ Leader string }
			if _, err := harness.GetJSON(ctx, client, api+"/v1/cluster", &a); err == nil && a.Leader != "" {
				return int(a.Leader[len(a.Leader)-1] - '1')
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("no leader within a minute")
		}
	}
}

func checkAcks(t *testing.T, ctx context.Context, c *harness.Cluster, acked *acks) {
	t.Helper()
	for _, err := range acked.x {
		t.Error(err)
	}
	client := c.HTTP(4)
	defer client.CloseIdleConnections()
	for i, id := range slices.Sorted(maps.Keys(acked.by)) {
		want := acked.by[id]
		var got harness.Answer
		status, err := harness.GetJSON(ctx, client, c.API[i%len(c.API)]+"/v1/pcs/"+id, &got)
		if err != nil || status != http.StatusOK {
			t.Errorf("%s was acknowledged and is gone: %d %v", id, status, err)
			continue
		}
		if got.Outcome != want.Outcome || got.ReasonCode != want.ReasonCode || got.Seq != want.Seq || *got.Accepted != *want.Accepted {
			t.Errorf("%s: now %+v, acknowledged %s", id, got, want.Raw)
		}
	}
}
