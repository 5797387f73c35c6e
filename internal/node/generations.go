package node

import (
	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
)

// host implements for the generations what they ask of a node.
type host struct{ *Node }

var _ recount.Host = host{}

// openGenerations opens history/ and the generations of this node. The cluster opens later.
func (n *Node) openGenerations() error {
	names, err := durable.RemovePrefixed(n.cfg.FS, n.cfg.Dir, "derived"+droppedSuffix)
	for _, name := range names {
		n.log.Info("removing the rest of a folded state", "dir", name)
	}
	if err != nil {
		return err
	}
	n.gens, err = recount.Open(n.ctx, recount.Options{
		Dir:     n.cfg.Dir,
		FS:      n.cfg.FS,
		Batch:   n.cfg.FoldReadBytes,
		Log:     n.store,
		Control: n.derived,
		Host:    host{n},
		Disk:    n.disk,
		Peers:   recount.Peers{Self: n.voters.Self, IDs: n.voters.IDs, Call: n.voters.Call},
		Logger:  n.log,
	})
	return err
}

// Verifiers returns the keys that this node can check signatures with.
func (n host) Verifiers() *verify.KeySet { return n.keys.Verifiers() }

// Fail ends the node.
func (n host) Fail(err error) { n.fail(err) }

// Unwritten ends the process when a disk is full or fails. That is no damage. Nothing is deleted and no node is
// quarantined.
func (n host) Unwritten(err error) { n.endUnwritten(err) }

// Quarantine stops this node from answering clients.
func (n host) Quarantine(reason string) { n.enterQuarantine(reason) }

// FactsMismatch reports that the signature facts of an event do not hold with this node's own keys. The voters
// settle whether this node or the event is wrong. A generation that is not active suspends no node. The active
// one has folded the event, or will.
func (n host) FactsMismatch(generation uint32, seq uint64) {
	if n.derived.Control().Disputed(seq) != 0 {
		return
	}
	n.log.Error("the signature facts of an event do not hold with the keys of this node", "seq", seq,
		"generation", generation)
	if active, _ := n.derived.Control().Active(); generation == active {
		n.doubts.Raise(agreement.Question{About: agreement.Facts, Seq: seq})
	}
}

// DigestFolded has digests compared with those of the other members when the logged one is not this node's. The
// leader, whose own digest it was, has them compared always. The fold calls it, so it must not wait.
func (n host) DigestFolded(logged projections.DigestRow, agrees bool) {
	if _, leads := n.cluster.IsLeader(); !agrees || leads {
		n.doubts.RaiseFolded(loggedDigest(logged, agrees))
	}
}

// Folded counts an outcome.
func (n host) Folded(r projections.Result) { n.stats.count(r) }

// unflushed returns an upper bound of the bytes that all stores together have in memory and not on the disk.
func (n *Node) unflushed() uint64 {
	if n.store == nil || n.derived == nil || n.gens == nil {
		return 0
	}
	return n.store.Unflushed() + n.derived.Unflushed() + n.gens.Unflushed()
}
