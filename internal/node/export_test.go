package node

import (
	"context"
	"errors"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/seed"
)

// ProposeRaw commits a pack past every check, as a leader with faulty memory does, or a compromised one.
func (n *Node) ProposeRaw(ctx context.Context, pack []byte) (uint64, error) {
	return n.cluster.Propose(pack).Wait(ctx)
}

// Cluster changes the members past the API.
func (n *Node) Cluster() *cluster.Cluster { return n.cluster }

// RarelyTellCommits makes an idle leader tell its commit index only after d, so that a test notices who waits for
// that.
func RarelyTellCommits(d time.Duration) func(*Config) { return func(c *Config) { c.commitTimeout = d } }

// KnowVersions makes a node say that its build knows cluster versions up to v.
func KnowVersions(v uint32) func(*Config) { return func(c *Config) { c.clusterVersion = v } }

// PretendOlder makes the node say that its release lacks a capability.
func (n *Node) PretendOlder(capability string) { n.releases.without.Store(&capability) }

// CallPeer sends an RPC to another node under this node's name.
func (n *Node) CallPeer(ctx context.Context, to, path string, body []byte) error {
	_, err := n.cluster.Call(ctx, to, path, body)
	return err
}

// AgreeFirst compares the head of this node with the other voters, as a node does that has waited since a moment.
func (n *Node) AgreeFirst(ctx context.Context, since time.Time) error {
	return n.doubts.AgreeFirst(ctx, since)
}

// AsksOn reports whether a question is open that waits for a majority.
func (n *Node) AsksOn() bool {
	return n.doubts.Insists()
}

// VoterWithout names a voter whose release lacks a capability.
func (n *Node) VoterWithout(ctx context.Context, need string) string {
	return n.releases.voterWithout(ctx, need)
}

// RoundsOfDoubts counts how often the open questions were asked.
func (n *Node) RoundsOfDoubts() uint64 { return n.doubts.Rounds() }

// HoldGeneration ends the loops of a generation, as if it had very much to fold.
func (n *Node) HoldGeneration(number uint32) {
	if r, _ := n.gens.Get(number); r != nil {
		n.gens.Stop(r)
	}
}

// GoOnWithGeneration starts them again.
func (n *Node) GoOnWithGeneration(number uint32) {
	if r, _ := n.gens.Get(number); r != nil {
		n.gens.Start(r)
	}
}

// CaughtUp is nil when the node has folded what was committed, and compared it.
func (n *Node) CaughtUp() error {
	if !n.caughtUp.Load() {
		return errors.New("not yet")
	}
	return nil
}

// Seeding returns how the copy of the log goes on at a node that joined with an empty one.
func (n *Node) Seeding() (seed.Status, bool) {
	if n == nil || n.seeding == nil {
		return seed.Status{}, false
	}
	return n.seeding.Status(), true
}

// LastEntry returns the index of the last entry of the log, 0 for a node that is not open.
func (n *Node) LastEntry() uint64 {
	if n == nil {
		return 0
	}
	return n.store.Metrics().Last
}

// LogBytes returns the bytes of the log on the disk.
func (n *Node) LogBytes() uint64 { return n.store.Metrics().DiskBytes }
