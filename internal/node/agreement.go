package node

import (
	"context"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// witness implements for the agreement of the voters what that package asks of a node.
type witness struct {
	self       string // the id of this node
	quarantine *quarantine

	// What a node has only once its stores are open.
	answers  map[agreement.Subject]answerer
	settle   func(ctx context.Context, seq uint64) (settled bool, why string) // of signature facts
	head     func() (generation uint32, seq uint64)                           // of the serving generation
	active   func() uint32                                                    // the generation active by the log
	loggedBy func(seq uint64) (voter string, err error)
}

// answerer answers a peer RPC.
type answerer func(ctx context.Context, from string, body []byte) ([]byte, error)

var _ agreement.Node = &witness{}

// newDoubts makes the agreement of the voters. The stores and the cluster open later.
func (n *Node) newDoubts() {
	n.voters = &agreement.Voters{Self: n.cfg.NodeID, IDs: n.roll.voterIDs, Log: n.log,
		Call: func(ctx context.Context, voter, path string, body []byte) ([]byte, error) {
			return n.cluster.Call(ctx, voter, path, body)
		}}
	n.witness = &witness{self: n.cfg.NodeID, quarantine: &n.quarantine}
	n.doubts = agreement.New(n.witness, n.voters)
}

// completeWitness gives the witness what it knows of the stores and the cluster.
func (n *Node) completeWitness() {
	w, facts := n.witness, n.newSettlement()
	w.answers = map[agreement.Subject]answerer{
		agreement.Digest:  n.answerDigest,
		agreement.Facts:   n.facts.answerFacts,
		agreement.History: n.answerHistory,
	}
	w.settle = facts.settle
	w.head = func() (uint32, uint64) {
		serving := n.gens.Serving()
		return serving.Number(), serving.Cursor().Seq
	}
	w.active = n.gens.Active
	w.loggedBy = n.derived.TermOpened
}

// Answer answers a question from this node, exactly as it would answer another node.
func (w *witness) Answer(ctx context.Context, q agreement.Question) ([]byte, error) {
	_, body := q.Request()
	return w.answers[q.About](ctx, w.self, body)
}

// SettleFacts asks the voters whether the facts of an event hold.
func (w *witness) SettleFacts(ctx context.Context, seq uint64) (settled bool, why string) {
	return w.settle(ctx, seq)
}

// Head returns the serving generation and the last event that it has folded.
func (w *witness) Head() (generation uint32, seq uint64) { return w.head() }

// Active returns the number of the generation that is active by the log.
func (w *witness) Active() uint32 { return w.active() }

// LoggedBy names the leader that logged an event.
func (w *witness) LoggedBy(seq uint64) (string, error) { return w.loggedBy(seq) }

// Quarantine stops this node from answering clients.
func (w *witness) Quarantine(reason string) { w.quarantine.enter(reason) }

// Quarantined reports whether this node is quarantined.
func (w *witness) Quarantined() bool { return w.quarantine.entered() }

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
