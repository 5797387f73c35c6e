package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/projections"
)

// loggedDigest is the question about a digest in the log. When that contradicts this node, the question holds it.
func loggedDigest(logged projections.DigestRow, agrees bool) question {
	q := question{about: digestSubject, generation: logged.Generation, seq: logged.At}
	if !agrees {
		q.logged, q.carrier = string(digests{logged.Log, logged.State, logged.Control}.bytes()), logged.Seq
	}
	return q
}

// doubted says why this node is suspended over a question that has no answer yet. Who is contradicted by the log is from the
// moment on when that is folded; without the voters nobody can tell which of the two is wrong.
func (q question) doubted() string {
	if q.logged == "" {
		return ""
	}
	return fmt.Sprintf("%s differs from the one in the log, in event %d, and too few voters could be asked yet; "+
		"start the nodes that are down, and compare recount digest on all of them", q.what(), q.carrier)
}

func (q question) what() string {
	switch q.about {
	case historySubject:
		return fmt.Sprintf("what changed at the activation at %d", q.seq)
	case factsSubject:
		return fmt.Sprintf("the signature facts of event %d", q.seq)
	}
	return fmt.Sprintf("the digest at event %d", q.seq)
}

// overtaken takes the logged value out of a question about a generation that does not answer any more: that stops no node.
func (n *Node) overtaken(q question) question {
	if q.about == digestSubject && q.generation != n.active() {
		q.logged = ""
	}
	return q
}

// withLogged settles a question that the log has contradicted. What the voter that logged it says now goes before what it
// logged; while it does not answer, the log speaks for it. Nothing but a majority for this node's own value ends the doubt.
func (n *Node) withLogged(q question, same int, v votes) (settled bool, why string) {
	logger, err := n.derived.TermOpened(q.carrier)
	if err != nil {
		n.log.Warn("could not find out which node logged an event", "seq", q.carrier, "error", err)
	}
	against := v.by[q.logged]
	if logger != "" && !v.answered(logger) {
		against = append(slices.Clone(against), logger+" (in the log)")
	}
	if len(against) >= n.majority() {
		n.enterQuarantine(fmt.Sprintf("%s differs from that of %v, of %d voters", q.what(), against, len(n.cfg.Voters)))
		return true, ""
	}
	return false, fmt.Sprintf("%s differs from the one that %s logged in event %d; %d of %d voters have that of this node and %d the logged one; "+
		"start the nodes that are down, and compare recount digest on all of them", q.what(), logger, q.carrier, same, len(n.cfg.Voters), len(against))
}

// answered reports whether a voter has said anything.
func (v votes) answered(voter string) bool {
	for _, voters := range v.by {
		if slices.Contains(voters, voter) {
			return true
		}
	}
	return false
}

// recallLogged asks again what a node asked before it was stopped: whether the log is right or the node, where the last logged
// digest or what it says of an activation differs. It suspends the node before its first answer.
func (n *Node) recallLogged(ctx context.Context) error {
	live := n.live()
	logged, ok, err := n.derived.LastDigest(live.Number(), live.Cursor().Seq)
	if err != nil {
		return err
	}
	if ok {
		own, err := n.digestAt(live.Generation, logged.At)
		if err != nil {
			n.log.Warn("the last logged digest could not be compared", "seq", logged.At, "error", err) // a damaged generation is folded again
		} else if q := loggedDigest(logged, false); string(own.bytes()) != q.logged {
			n.doubts.raise(q)
		}
	}
	return n.checkHistory(ctx, false)
}
