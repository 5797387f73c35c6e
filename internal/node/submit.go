package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// retryAfter is the time that a client is told to wait when the node cannot take a submission now.
const retryAfter = time.Second

// frozenRetry is the time that a client is told to wait during a freeze, which people end.
const frozenRetry = 30 * time.Second

// intake takes submissions: it checks them at the edge, has them committed, and answers with the outcome.
type intake struct {
	cfg     *Config
	derived *fsm.Derived
	gens    *recount.Manager
	packer  *propose.Packer[projections.Result]
	keys    *heldKeys
	clock   *ledgerClock
	disk    *disk.Space
	limits  *limits
	drops   *refusals
	stats   *stats

	closing, caughtUp *atomic.Bool

	withheld func() *wire.Problem                           // the reason why this node answers no client
	confirm  func(ctx context.Context) error                // waits for everything that was acknowledged before
	checkOwn func(ctx context.Context, e event.Event) error // checks an own submission as it will be in the log
}

// Submit decodes and checks a record at the edge and answers a plain replay from the live fold. The log and the
// fold decide everything else.
func (n ledger) Submit(ctx context.Context, body []byte, meta api.Meta) (*wire.SubmitAnswer, error) {
	var seen seen
	answer, err := n.intake.submit(ctx, body, meta, &seen)
	if !meta.DryRun {
		n.audit.submission(&seen, meta, answer, err)
	}
	return answer, err
}

func (in *intake) submit(ctx context.Context, body []byte, meta api.Meta, seen *seen) (*wire.SubmitAnswer, error) {
	if p := in.refuseNow(); p != nil {
		return nil, p
	}
	rec := pcs.Decode(body)
	facts, p := in.signedBy(ctx, rec, meta)
	if p != nil {
		return nil, p
	}
	seen.rec, seen.keyID = rec, facts.KeyID
	if !facts.Valid() {
		if fault := in.faultOf(rec); fault != nil {
			in.counts(meta).malformed.Add(1)
			return nil, structureProblem(rec, fault)
		}
		if rec.Sig != "" {
			return in.refuseSignature(ctx, body, meta, rec)
		}
		return in.submitUnsigned(ctx, body, meta, rec)
	}
	if rec.Fault == nil {
		if answer := in.replay(ctx, rec, facts); answer != nil {
			in.counts(meta).replays.Add(1)
			return answer, nil
		}
	}
	if p := in.frozenNow(meta, rec, facts); p != nil {
		return nil, p
	}
	if err := in.repeats(ctx, body, meta, rec, facts); err != nil {
		return nil, err
	}
	return in.commit(ctx, body, meta, rec, facts)
}

// submitUnsigned takes a record without a signature while the policy allows it. It refuses the record only once
// a quorum has confirmed that no other policy was applied a moment ago, through another node.
func (in *intake) submitUnsigned(ctx context.Context, body []byte, meta api.Meta,
	rec *pcs.Record) (*wire.SubmitAnswer, error) {
	if in.policy().Signature.Required {
		if err := in.confirm(ctx); err != nil {
			return nil, wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
		}
		if in.policy().Signature.Required {
			return in.refuseSignature(ctx, body, meta, rec)
		}
	}
	if p := in.frozenNow(meta, rec, verify.Facts{}); p != nil {
		return nil, p
	}
	return in.commit(ctx, body, meta, rec, verify.Facts{})
}

// frozenNow refuses at the edge what the fold would refuse. Agents that repeat during a freeze must not fill
// the log.
func (in *intake) frozenNow(meta api.Meta, rec *pcs.Record, facts verify.Facts) *wire.Problem {
	f, ok := in.derived.Control().Frozen(rec.ShardID, facts.KeyID, in.derived.Cursor().Seq+1)
	if !ok {
		return nil
	}
	in.counts(meta).frozen.Add(1)
	p := wire.NewProblem(wire.CodeFrozen, fmt.Sprintf("event %d froze submissions", f.Seq)).WithRetry(frozenRetry)
	p.PCSID = rec.PCSID
	return p
}

// faultOf returns the fault in the structure of a record under the policy. It is nil when there is none, except
// perhaps in the pcs_id.
func (in *intake) faultOf(rec *pcs.Record) *pcs.Fault {
	if rec.Fault != nil {
		return rec.Fault
	}
	return rec.CheckVersion(in.policy().Versions)
}

// refuseNow returns the reason why this node takes no submissions at all.
func (in *intake) refuseNow() *wire.Problem {
	if in.closing.Load() {
		return wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	}
	if p := in.withheld(); p != nil {
		return p
	}
	if p := in.clock.disputed(); p != nil {
		return p
	}
	if !in.caughtUp.Load() {
		return wire.NewProblem(wire.CodeNotReady,
			"this node has not caught up yet; ask another one").WithRetry(retryAfter)
	}
	if in.gens.Switching() {
		return wire.NewProblem(wire.CodeNotReady,
			"this node is switching to another generation; ask another one").WithRetry(retryAfter)
	}
	if in.disk.Short() {
		return wire.NewProblem(wire.CodeOverloaded,
			"this node is short of disk space; ask another one").WithRetry(retryAfter)
	}
	return nil
}

// signedBy finds the key that signed the record and draws from the rates: of the key, or of the address when no
// key has signed it. A forgery draws before the other nodes are asked about it.
func (in *intake) signedBy(ctx context.Context, rec *pcs.Record, meta api.Meta) (facts verify.Facts, p *wire.Problem) {
	ring := in.keys.Verifiers()
	if rec.Signable {
		facts = in.keys.checkSignature(ring, rec)
	}
	if p := in.limits.throttle(facts.KeyID, meta.Remote); p != nil || facts.Valid() || !rec.Signable ||
		rec.Fault != nil || rec.Sig == "" {
		return facts, p
	}
	return in.checkAgain(ctx, ring, rec)
}

// checkAgain looks for keys that were registered a moment ago, through another node. It needs a quorum. The
// facts are a function of the record and the ring alone, so the same ring gives the same facts.
func (in *intake) checkAgain(ctx context.Context, ring *verify.Ring, rec *pcs.Record) (verify.Facts, *wire.Problem) {
	if err := in.confirm(ctx); err != nil {
		return verify.Facts{}, wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
	}
	if now := in.keys.Verifiers(); now != ring {
		return in.keys.checkSignature(now, rec), nil
	}
	return verify.Facts{}, nil
}

// policy returns the one that judges new submissions, the default one before there is any.
func (in *intake) policy() verify.Policy {
	if p, ok := in.derived.Control().For(in.gens.Serving().Number()).PolicyAt(in.derived.Cursor().Seq + 1); ok {
		return p.Policy
	}
	return verify.DefaultPolicy()
}

// commit puts the submission into the log and turns its folded outcome into an answer. A dry run goes as far as
// the log and gets the outcome that the fold would give.
func (in *intake) commit(ctx context.Context, body []byte, meta api.Meta, rec *pcs.Record,
	facts verify.Facts) (*wire.SubmitAnswer, error) {
	queued, _ := in.packer.Stats()
	leave, err := in.limits.enter(facts.KeyID, meta.Remote, len(body), in.cfg.QueueBytes-queued)
	if err != nil {
		return nil, err
	}
	defer leave()
	ev, err := in.submission(body, meta, facts)
	if err != nil {
		return nil, err
	}
	if err := in.checkOwn(ctx, ev); err != nil {
		return nil, wire.NewProblem(wire.CodeOverloaded, err.Error()).WithRetry(retryAfter)
	}
	if meta.DryRun {
		result, err := in.foretell(ctx, ev)
		if err != nil {
			return nil, err
		}
		return in.answer(rec, result)
	}
	in.gens.Submitted()
	result, place, err := in.packer.Submit(ctx, ev)
	if err != nil {
		return nil, proposeProblem(err, in.clock)
	}
	if result.Replayed && !result.Evidence {
		in.stats.replays.Add(1)
	}
	return in.answerPlaced(rec, facts, result, place)
}

// submission returns the event of a record as this node has received it.
func (in *intake) submission(body []byte, meta api.Meta, facts verify.Facts) (event.Event, error) {
	remote := meta.Remote
	if !in.cfg.RecordRemote {
		remote = ""
	}
	sub := event.Sub{
		Body:       body,
		ReceivedAt: in.clock.Now().UnixNano(),
		Node:       in.cfg.NodeID,
		Remote:     remote,
		RequestID:  meta.RequestID,
		Facts: event.Facts{
			KeyID:   facts.KeyID,
			Alg:     uint8(facts.Alg),
			Profile: uint8(facts.Profile),
			Mode:    uint8(facts.Mode),
		},
	}
	if _, err := rand.Read(sub.Salt[:]); err != nil {
		return event.Event{}, err
	}
	return event.Event{Kind: event.Submission, Payload: sub.Payload()}, nil
}

func proposeProblem(err error, clock *ledgerClock) error {
	switch {
	case errors.Is(err, propose.ErrUnknown):
		return wire.NewProblem(wire.CodeOutcomeUnknown, "")
	case errors.Is(err, errLeaderDisk):
		return wire.NewProblem(wire.CodeOverloaded, errLeaderDisk.Error()).WithRetry(retryAfter)
	case errors.Is(err, propose.ErrOverloaded):
		return wire.NewProblem(wire.CodeOverloaded, "").WithRetry(retryAfter)
	case errors.Is(err, propose.ErrClosed):
		return wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	case errors.Is(err, propose.ErrNoLeader):
		if p := clock.disputed(); p != nil {
			return p
		}
		return wire.NewProblem(wire.CodeNoLeader, "").WithRetry(retryAfter)
	}
	return err
}

// refuseSignature answers 401. While the budget lasts the refusal goes through the log, otherwise it is
// answered at once and summed. A node that lacks a secret cannot tell.
func (in *intake) refuseSignature(ctx context.Context, body []byte, meta api.Meta,
	rec *pcs.Record) (*wire.SubmitAnswer, error) {
	in.counts(meta).badSignature.Add(1)
	if len(in.keys.missingSecrets()) > 0 {
		return nil, wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
	}
	switch {
	case meta.DryRun && len(body) > refusalBytes: // a dry run logs nothing, so it takes nothing of the budget
	case meta.DryRun, in.limits.mayLog(meta.Remote, len(body)):
		return in.commit(ctx, body, meta, rec, verify.Facts{})
	default:
		in.drops.add(in.clock.Now().UnixNano(), len(body))
		in.limits.dropped.Add(1)
		in.limits.droppedBytes.Add(uint64(len(body)))
	}
	return nil, in.badSignature(rec)
}

// stats has counters outside the fold.
type stats struct {
	scrubbed, scrubs                       atomic.Uint64 // of the log: bytes, and complete examinations
	malformed, badSignature, replays       atomic.Uint64
	frozen, falseFacts, repeats            atomic.Uint64
	accepted, escalated, refused, conflict atomic.Uint64
	folded                                 atomic.Uint64
}

func (s *stats) count(r projections.Result) {
	s.folded.Add(1)
	switch r.Outcome {
	case verify.Accepted:
		s.accepted.Add(1)
	case verify.Escalated:
		s.escalated.Add(1)
	case verify.Refused:
		s.refused.Add(1)
	case verify.Conflict:
		s.conflict.Add(1)
	}
}
