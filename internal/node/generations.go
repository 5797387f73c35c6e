package node

import (
	"log/slog"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
)

// host implements for the generations what they ask of a node.
type host struct {
	log        *slog.Logger
	keys       *heldKeys
	stats      *stats
	quarantine *quarantine
	doubts     questions
	control    control
	leads      func() bool

	fail      func(error) // ends the node
	unwritten func(error) // ends the process when a disk is full or fails
}

// questions takes the questions that the voters settle. *agreement.Doubts implements it.
type questions interface {
	Raise(q agreement.Question) bool
	RaiseFolded(q agreement.Question) bool
}

// control is the part of the control state that the adapters of a node read. *projections.Control implements it.
type control interface {
	// Disputed returns the event that disputes the facts of the submission at seq, or 0.
	Disputed(seq uint64) uint64
	// Active returns the generation that is active by the log, and the event of its activation.
	Active() (number uint32, since uint64)
}

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
		Host:    n.host(),
		Disk:    n.disk,
		Peers:   recount.Peers{Self: n.voters.Self, IDs: n.voters.IDs, Call: n.voters.Call},
		Logger:  n.log,
	})
	return err
}

func (n *Node) host() host {
	return host{
		log:        n.log,
		keys:       n.keys,
		stats:      &n.stats,
		quarantine: &n.quarantine,
		doubts:     n.doubts,
		control:    n.derived.Control(),
		leads: func() bool {
			_, ok := n.cluster.IsLeader()
			return ok
		},
		fail:      n.fail,
		unwritten: n.endUnwritten,
	}
}

// Verifiers returns the keys that this node can check signatures with.
func (h host) Verifiers() *verify.KeySet { return h.keys.Verifiers() }

// Fail ends the node.
func (h host) Fail(err error) { h.fail(err) }

// Unwritten ends the process when a disk is full or fails. That is no damage. Nothing is deleted and no node is
// quarantined.
func (h host) Unwritten(err error) { h.unwritten(err) }

// Quarantine stops this node from answering clients.
func (h host) Quarantine(reason string) { h.quarantine.enter(reason) }

// FactsMismatch reports that the signature facts of an event do not hold with this node's own keys. The voters
// settle whether this node or the event is wrong. A generation that is not active suspends no node. The active
// one has folded the event, or will.
func (h host) FactsMismatch(generation uint32, seq uint64) {
	if h.control.Disputed(seq) != 0 {
		return
	}
	h.log.Error("the signature facts of an event do not hold with the keys of this node", "seq", seq,
		"generation", generation)
	if active, _ := h.control.Active(); generation == active {
		h.doubts.Raise(agreement.Question{About: agreement.Facts, Seq: seq})
	}
}

// DigestFolded has digests compared with those of the other members when the logged one is not this node's. The
// leader, whose own digest it was, has them compared always. The fold calls it, so it must not wait.
func (h host) DigestFolded(logged projections.DigestRow, agrees bool) {
	if !agrees || h.leads() {
		h.doubts.RaiseFolded(loggedDigest(logged, agrees))
	}
}

// Folded counts an outcome.
func (h host) Folded(r projections.Result) { h.stats.count(r) }

// unflushed returns an upper bound of the bytes that all stores together have in memory and not on the disk.
func (n *Node) unflushed() uint64 {
	if n.store == nil || n.derived == nil || n.gens == nil {
		return 0
	}
	return n.store.Unflushed() + n.derived.Unflushed() + n.gens.Unflushed()
}
