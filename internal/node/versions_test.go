package node_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// raiser raises the cluster version of a test, and reads it.
type raiser struct {
	t *testing.T
	c *nodetest.Cluster
}

func (r raiser) raise(i int, v uint32, reason string) (*wire.ClusterVersionAnswer, error) {
	return client.MembersOf(r.c.At(i)).RaiseVersion(r.t.Context(),
		wire.ClusterVersionRequest{Op: wire.Op{Reason: reason}, Version: v})
}

// refused expects that nothing is raised, and why.
func (r raiser) refused(i int, v uint32, reason string, code wire.Code, why string) {
	r.t.Helper()
	_, err := r.raise(i, v, reason)
	if p := problemOf(err); p == nil || p.Code != code || !strings.Contains(p.Detail, why) {
		r.t.Errorf("raise to %d: %v, want %s with %q", v, err, code, why)
	}
}

// at expects that every node is at a version, and that the members know these.
func (r raiser) at(version uint32, known ...uint32) {
	r.t.Helper()
	for i := range r.c.Size() {
		r.c.Await("the cluster version", func() error {
			got, err := r.c.At(i).Cluster(r.t.Context())
			if err != nil || got.ClusterVersion != version || len(got.Members) != len(known) {
				return fmt.Errorf("node %d: %+v, %v", i, got, err)
			}
			for j, m := range got.Members {
				if m.KnowsVersion == nil || *m.KnowsVersion != known[j] {
					return fmt.Errorf("node %d says of %s: %v", i, m.ID, m.KnowsVersion)
				}
			}
			return nil
		})
	}
}

// as starts a node again as a build that knows cluster versions up to v.
func (r raiser) as(i int, v uint32) {
	r.t.Helper()
	r.c.Stop(i)
	r.c.Tune(i, node.KnowVersions(v))
	r.c.Restart(i)
	r.c.AwaitReady(i)
}

// events counts the events that raised the version.
func (r raiser) events() (n int) {
	r.t.Helper()
	for item, err := range r.c.Client.Operations(r.t.Context(), 0, client.Read{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		if item.Kind == event.ClusterVersionRaised.String() {
			n++
		}
	}
	return n
}

// TestClusterVersion upgrades a cluster of builds from before cluster versions, node by node. The version rises when an
// operator asks, once every member knows it and says so, and never falls.
func TestClusterVersion(t *testing.T) {
	c := nodetest.Start(t, 3, node.KnowVersions(1))
	r := raiser{t, c}
	r.at(1, 1, 1, 1)
	lead := c.Leader()
	other, last := (lead+1)%3, (lead+2)%3
	r.refused(other, 2, "early", wire.CodeStale, "upgrade it first")
	r.as(lead, 2)
	r.as(other, 2)
	r.refused(other, 2, "early", wire.CodeStale, c.Config(last).NodeID+" runs a build that knows cluster versions up to 1, not 2")
	c.Stop(last)
	r.refused(lead, 2, "early", wire.CodeStale, c.Config(last).NodeID+" does not answer")
	c.Restart(last)
	r.as(last, 2)
	r.at(1, 2, 2, 2)
	r.refused(lead, 2, "", wire.CodeBadRequest, "reason")
	r.refused(lead, 0, "none", wire.CodeBadRequest, "version")
	r.refused(lead, 3, "tomorrow", wire.CodeStale, "knows cluster versions up to 2, not 3")
	if n := r.events(); n != 0 {
		t.Errorf("%d events of requests that were refused", n)
	}
	got, err := r.raise(other, 2, "all members are upgraded")
	if err != nil || got.Version != 2 || got.From != 1 || got.Seq == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	r.at(2, 2, 2, 2)
	if got, err := r.raise(last, 2, "again"); err != nil || got.Seq != 0 || got.From != 2 {
		t.Errorf("once more: %+v, %v", got, err)
	}
	r.refused(last, 1, "back", wire.CodeStale, "versions never fall")
	if n := r.events(); n != 1 {
		t.Errorf("%d events of one raise", n)
	}
	r.as(lead, 2) // what it knows comes from its folded state now
	c.Stop(other)
	c.ClearFolds(other)
	r.as(other, 2)
	r.at(2, 2, 2, 2)
	c.Check()
}

// TestNewLedgerVersion: a new ledger begins at the newest version that its members know.
func TestNewLedgerVersion(t *testing.T) {
	r := raiser{t, nodetest.Start(t, 1)}
	r.at(event.NewestVersion, event.NewestVersion)
	if got, err := r.raise(0, event.NewestVersion, "again"); err != nil || got.Seq != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestOldBuildIsNotAdded: a node of a build that does not know the cluster version is not added, and not promoted.
func TestOldBuildIsNotAdded(t *testing.T) {
	c := nodetest.Start(t, 1)
	r := raiser{t, c}
	why := wire.Op{Reason: "test"}
	i := c.Grow("node-2")
	id, peer := c.Place(i)
	add := func() error {
		_, err := client.MembersOf(c.At(0)).Add(t.Context(), wire.MemberRequest{Op: why, NodeID: id, PeerAddress: peer})
		return err
	}
	tell := func(v uint32) {
		c.Stop(i)
		c.Tune(i, node.KnowVersions(v))
		c.Restart(i)
	}
	tell(1)
	if p := problemOf(add()); p == nil || p.Code != wire.CodeStale || !strings.Contains(p.Detail, "upgrade it first") {
		t.Errorf("added: %v", p)
	}
	tell(event.NewestVersion)
	if err := add(); err != nil {
		t.Fatal(err)
	}
	c.AwaitReady(i)
	tell(1)
	c.AwaitReady(i)
	tries := 0
	c.Await("the refusal", func() error {
		_, err := client.MembersOf(c.At(0)).Promote(t.Context(), id, why)
		if tries++; tries%20 == 0 {
			for j := range c.Size() { // ten seconds pass at once
				c.Sleep(j, time.Duration(tries/20)*11*time.Second)
			}
		}
		if err == nil {
			t.Fatal("promoted")
		}
		if p := problemOf(err); p == nil || !strings.Contains(p.Detail, "upgrade it first") {
			return err
		}
		return nil
	})
	tell(event.NewestVersion)
	c.AwaitReady(i)
	promote(t, c, id)
	r.at(event.NewestVersion, event.NewestVersion, event.NewestVersion)
}

// TestLedgerOfTomorrow: a node stops at the event with which a newer build raised the cluster version, and at an event of
// a kind that it does not know. Another start is refused, and says what to do.
func TestLedgerOfTomorrow(t *testing.T) {
	raise, err := propose.NewEvent(event.ClusterVersionRaised,
		&event.ClusterVersionRaisedV1{Version: event.NewestVersion + 1, From: event.NewestVersion})
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		ev   event.Event
		want error
	}{
		"a version": {raise, projections.ErrClusterVersion},
		"a kind":    {event.Event{Kind: 99, Payload: make([]byte, event.SaltSize)}, projections.ErrUnknownKind},
	} {
		t.Run(name, func(t *testing.T) {
			c := nodetest.Start(t, 1)
			c.MayEnd(0)
			pack := event.Pack{ProposedAt: time.Now().UnixNano(), Events: []event.Event{x.ev}}
			pack.Mark()
			for range 2 { // the second entry says that the first is committed, so that the next start knows
				if _, err := c.Node(0).ProposeRaw(t.Context(), pack.Append(nil)); err != nil {
					t.Fatal(err)
				}
			}
			const hint = "start a build on this directory that is as new as those of the other members"
			c.Await("the end of the node", func() error {
				if !strings.Contains(c.Logs(), hint) {
					return errors.New("it goes on")
				}
				return nil
			})
			c.Stop(0)
			for range 2 {
				n, err := node.Open(t.Context(), c.Config(0), slog.New(slog.DiscardHandler))
				if err == nil {
					_ = n.Close(t.Context())
				}
				if !errors.Is(err, x.want) || !node.Refused(err) || !strings.Contains(fmt.Sprint(err), hint) {
					t.Errorf("%v", err)
				}
				c.ClearFolds(0)
			}
		})
	}
}
