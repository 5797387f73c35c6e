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
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// retryAfter is the time that a client is told to wait when the node cannot take a submission now.
const retryAfter = time.Second

// frozenRetry is the time that a client is told to wait during a freeze, which people end.
const frozenRetry = 30 * time.Second

// ledger implements the API's view of the node.
type ledger struct{ *Node }

var _ api.Ledger = ledger{}

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
	ring := in.keys.verifiers()
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
	if now := in.keys.verifiers(); now != ring {
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
		ReceivedAt: in.clock.now().UnixNano(),
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

// answerPlaced answers for the entry that a submission ended in. An earlier copy of it may be in the log too,
// accepted before its key was revoked or the policy changed. Then the answer is the standing result of the
// record, and no refusal.
func (in *intake) answerPlaced(rec *pcs.Record, facts verify.Facts, result projections.Result,
	place propose.Place) (*wire.SubmitAnswer, error) {
	if !place.Resent || result.Outcome != verify.Refused || !facts.Valid() || rec.Fault != nil {
		return in.answer(rec, result)
	}
	live := in.gens.Serving()
	view := live.View()
	defer view.Close()
	t := rec.Tuple(facts.Profile)
	c := &projections.Checked{Rec: rec, Facts: facts, Signed: rec.SignedDigest(t), Inputs: rec.InputsDigest(t)}
	first, ok, err := projections.Standing(view, c, result.LogTime, in.policy().Params.DedupTTL)
	if err != nil {
		return nil, wire.NewProblem(wire.CodeOutcomeUnknown, "")
	}
	if !ok || first.Seq >= result.Seq {
		return in.answer(rec, result)
	}
	first.Generation = live.Number()
	return in.answer(rec, first)
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

// answer renders an outcome: 200 and 202 as an answer, everything else as a problem.
func (in *intake) answer(rec *pcs.Record, r projections.Result) (*wire.SubmitAnswer, error) {
	standing := r
	if r.First != nil && (r.Replayed || r.Outcome == verify.Conflict) {
		standing = *r.First
	}
	switch {
	case r.Outcome == verify.Accepted, r.Outcome == verify.Escalated:
		a := in.submitAnswer(standing)
		a.Replayed, a.Reverified, a.DHat = r.Replayed, r.Reverified, claimedDHat(rec, r.Facts)
		return &a, nil
	case r.Outcome == verify.Conflict:
		p := wire.NewProblem(wire.CodeConflict, "").WithFirst(in.submitAnswer(standing))
		return nil, in.kept(p, r)
	}
	if r.Reason == verify.ReasonBadSignature {
		return nil, in.kept(in.badSignature(rec), r)
	}
	return nil, in.kept(in.refusalProblem(rec, r), r)
}

// kept adds the place at which the ledger keeps a refused or conflicting submission.
func (in *intake) kept(p *wire.Problem, r projections.Result) *wire.Problem {
	p.PCSID, p.Outcome, p.Seq, p.Generation, p.Replayed = r.PCSID, r.Outcome.String(), r.Seq, r.Generation, r.Replayed
	p.Policy = fmt.Sprintf("%x", r.Policy)
	if r.AgainSeq != 0 {
		p.Seq, p.Replayed = r.AgainSeq, true
	}
	return p
}

func (in *intake) refusalProblem(rec *pcs.Record, r projections.Result) *wire.Problem {
	switch r.Reason {
	case verify.ReasonMalformed, verify.ReasonSchema:
		if fault := in.faultOf(rec); fault != nil {
			return structureProblem(rec, fault)
		}
		return wire.NewProblem(wire.CodeSchema, r.Detail)
	case verify.ReasonIDMismatch:
		if f := rec.CheckID(); f != nil {
			return structureProblem(rec, f)
		}
		return wire.NewProblem(wire.CodeIDMismatch, r.Detail)
	case verify.ReasonKeyNotAllowed, verify.ReasonKeyRevoked:
		return wire.NewProblem(wire.CodeKeyNotAllowed, "")
	case verify.ReasonEpochRegression:
		return wire.NewProblem(wire.CodeEpochRegression, r.Detail)
	case verify.ReasonFrozen:
		return wire.NewProblem(wire.CodeFrozen, r.Detail).WithRetry(frozenRetry)
	}
	return wire.NewProblem(wire.CodeRefused, r.Detail).WithReason(r.ReasonCode())
}

func structureProblem(rec *pcs.Record, f *pcs.Fault) *wire.Problem {
	code := wire.CodeSchema
	switch f.Class {
	case pcs.ClassMalformed:
		code = wire.CodeMalformed
	case pcs.ClassIDMismatch:
		code = wire.CodeIDMismatch
	}
	p := wire.NewProblem(code, f.Reason).WithField(f.Field)
	if rec != nil {
		p.PCSID = rec.PCSID
	}
	return p
}

// submitAnswer returns the outcome of the event that decided. It reads no event, because anybody may ask and
// the log is cold.
func (in *intake) submitAnswer(r projections.Result) wire.SubmitAnswer {
	a := wire.SubmitAnswer{
		Accepted: r.Accepted, Escalated: r.Outcome == verify.Escalated, RecomputedBudget: r.Budget,
		Reason:       r.ReasonText(),
		PCSID:        r.PCSID,
		Outcome:      r.Outcome.String(),
		ReasonCode:   r.ReasonCode(),
		Reasons:      r.ReasonCodes(),
		Seq:          r.Seq,
		ReceivedAt:   wire.TimeNS(r.ReceivedAt),
		Policy:       fmt.Sprintf("%x", r.Policy),
		Generation:   r.Generation,
		Reverified:   r.Reverified,
		InputsSigned: r.Facts.InputsSigned(),
		Node:         r.Node,
		ShardID:      r.ShardID,
		Epoch:        r.Epoch,
	}
	if r.HasDHat {
		a.RecomputedDHat = nano.Ptr(r.DHat)
	}
	return a
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
		in.drops.add(in.clock.now().UnixNano(), len(body))
		in.limits.dropped.Add(1)
		in.limits.droppedBytes.Add(uint64(len(body)))
	}
	return nil, in.badSignature(rec)
}

// badSignature never tells which part of a signature was wrong. It does tell clients whose record has a scheme
// that the policy does not take, whether the signature is good or not.
func (in *intake) badSignature(rec *pcs.Record) *wire.Problem {
	rules := in.policy().Signature
	return wire.NewProblem(wire.CodeBadSignature, rules.SchemeFault(rec)).WithPCS(rec.PCSID)
}

// claimedDHat returns the claim of a well-formed record as its client has signed it. It reads an unsigned one
// like f9.
func claimedDHat(rec *pcs.Record, facts verify.Facts) *nano.Nano {
	profile := pcs.F9
	if facts.Valid() {
		profile = facts.Profile
	}
	return nano.Ptr(rec.Tuple(profile).DHat)
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
