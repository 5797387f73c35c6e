package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// problemOf returns the problem of a failed operation, or nil.
func problemOf(err error) *wire.Problem {
	var p *wire.Problem
	errors.As(err, &p)
	return p
}

// promote makes a learner a voter. The ten seconds for which it has to keep up pass at once.
func promote(t *testing.T, c *nodetest.Cluster, id string) {
	t.Helper()
	tries := 0
	c.Await("the promotion of "+id, func() error {
		_, err := client.MembersOf(c.Client).Promote(t.Context(), id, wire.Op{Reason: "test"})
		if tries++; tries%20 == 0 {
			for i := range c.Size() {
				c.Sleep(i, time.Duration(tries/20)*11*time.Second)
			}
		}
		if p := problemOf(err); p != nil && (p.Code != wire.CodeStale || p.RetryAfterMS == 0) {
			t.Fatalf("promote %s: %v", id, err)
		}
		return err
	})
}

// TestReplaceNode loses a node under load, removes it, and adds another one, which becomes a voter. Every submission is
// answered, and in the end the new node holds what the others hold.
func TestReplaceNode(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	l := startLoad(t, c, f, 2)
	l.await(50)
	lost := (c.Leader() + 1) % 3
	lostID, _ := c.Place(lost)
	c.Forget(lost)
	why := wire.Op{Reason: "lost its disk", Ticket: "OPS-1"}
	if _, err := client.MembersOf(c.Client).Remove(t.Context(), lostID, why); err != nil {
		t.Fatal(err)
	}
	i := c.Grow("node-4")
	id, peer := c.Place(i)
	added, err := client.MembersOf(c.Client).Add(t.Context(), wire.MemberRequest{Op: why, NodeID: id, PeerAddress: peer,
		APIAddress: c.URL(i)})
	if err != nil || added.Change != wire.MemberAdded || added.Seq == 0 {
		t.Fatalf("%+v, %v", added, err)
	}
	c.AwaitReady(i)
	promote(t, c, id)
	l.await(50)
	c.Stop((i + 1) % c.Size()) // the new one must count
	l.await(50)
	c.Restart((i + 1) % c.Size())
	l.end()
	if n := l.lost.Load(); n != 0 {
		t.Errorf("%d submissions were not answered", n)
	}
	for i := range c.Size() {
		c.AwaitReady(i)
	}
	c.Check()
	checkMemberEvents(t, c, lostID, id, added.Seq)
}

// checkMemberEvents looks for the three changes among the operations, and for the members in the view of the cluster.
func checkMemberEvents(t *testing.T, c *nodetest.Cluster, lost, added string, seq uint64) {
	t.Helper()
	var changes []string
	for item, err := range c.Client.Operations(t.Context(), 0, client.Read{}) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Kind != "member_changed" || item.Effect != wire.EffectApplied {
			continue
		}
		changes = append(changes, fmt.Sprint(item.About["change"], " ", item.About["member"]))
		if item.Seq == seq && (item.Reason != "lost its disk" || item.Ticket != "OPS-1" || item.About["peer_address"] == "" ||
			item.About["api_address"] == "" || item.Actor == "") {
			t.Errorf("%+v", item)
		}
	}
	if want := fmt.Sprintf("[removed %s added %s promoted %s]", lost, added, added); fmt.Sprint(changes) != want {
		t.Errorf("%v, want %s", changes, want)
	}
	view, err := c.Client.Cluster(t.Context())
	if err != nil || len(view.Members) != 3 {
		t.Fatalf("%+v, %v", view, err)
	}
	for _, m := range view.Members {
		if m.ID == lost || m.Suffrage != "voter" || m.API == "" {
			t.Errorf("%+v", m)
		}
	}
}

// TestMembersThroughTheAPI: any node takes a change. The leader is removed after it has handed over. What would harm is
// refused with the reason and leaves no event.
func TestMembersThroughTheAPI(t *testing.T) {
	c := nodetest.Start(t, 3)
	ctx := t.Context()
	why := wire.Op{Reason: "test"}
	follower := c.At((c.Leader() + 1) % 3)
	for name, s := range map[string]struct {
		do    func(m client.Members) error
		code  wire.Code
		field string
	}{
		"no reason": {func(m client.Members) error { _, err := m.Remove(ctx, "node-1", wire.Op{}); return err },
			wire.CodeBadRequest, "reason"},
		"unknown": {func(m client.Members) error { _, err := m.Remove(ctx, "node-9", why); return err },
			wire.CodeNotFound, ""},
		"id in use": {func(m client.Members) error {
			_, err := m.Add(ctx, wire.MemberRequest{Op: why, NodeID: "node-2", PeerAddress: "127.0.0.1:1"})
			return err
		}, wire.CodeStale, "node_id"},
		"nobody there": {func(m client.Members) error {
			_, err := m.Add(ctx, wire.MemberRequest{Op: why, NodeID: "node-9", PeerAddress: "127.0.0.1:1"})
			return err
		}, wire.CodeStale, "peer_address"},
		"no address": {func(m client.Members) error {
			_, err := m.Add(ctx, wire.MemberRequest{Op: why, NodeID: "node-9", PeerAddress: "here"})
			return err
		}, wire.CodeBadRequest, "peer_address"},
		"no voter": {func(m client.Members) error {
			_, err := m.Transfer(ctx, wire.LeaderRequest{Op: why, NodeID: "node-9"})
			return err
		}, wire.CodeStale, "node_id"},
	} {
		err := s.do(client.MembersOf(follower))
		if p := problemOf(err); p == nil || p.Code != s.code || p.Field != s.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	for item, err := range c.Client.Operations(ctx, 0, client.Read{}) {
		if err != nil || item.Kind == "member_changed" {
			t.Errorf("%+v, %v", item, err)
		}
	}
	to, _ := c.Place((c.Leader() + 2) % 3)
	if a, err := client.MembersOf(follower).Transfer(ctx, wire.LeaderRequest{Op: why, NodeID: to}); err != nil || a.NodeID != to {
		t.Fatalf("%+v, %v", a, err)
	}
	a, err := client.MembersOf(follower).Transfer(ctx, wire.LeaderRequest{Op: why, NodeID: to})
	if err != nil || a.NodeID != to || a.Seq != 0 {
		t.Fatalf("to the node that leads already: %+v, %v", a, err)
	}
	removed := c.Leader()
	id, _ := c.Place(removed)
	if id != to {
		t.Fatalf("%s leads, not %s", id, to)
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if a, err := client.MembersOf(follower).Remove(limit, id, why); err != nil || a.Change != wire.MemberRemoved {
		t.Fatalf("%+v, %v", a, err)
	}
	c.Await("the removed node says so", func() error {
		if _, text := c.Once(removed, http.MethodGet, "/metrics", nil); !strings.Contains(string(text), "\nflk_removed 1\n") {
			return errors.New("flk_removed is not 1")
		}
		status, text := c.Once(removed, http.MethodGet, "/readyz?verbose", nil)
		if status != http.StatusServiceUnavailable || !strings.Contains(string(text), "was removed from the cluster") {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
}

// TestRemovalEndsWaits: a client that waits at a node while the cluster removes it soon learns to ask another one. The
// node gets no entries any more, so the outcome would never come.
func TestRemovalEndsWaits(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	removed := (c.Leader() + 1) % 3
	id, _ := c.Place(removed)
	var agents sync.WaitGroup
	var longest, answered atomic.Int64
	for agent := range 8 {
		agents.Go(func() {
			for i := 0; ; i++ {
				record := f.Sign(nodetest.Record{Shard: fmt.Sprintf("agent-%d", agent), Epoch: int64(i), Root: "r"})
				began := time.Now()
				status, _ := c.Once(removed, http.MethodPost, "/v1/pcs/submit", record)
				if took := int64(time.Since(began)); took > longest.Load() {
					longest.Store(took)
				}
				if status != http.StatusOK {
					return
				}
				answered.Add(1)
			}
		})
	}
	c.Await("answers", func() error {
		if n := answered.Load(); n < 100 {
			return fmt.Errorf("%d only", n)
		}
		return nil
	})
	if _, err := client.MembersOf(c.Client).Remove(t.Context(), id, wire.Op{Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	agents.Wait()
	if took := time.Duration(longest.Load()); took > nodetest.SubmitTimeout*4/5 {
		t.Errorf("a client waited %s at a node that was removed", took)
	}
}
