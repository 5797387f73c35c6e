package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// codeBadFacts refuses a pack on the peer RPC: a record in it is not signed as its facts say.
const codeBadFacts = "bad_facts"

// errFalseFacts: every fold follows the recorded facts of an HMAC key, so what does not hold must not enter the log.
var errFalseFacts = errors.New("the record is not signed as its signature facts say; send it again")

// factsHold checks the signature facts of a submission once more. known is false when this node lacks the key or its secret;
// it cannot tell then.
func (n *Node) factsHold(sub event.Sub) (holds, known bool) {
	if sub.Facts == (event.Facts{}) {
		return true, true
	}
	f := verify.Facts{KeyID: sub.Facts.KeyID, Alg: verify.Alg(sub.Facts.Alg), Profile: pcs.Profile(sub.Facts.Profile), Mode: verify.Mode(sub.Facts.Mode)}
	if !f.Valid() {
		return false, true
	}
	return n.verifiers().Recheck(pcs.Decode(sub.Body), f)
}

// checkForwarded refuses a submission that another node hands over with facts that do not hold: that node may be faulty or in
// other hands. A key that the other node knows and this one does not may be in an entry that is not folded here yet. Without
// the secret of an HMAC key nobody can tell here; the voters settle it when the event is folded.
func (n *Node) checkForwarded(ctx context.Context, e event.Event, from string) error {
	if e.Kind != event.Submission {
		return nil
	}
	sub, err := event.DecodeSubmission(e.Payload)
	if err != nil {
		return err
	}
	holds, known := n.factsHold(sub)
	if !known && verify.Alg(sub.Facts.Alg) == verify.Ed25519 {
		if err := n.derived.WaitIndex(ctx, n.store.Committed()); err != nil {
			return err
		}
		holds, known = n.factsHold(sub)
		known = known || verify.Alg(sub.Facts.Alg) == verify.Ed25519
	}
	if known && !holds {
		return n.falseFacts(from, sub)
	}
	return nil
}

// checkOwn checks, on the leader, its own submission as it will be in the log: a fault of its memory since the signature was
// checked would be followed by every fold. Those of other nodes are checked when they are handed over. The folds verify
// Ed25519 signatures themselves.
func (n *Node) checkOwn(e event.Event) error {
	if _, leads := n.cluster.IsLeader(); !leads {
		return nil
	}
	sub, err := event.DecodeSubmission(e.Payload)
	if err != nil {
		return err
	}
	if verify.Alg(sub.Facts.Alg) != verify.HMACSHA256 {
		return nil
	}
	if holds, known := n.factsHold(sub); known && !holds {
		return n.falseFacts(n.cfg.NodeID, sub)
	}
	return nil
}

func (n *Node) falseFacts(from string, sub event.Sub) error {
	n.stats.falseFacts.Add(1)
	n.log.Error("refused a submission whose signature facts do not hold; examine the node that took it", "from", from, "key", sub.Facts.KeyID)
	return fmt.Errorf("%w: key %s, from %s", errFalseFacts, sub.Facts.KeyID, from)
}
