package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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
	f := factsOf(sub)
	if !f.Valid() {
		return false, true
	}
	return n.verifiers().Recheck(pcs.Decode(sub.Body), f)
}

func factsOf(sub event.Sub) verify.Facts {
	return verify.Facts{KeyID: sub.Facts.KeyID, Alg: verify.Alg(sub.Facts.Alg), Profile: pcs.Profile(sub.Facts.Profile), Mode: verify.Mode(sub.Facts.Mode)}
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
	if err := n.modeTaken(ctx, sub); err != nil {
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

// checkOwn checks this node's own submission as it will be in the log, also when another one leads, since this one may lead by
// the time it is packed: a fault of its memory since the signature was checked would be followed by every fold, and facts that
// no release knows would stop every fold. The folds verify Ed25519 signatures themselves.
func (n *Node) checkOwn(ctx context.Context, e event.Event) error {
	sub, err := event.DecodeSubmission(e.Payload)
	if err != nil {
		return err
	}
	if err := n.modeTaken(ctx, sub); err != nil || sub.Facts == (event.Facts{}) {
		return err
	}
	f := factsOf(sub)
	if f.Valid() && f.Alg == verify.Ed25519 {
		return nil
	}
	if holds, known := n.factsHold(sub); known && !holds {
		return n.falseFacts(n.cfg.NodeID, sub)
	}
	return nil
}

// errNewMode: an older node would stop at the record, or take it for unsigned.
var errNewMode = errors.New("not every node can read the record")

// modeTaken refuses a signing mode, or a profile, that the release of a voter does not know.
func (n *Node) modeTaken(ctx context.Context, sub event.Sub) error {
	need := ""
	switch p := pcs.Profile(sub.Facts.Profile); {
	case verify.Mode(sub.Facts.Mode) == verify.Whole:
		need = pcs.PCS2.String()
	case newProfiles.Has(p):
		need = profileCapability(p)
	default:
		return nil
	}
	if voter := n.voterWithout(ctx, need); voter != "" {
		return fmt.Errorf("%w: %s runs a release without %s; upgrade it first", errNewMode, voter, need)
	}
	return nil
}

func (n *Node) falseFacts(from string, sub event.Sub) error {
	n.stats.falseFacts.Add(1)
	n.log.Error("refused a submission whose signature facts do not hold; examine the node that took it", "from", from, "key", sub.Facts.KeyID)
	return fmt.Errorf("%w: key %s, from %s", errFalseFacts, sub.Facts.KeyID, from)
}

// factsPath is the peer RPC under which a node says whether the signature facts of an event hold.
const factsPath = "/v1/facts"

// Answers about signature facts; an empty one means that the node lacks the secret.
const (
	factsTrue  = "holds"
	factsFalse = "false"
)

// answerFacts checks the facts of an event once it is numbered here. The leader also looks into the matter itself, since only
// it can put the voters' finding into the log.
func (n *Node) answerFacts(ctx context.Context, from string, body []byte) ([]byte, error) {
	if len(body) != 8 {
		return nil, errors.New("a question about signature facts has 8 bytes")
	}
	seq := binary.BigEndian.Uint64(body)
	if err := n.derived.WaitSeq(ctx, seq); err != nil {
		return nil, err
	}
	answer, err := n.ownFacts(seq)
	if _, leads := n.cluster.IsLeader(); leads && err == nil && from != n.cfg.NodeID && n.derived.Control().Disputed(seq) == 0 {
		n.doubts.raise(question{about: factsSubject, seq: seq})
	}
	return []byte(answer), err
}

// ownFacts is what this node says of the facts of an event.
func (n *Node) ownFacts(seq uint64) (string, error) {
	it, err := n.derived.Item(seq)
	if err != nil {
		return "", err
	}
	if it.Kind != event.Submission {
		return "", fmt.Errorf("event %d is a %s and has no signature facts", seq, it.Kind)
	}
	sub, err := event.DecodeSubmission(it.Event.Payload)
	if err != nil {
		return "", err
	}
	switch holds, known := n.factsHold(sub); {
	case !known:
		return "", nil
	case holds:
		return factsTrue, nil
	}
	return factsFalse, nil
}

// keyOf names the key that a submission is recorded under.
func (n *Node) keyOf(seq uint64) string {
	it, err := n.derived.Item(seq)
	if err != nil {
		return "its key"
	}
	sub, err := event.DecodeSubmission(it.Event.Payload)
	if err != nil {
		return "its key"
	}
	return "key " + sub.Facts.KeyID
}

// settleFacts asks the voters whether the facts of an event hold. When a majority says no, the event is bad and no node: the
// leader logs it, and later generations count the record as unsigned. When a majority says yes, who says no is.
func (n *Node) settleFacts(ctx context.Context, seq uint64) (settled bool, why string) {
	if n.derived.Control().Disputed(seq) != 0 {
		return true, ""
	}
	mine, err := n.ownFacts(seq)
	if err != nil {
		n.log.Warn("could not check the signature facts of an event", "seq", seq, "error", err)
		return true, ""
	}
	votes := n.poll(ctx, factsPath, binary.BigEndian.AppendUint64(nil, seq), mine)
	yes, no := votes.by[factsTrue], votes.by[factsFalse]
	switch {
	case len(no) >= n.majority() && mine == factsTrue, len(yes) >= n.majority() && mine == factsFalse:
		n.enterQuarantine(fmt.Sprintf("the signature facts of event %d: this node says %q, a majority of the voters the opposite", seq, mine))
		return true, ""
	case len(yes) >= n.majority():
		return true, ""
	case len(no) >= n.majority():
		return false, n.dispute(ctx, seq, no)
	case suspends(mine, len(no)):
		return false, fmt.Sprintf("the signature facts of event %d do not hold for %v, hold for %v, and no majority of %d voters can tell; start the nodes "+
			"that are down, and give the secret of %s to those that lack it (pcs_hmac_keys_file)", seq, no, yes, len(n.cfg.Voters), n.keyOf(seq))
	}
	return true, ""
}

// suspends reports whether a finding without a majority stops this node. The log says that the facts hold: a node that finds the
// same, or cannot tell, serves nothing else than the log says.
func suspends(mine string, no int) bool { return no > 0 && mine == factsFalse }

// dispute logs, as the leader, what a majority found. On other nodes the question stays open until the leader has.
func (n *Node) dispute(ctx context.Context, seq uint64, voters []string) (why string) {
	term, leads := n.cluster.IsLeader()
	if !leads || term != n.term.Load() {
		return ""
	}
	if voter := n.voterWithout(ctx, disputesCapability); voter != "" {
		if !n.doubts.news(question{about: factsSubject, seq: seq}, voter) {
			return ""
		}
		n.log.Warn("signature facts are disputed, and a voter of an older release would stop at that; upgrade it", "seq", seq, "voter", voter)
		return ""
	}
	slices.Sort(voters)
	index, err := n.proposeNow(ctx, event.FactsDisputed, &event.FactsDisputedV1{Seq: seq, Voters: voters, Node: n.cfg.NodeID})
	if err == nil {
		err = n.derived.WaitIndex(ctx, index)
	}
	if err != nil && n.doubts.news(question{about: factsSubject, seq: seq}, "not logged") {
		n.log.Warn("could not log that signature facts are disputed; trying again", "seq", seq, "error", err)
	}
	if err != nil {
		return ""
	}
	n.log.Error("a record is in the ledger that is not signed as its facts say; find the node that took it, then recount", "seq", seq, "voters", voters)
	return ""
}
