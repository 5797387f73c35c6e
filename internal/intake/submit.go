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
// the fold decide everything else. It is a batch of one record. It implements api.Submitter.
func (in *Intake) Submit(ctx context.Context, body []byte, meta api.Meta) (*wire.SubmitAnswer, error) {
	b, one := batch{in: in, meta: meta}, [1]visit{{body: body}}
	b.take(ctx, one[:])
	return one[0].answer, one[0].err
}

// look checks a record at the edge of this node. It either answers, returns the refusal, or finds that the record
// enters the log (visit.enters).
func (in *Intake) look(ctx context.Context, q *inquiry, v *visit) error {
	if p := in.refuseNow(); p != nil {
		return p
	}
	v.rec = pcs.Decode(v.body)
	if p := in.signedBy(ctx, q, v); p != nil {
		return p
	}
	if v.asked = in.frozen(v.rec, v.facts) || q.meta.DryRun; v.asked {
		if err := in.confirmed(ctx, q, v); err != nil {
			return err
		}
	}
	v.seen = Seen{Rec: v.rec, KeyID: v.facts.KeyID}
	if !v.facts.Valid() {
		return in.lookUnverified(ctx, q, v)
	}
	if v.rec.Fault == nil {
		if v.answer = in.replay(ctx, q, v); v.answer != nil {
			return nil
		}
	}
	if p := in.frozenNow(q, v); p != nil {
		return p
	}
	if err := in.repeats(ctx, q, v); err != nil {
		return err
	}
	v.enters = true
	return nil
}

// lookUnverified looks at a record that no key has signed.
func (in *Intake) lookUnverified(ctx context.Context, q *inquiry, v *visit) error {
	fault, err := in.confirmedFault(ctx, q, v.rec)
	if err != nil {
		return err
	}
	if fault != nil {
		in.counts(q.meta).Malformed.Add(1)
		return structureProblem(v.rec, fault)
	}
	if v.rec.Sig != "" {
		return in.refuseSignature(q, v)
	}
	return in.lookUnsigned(ctx, q, v)
}

// lookUnsigned takes a record without a signature while the policy allows it. It refuses the record only once
// a quorum has confirmed that no other policy was applied a moment ago, through another node.
func (in *Intake) lookUnsigned(ctx context.Context, q *inquiry, v *visit) error {
	if in.policy().Signature.Required {
		if err := in.confirm(ctx, q); err != nil {
			return wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
		}
		if in.policy().Signature.Required {
			return in.refuseSignature(q, v)
		}
	}
	v.facts = verify.Facts{}
	if p := in.frozenNow(q, v); p != nil {
		return p
	}
	v.enters = true
	return nil
}

// confirmed waits until this node has folded everything that was acknowledged before, and checks the signature with
// the keys as they are then. A freeze stops only what the verifier lets pass, so the answer frozen says that this
// record would pass. A node that lags behind a policy, a revocation or another generation must not say that.
func (in *Intake) confirmed(ctx context.Context, q *inquiry, v *visit) error {
	if err := in.confirm(ctx, q); err != nil {
		return in.o.Problem(propose.ErrNoLeader)
	}
	if p := in.refuseNow(); p != nil {
		return p
	}
	if v.rec.Signable {
		v.facts = in.o.Keys.CheckSignature(in.o.Keys.Verifiers(), v.rec)
	}
	return nil
}

func (in *Intake) frozen(rec *pcs.Record, facts verify.Facts) bool {
	_, ok := in.o.State.Control().Frozen(rec.ShardID, facts.KeyID, in.o.State.Cursor().Seq+1)
	return ok
}

// frozenNow refuses at the edge what the fold would refuse because of a freeze alone. Agents that repeat during a freeze
// must not fill the log. A quorum must have been asked before. If the freeze came later, the fold decides.
func (in *Intake) frozenNow(q *inquiry, v *visit) *wire.Problem {
	if !v.asked {
		return nil
	}
	rec, facts := v.rec, v.facts
	f, ok := in.o.State.Control().Frozen(rec.ShardID, facts.KeyID, in.o.State.Cursor().Seq+1)
	if !ok || in.refusedFirst(rec, facts) {
		return nil
	}
	in.counts(q.meta).Frozen.Add(1)
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
func (in *Intake) confirmedFault(ctx context.Context, q *inquiry, rec *pcs.Record) (*pcs.Fault, error) {
	if fault := in.faultOf(rec); fault == nil || fault == rec.Fault {
		return fault, nil
	}
	if err := in.confirm(ctx, q); err != nil {
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
func (in *Intake) signedBy(ctx context.Context, q *inquiry, v *visit) *wire.Problem {
	keys, rec := in.o.Keys.Verifiers(), v.rec
	if rec.Signable {
		v.facts = in.o.Keys.CheckSignature(keys, rec)
	}
	if p := in.limits.allow(v.facts.KeyID, q.meta.Remote); p != nil || v.facts.Valid() || !rec.Signable ||
		rec.Fault != nil || rec.Sig == "" {
		return p
	}
	return in.checkAgain(ctx, q, keys, v)
}

// checkAgain looks for keys that were registered a moment ago, through another node. It needs a quorum. The
// facts depend on the record and the set of keys alone, so the same set gives the same facts.
func (in *Intake) checkAgain(ctx context.Context, q *inquiry, keys *verify.KeySet, v *visit) *wire.Problem {
	if err := in.confirm(ctx, q); err != nil {
		return wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
	}
	if now := in.o.Keys.Verifiers(); now != keys {
		v.facts = in.o.Keys.CheckSignature(now, v.rec)
	}
	return nil
}

// policy returns the one that judges new submissions, the default one before there is any.
func (in *Intake) policy() verify.Policy {
	control := in.o.State.Control().For(in.o.Generations.Serving().Number())
	if p, ok := control.PolicyAt(in.o.State.Cursor().Seq + 1); ok {
		return p.Policy
	}
	return verify.DefaultPolicy()
}

// submission returns the event of a record as this node has received it.
func (in *Intake) submission(meta api.Meta, v *visit) (event.Event, error) {
	facts, remote := v.facts, meta.Remote
	if !in.o.RecordRemote {
		remote = ""
	}
	sub := event.Sub{
		Body:       v.body,
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
func (in *Intake) refuseSignature(q *inquiry, v *visit) error {
	if len(in.o.Keys.MissingSecrets()) > 0 {
		return wire.NewProblem(wire.CodeKeysUnconfirmed, "").WithRetry(retryAfter)
	}
	switch size := len(v.body); {
	case q.meta.DryRun && size > refusalBytes: // a dry run logs nothing, so it takes nothing of the budget
	case q.meta.DryRun, in.limits.allowLog(q.meta.Remote, size):
		v.facts, v.enters = verify.Facts{}, true
		return nil
	default:
		in.drops.add(in.o.Clock.Now().UnixNano(), size)
		in.counters.Dropped.Add(1)
		in.counters.DroppedBytes.Add(uint64(size))
	}
	return in.badSignature(v.rec)
}
