package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// witness implements for the agreement of the voters what that package asks of a node.
type witness struct{ *Node }

var _ agreement.Node = witness{}

// newDoubts makes the agreement of the voters. The cluster opens later.
func (n *Node) newDoubts() {
	n.voters = &agreement.Voters{Self: n.cfg.NodeID, Log: n.log,
		Call: func(ctx context.Context, voter, path string, body []byte) ([]byte, error) {
			return n.cluster.Call(ctx, voter, path, body)
		}}
	for _, v := range n.cfg.Voters {
		n.voters.IDs = append(n.voters.IDs, v.ID)
	}
	n.doubts = agreement.New(witness{n}, n.voters)
}

// Answer answers a question from this node, exactly as it would answer another node.
func (n witness) Answer(ctx context.Context, q agreement.Question) ([]byte, error) {
	_, body := q.Request()
	switch q.About {
	case agreement.Facts:
		return n.facts.answerFacts(ctx, n.cfg.NodeID, body)
	case agreement.History:
		return n.answerHistory(ctx, n.cfg.NodeID, body)
	}
	return n.answerDigest(ctx, n.cfg.NodeID, body)
}

// Head returns the serving generation and the last event that it has folded.
func (n witness) Head() (generation uint32, seq uint64) {
	live := n.gens.Serving()
	return live.Number(), live.Cursor().Seq
}

// Active returns the number of the generation that is active by the log.
func (n witness) Active() uint32 { return n.gens.Active() }

// LoggedBy names the leader that logged an event.
func (n witness) LoggedBy(seq uint64) (string, error) { return n.derived.TermOpened(seq) }

// Quarantine stops this node from answering clients.
func (n witness) Quarantine(reason string) { n.quarantine.enter(reason) }

// Quarantined reports whether this node is quarantined.
func (n witness) Quarantined() bool { return n.quarantine.entered() }

// SettleFacts asks the voters whether the facts of an event hold. When a majority finds that they do not, the
// event is bad and no node is. The leader logs the finding, and later generations count the record as unsigned.
// When a majority finds that they hold, a node that contradicts it is wrong.
func (n witness) SettleFacts(ctx context.Context, seq uint64) (settled bool, why string) {
	if n.derived.Control().Disputed(seq) != 0 {
		return true, ""
	}
	mine, err := n.facts.ownFacts(seq)
	if err != nil {
		n.log.Warn("could not check the signature facts of an event", "seq", seq, "error", err)
		return true, ""
	}
	votes := n.voters.Poll(ctx, agreement.Question{About: agreement.Facts, Seq: seq}, mine)
	yes, no, majority := votes.By[factsTrue], votes.By[factsFalse], n.voters.Majority()
	switch {
	case len(no) >= majority && mine == factsTrue, len(yes) >= majority && mine == factsFalse:
		n.quarantine.enter(fmt.Sprintf("the signature facts of event %d: this node says %q, a majority of the "+
			"voters the opposite",
			seq, mine))
		return true, ""
	case len(yes) >= majority:
		return true, ""
	case len(no) >= majority:
		n.dispute(ctx, seq, no)
		return false, ""
	case suspends(mine, len(no)):
		return false,
			fmt.Sprintf("the signature facts of event %d do not hold for %v, hold for %v, and no majority of "+
				"%d voters can tell; start the nodes "+
				"that are down, and give the secret of %s to those that lack it (pcs_hmac_keys_file)", seq, no,
				yes, len(n.cfg.Voters), n.keyOf(seq))
	}
	return true, ""
}

// suspends reports whether a finding without a majority stops this node. By the log the facts hold. A node that
// finds the same, or cannot tell, serves nothing that differs from the log.
func suspends(mine string, no int) bool { return no > 0 && mine == factsFalse }

// dispute logs, as the leader, what a majority found. On other nodes the question stays open until the leader
// has logged it.
func (n witness) dispute(ctx context.Context, seq uint64, voters []string) {
	if !n.lead.leads() {
		return
	}
	q := agreement.Question{About: agreement.Facts, Seq: seq}
	if voter := n.releases.voterWithout(ctx, event.FactsDisputed.Capability()); voter != "" {
		if !n.doubts.News(q, voter) {
			return
		}
		n.log.Warn("signature facts are disputed, and a voter of an older release would stop at that; upgrade it",
			"seq", seq, "voter", voter)
		return
	}
	slices.Sort(voters)
	index, err := n.lead.proposeNow(ctx, event.FactsDisputed, &event.FactsDisputedV1{
		Seq:    seq,
		Voters: voters,
		Node:   n.cfg.NodeID,
	})
	if err == nil {
		err = n.derived.WaitIndex(ctx, index)
	}
	if err != nil && n.doubts.News(q, "not logged") {
		n.log.Warn("could not log that signature facts are disputed; trying again", "seq", seq, "error", err)
	}
	if err != nil {
		return
	}
	n.log.Error("a record is in the ledger that is not signed as its facts say; find the node that took it, "+
		"then recount",
		"seq", seq, "voters", voters)
}

// keyOf describes the key that a submission is recorded under.
func (n witness) keyOf(seq uint64) string {
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

// withheld returns the reason why this node answers no client, nil when it answers.
func (n *Node) withheld() *wire.Problem {
	if n.quarantine.entered() {
		return wire.NewProblem(wire.CodeNotReady, "this node is quarantined; ask another one").WithRetry(retryAfter)
	}
	if n.doubts.Suspended() != "" {
		return wire.NewProblem(wire.CodeNotReady,
			"this node and another one contradict each other, and too few voters can be asked; ask another "+
				"one; readyz says what to do").WithRetry(retryAfter)
	}
	if n.cluster.Standing() != nil {
		return wire.NewProblem(wire.CodeNotReady,
			"other members refuse this node; its readiness says why; ask another one").WithRetry(retryAfter)
	}
	return nil
}

// loggedDigest returns the question about a digest in the log. When that digest contradicts this node, the
// question carries it.
func loggedDigest(logged projections.DigestRow, agrees bool) agreement.Question {
	q := agreement.Question{About: agreement.Digest, Generation: logged.Generation, Seq: logged.At}
	if !agrees {
		digests := fsm.Digests{Log: logged.Log, State: logged.State, Control: logged.Control}
		q.Logged, q.Carrier = string(digests.Bytes()), logged.Seq
	}
	return q
}

// ownDigests bounds how many digests of its own a node passes on the way back to one that another node logged.
const ownDigests = 8

// recallLogged repeats the questions that a node asked before it was stopped: whether the log or the node is
// right, where a logged digest or the record of an activation differs. It suspends the node before its first
// answer. The digests are the last one and, while this node logged them itself, those before it: a node that led
// for a moment logged one behind the contrary one of another node. The state on its disk may also differ from
// what it logged itself.
func (n *Node) recallLogged(ctx context.Context) error {
	live := n.gens.Serving()
	to := live.Cursor().Seq
	for range ownDigests {
		logged, ok, err := n.derived.LastDigest(live.Number(), to)
		if err != nil {
			return err
		}
		if !ok || !n.sameAsLogged(live, logged) {
			break
		}
		if by, err := n.derived.TermOpened(logged.Seq); err != nil || by != n.cfg.NodeID {
			break
		}
		to = logged.Seq - 1
	}
	return n.lead.checkHistory(ctx, false)
}

// sameAsLogged compares the state of this node with a logged digest, and raises the question if they differ.
func (n *Node) sameAsLogged(live *recount.Running, logged projections.DigestRow) bool {
	own, err := n.derived.DigestsAt(live.Generation, logged.At)
	if err != nil {
		// a damaged generation is folded again
		n.log.Warn("the last logged digest could not be compared", "seq", logged.At, "error", err)
		return false
	}
	q := loggedDigest(logged, false)
	same := string(own.Bytes()) == q.Logged
	if !same {
		n.doubts.Raise(q)
	}
	return same
}
