package intake

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Submit decodes and checks a record at the edge and answers a plain replay from the active fold. The log and
// the fold decide everything else. It implements api.Submitter.
func (in *Intake) Submit(ctx context.Context, body []byte, meta api.Meta) (*wire.SubmitAnswer, error) {
	var seen Seen
	answer, err := in.submit(ctx, body, meta, &seen)
	if !meta.DryRun {
		in.o.Answered(seen, meta, answer, err)
	}
	return answer, err
}

func (in *Intake) submit(ctx context.Context, body []byte, meta api.Meta, seen *Seen) (*wire.SubmitAnswer, error) {
	if p := in.refuseNow(); p != nil {
		return nil, p
	}
	rec := pcs.Decode(body)
	facts, p := in.signedBy(ctx, rec, meta)
	if p != nil {
		return nil, p
	}
	asked := in.frozen(rec, facts) || meta.DryRun
	if asked {
		var err error
		if facts, err = in.confirmed(ctx, rec, facts); err != nil {
			return nil, err
		}
	}
	seen.Rec, seen.KeyID = rec, facts.KeyID
	if !facts.Valid() {
		fault, err := in.confirmedFault(ctx, rec)
		if err != nil {
			return nil, err
		}
		if fault != nil {
			in.counts(meta).Malformed.Add(1)
			return nil, structureProblem(rec, fault)
		}
		if rec.Sig != "" {
			return in.refuseSignature(ctx, body, meta, rec)
		}
		return in.submitUnsigned(ctx, body, meta, rec, asked)
	}
	if rec.Fault == nil {
		if answer := in.replay(ctx, rec, facts); answer != nil {
			return answer, nil
		}
	}
	if asked {
		if p := in.frozenNow(meta, rec, facts); p != nil {
			return nil, p
		}
	}
	if err := in.repeats(ctx, body, meta, rec, facts); err != nil {
		return nil, err
	}
	return in.commit(ctx, body, meta, rec, facts)
}

// submitUnsigned takes a record without a signature while the policy allows it. It refuses the record only once
// a quorum has confirmed that no other policy was applied a moment ago, through another node.
func (in *Intake) submitUnsigned(ctx context.Context, body []byte, meta api.Meta, rec *pcs.Record,
	asked bool) (*wire.SubmitAnswer, error) {
	if in.policy().Signature.Required {
		if err := in.o.Confirm(ctx); err != nil {
			return nil, wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
		}
		if in.policy().Signature.Required {
			return in.refuseSignature(ctx, body, meta, rec)
		}
	}
	if asked {
		if p := in.frozenNow(meta, rec, verify.Facts{}); p != nil {
			return nil, p
		}
	}
	return in.commit(ctx, body, meta, rec, verify.Facts{})
}

// confirmed waits until this node has folded everything that was acknowledged before, and checks the signature with
// the keys as they are then. A freeze stops only what the verifier lets pass, so the answer frozen says that this
// record would pass. A node that lags behind a policy, a revocation or another generation must not say that.
func (in *Intake) confirmed(ctx context.Context, rec *pcs.Record, facts verify.Facts) (verify.Facts, error) {
	if err := in.o.Confirm(ctx); err != nil {
		return facts, in.o.Problem(propose.ErrNoLeader)
	}
	if p := in.refuseNow(); p != nil {
		return facts, p
	}
	if !rec.Signable {
		return facts, nil
	}
	return in.o.Keys.CheckSignature(in.o.Keys.Verifiers(), rec), nil
}

func (in *Intake) frozen(rec *pcs.Record, facts verify.Facts) bool {
	_, ok := in.o.State.Control().Frozen(rec.ShardID, facts.KeyID, in.o.State.Cursor().Seq+1)
	return ok
}

// frozenNow refuses at the edge what the fold would refuse because of a freeze alone. Agents that repeat during a freeze
// must not fill the log. A quorum must have been asked before. If the freeze came later, the fold decides.
func (in *Intake) frozenNow(meta api.Meta, rec *pcs.Record, facts verify.Facts) *wire.Problem {
	f, ok := in.o.State.Control().Frozen(rec.ShardID, facts.KeyID, in.o.State.Cursor().Seq+1)
	if !ok || in.refusedFirst(rec, facts) {
		return nil
	}
	in.counts(meta).Frozen.Add(1)
	p := wire.NewProblem(wire.CodeFrozen, fmt.Sprintf("event %d froze submissions", f.Seq)).WithRetry(frozenRetry)
	p.PCSID = rec.PCSID
	return p
}

// refusedFirst reports whether the fold refuses a record before it looks for replays and freezes: for its structure, its
// signature, or the terms of its key.
func (in *Intake) refusedFirst(rec *pcs.Record, facts verify.Facts) bool {
	if _, refused := verify.Refuses(in.policy(), rec, facts); refused {
		return true
	}
	return facts.Valid() && !in.permitted(rec, facts)
}

// permitted reports whether the terms of a key let it sign this record now.
func (in *Intake) permitted(rec *pcs.Record, facts verify.Facts) bool {
	now, next := in.o.Clock.LogTime(), in.o.State.Cursor().Seq+1
	control := in.o.State.Control().For(in.o.Generations.Serving().Number())
	return !control.Revoked(facts.KeyID, next, now) && control.Allowed(facts.KeyID, rec.ShardID, next, now)
}

// faultOf returns the fault in the structure of a record under the policy. It is nil when there is none, except
// perhaps in the pcs_id.
func (in *Intake) faultOf(rec *pcs.Record) *pcs.Fault {
	if rec.Fault != nil {
		return rec.Fault
	}
	return rec.CheckVersion(in.policy().Versions)
}

// confirmedFault is faultOf after a quorum has confirmed that no policy allowed the version of the record a moment ago.
func (in *Intake) confirmedFault(ctx context.Context, rec *pcs.Record) (*pcs.Fault, error) {
	if fault := in.faultOf(rec); fault == nil || fault == rec.Fault {
		return fault, nil
	}
	if err := in.o.Confirm(ctx); err != nil {
		return nil, in.o.Problem(propose.ErrNoLeader)
	}
	return in.faultOf(rec), nil
}

// refuseNow returns the reason why this node takes no submissions at all.
func (in *Intake) refuseNow() *wire.Problem {
	if in.o.Stopping() {
		return wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	}
	if p := in.o.Withheld(); p != nil {
		return p
	}
	if p := in.o.Clock.Disputed(); p != nil {
		return p
	}
	if !in.o.CaughtUp() {
		return wire.NewProblem(wire.CodeNotReady,
			"this node has not caught up yet; ask another one").WithRetry(retryAfter)
	}
	if in.o.Generations.Switching() {
		return wire.NewProblem(wire.CodeNotReady,
			"this node is switching to another generation; ask another one").WithRetry(retryAfter)
	}
	if in.o.DiskShort() {
		return wire.NewProblem(wire.CodeOverloaded,
			"this node is short of disk space; ask another one").WithRetry(retryAfter)
	}
	return nil
}

// signedBy finds the key that signed the record and draws from the rates: of the key, or of the address when no
// key has signed it. A forgery draws before the other nodes are asked about it.
func (in *Intake) signedBy(ctx context.Context, rec *pcs.Record, meta api.Meta) (facts verify.Facts, p *wire.Problem) {
	keys := in.o.Keys.Verifiers()
	if rec.Signable {
		facts = in.o.Keys.CheckSignature(keys, rec)
	}
	if p := in.limits.allow(facts.KeyID, meta.Remote); p != nil || facts.Valid() || !rec.Signable ||
		rec.Fault != nil || rec.Sig == "" {
		return facts, p
	}
	return in.checkAgain(ctx, keys, rec)
}

// checkAgain looks for keys that were registered a moment ago, through another node. It needs a quorum. The
// facts depend on the record and the set of keys alone, so the same set gives the same facts.
func (in *Intake) checkAgain(ctx context.Context, keys *verify.KeySet, rec *pcs.Record) (verify.Facts, *wire.Problem) {
	if err := in.o.Confirm(ctx); err != nil {
		return verify.Facts{}, wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
	}
	if now := in.o.Keys.Verifiers(); now != keys {
		return in.o.Keys.CheckSignature(now, rec), nil
	}
	return verify.Facts{}, nil
}

// policy returns the one that judges new submissions, the default one before there is any.
func (in *Intake) policy() verify.Policy {
	control := in.o.State.Control().For(in.o.Generations.Serving().Number())
	if p, ok := control.PolicyAt(in.o.State.Cursor().Seq + 1); ok {
		return p.Policy
	}
	return verify.DefaultPolicy()
}

// commit puts the submission into the log and turns its folded outcome into an answer. A dry run goes as far as
// the log and gets the outcome that the fold would give.
func (in *Intake) commit(ctx context.Context, body []byte, meta api.Meta, rec *pcs.Record,
	facts verify.Facts) (*wire.SubmitAnswer, error) {
	queued, _ := in.o.Log.Stats()
	share, err := in.limits.acquire(facts.KeyID, meta.Remote, len(body), in.o.QueueBytes-queued)
	if err != nil {
		return nil, err
	}
	defer share.Leave()
	ev, err := in.submission(body, meta, facts)
	if err != nil {
		return nil, err
	}
	if err := in.o.CheckOwn(ctx, ev); err != nil {
		return nil, wire.NewProblem(wire.CodeOverloaded, err.Error()).WithRetry(retryAfter)
	}
	if meta.DryRun {
		result, err := in.foretell(ctx, ev)
		if err != nil {
			return nil, err
		}
		return in.answer(rec, result)
	}
	in.o.Generations.Submitted()
	result, place, err := in.o.Log.Submit(ctx, ev)
	if err != nil {
		return nil, in.o.Problem(err)
	}
	return in.answerPlaced(rec, facts, result, place)
}

// submission returns the event of a record as this node has received it.
func (in *Intake) submission(body []byte, meta api.Meta, facts verify.Facts) (event.Event, error) {
	remote := meta.Remote
	if !in.o.RecordRemote {
		remote = ""
	}
	sub := event.Sub{
		Body:       body,
		ReceivedAt: in.o.Clock.Now().UnixNano(),
		Node:       in.o.NodeID,
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

// refuseSignature answers 401. While the budget lasts the refusal goes through the log, otherwise it is
// answered at once and summed. A node that lacks a secret cannot tell.
func (in *Intake) refuseSignature(ctx context.Context, body []byte, meta api.Meta,
	rec *pcs.Record) (*wire.SubmitAnswer, error) {
	if len(in.o.Keys.MissingSecrets()) > 0 {
		return nil, wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
	}
	switch {
	case meta.DryRun && len(body) > refusalBytes: // a dry run logs nothing, so it takes nothing of the budget
	case meta.DryRun, in.limits.allowLog(meta.Remote, len(body)):
		return in.commit(ctx, body, meta, rec, verify.Facts{})
	default:
		in.drops.add(in.o.Clock.Now().UnixNano(), len(body))
		in.counters.Dropped.Add(1)
		in.counters.DroppedBytes.Add(uint64(len(body)))
	}
	return nil, in.badSignature(rec)
}
