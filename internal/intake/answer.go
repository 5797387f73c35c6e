package intake

import (
	"encoding/hex"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// answerPlaced answers for the entry that a submission ended in. An earlier copy of it may be in the log too,
// accepted before its key was revoked or the policy changed. Then the answer is the standing result of the
// record, and no refusal. This holds for a record without a signature as well. One with a signature that does not
// verify was never accepted.
func (in *Intake) answerPlaced(rec *pcs.Record, facts verify.Facts, result projections.Result,
	place propose.LogPosition) (*wire.SubmitAnswer, error) {
	profile := facts.Profile
	if !facts.Valid() {
		profile = pcs.F9 // the fold takes it for records without a signature
	}
	if !place.Resent || result.Outcome != verify.Refused || rec.Fault != nil || !facts.Valid() && rec.Sig != "" {
		return in.answer(rec, result)
	}
	serving := in.o.Generations.Serving()
	view := serving.View()
	defer view.Close()
	t := rec.Tuple(profile)
	c := &projections.Prepared{Rec: rec, Facts: facts, Signed: rec.SignedDigest(t), Inputs: rec.InputsDigest(t)}
	first, ok, err := projections.Standing(view, c, result.LogTime, in.policy().Params.DedupTTL)
	if err != nil {
		return nil, wire.NewProblem(wire.CodeOutcomeUnknown, "")
	}
	if !ok || first.Seq >= result.Seq {
		return in.answer(rec, result)
	}
	first.Generation = serving.Number()
	return in.answer(rec, first)
}

// answer renders an outcome: 200 and 202 as an answer, everything else as a problem.
func (in *Intake) answer(rec *pcs.Record, r projections.Result) (*wire.SubmitAnswer, error) {
	standing := r
	if r.First != nil && (r.Replayed || r.Outcome == verify.Conflict) {
		standing = *r.First
	}
	switch {
	case r.Outcome == verify.Accepted, r.Outcome == verify.Escalated:
		a := Answer(standing)
		a.Replayed, a.Reverified, a.DHat = r.Replayed, r.Reverified, claimedDHat(rec, r.Facts)
		return &a, nil
	case r.Outcome == verify.Conflict:
		p := wire.NewProblem(wire.CodeConflict, "").WithFirst(Answer(standing))
		return nil, in.kept(p, r)
	}
	if r.Reason == verify.ReasonBadSignature {
		return nil, in.kept(in.badSignature(rec), r)
	}
	return nil, in.kept(in.refusalProblem(rec, r), r)
}

// kept adds the place at which the ledger keeps a refused or conflicting submission.
func (in *Intake) kept(p *wire.Problem, r projections.Result) *wire.Problem {
	p.PCSID, p.Outcome, p.Seq, p.Generation, p.Replayed = r.PCSID, r.Outcome.String(), r.Seq, r.Generation, r.Replayed
	p.Policy = hexText(r.Policy)
	if r.AgainSeq != 0 {
		p.Seq, p.Replayed = r.AgainSeq, true
	}
	return p
}

func (in *Intake) refusalProblem(rec *pcs.Record, r projections.Result) *wire.Problem {
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

// Answer returns the outcome of the event that decided. It reads no event from the log, because anybody may ask
// and such a read usually goes to the disk.
func Answer(r projections.Result) wire.SubmitAnswer {
	a := wire.SubmitAnswer{
		Accepted: r.Accepted, Escalated: r.Outcome == verify.Escalated, RecomputedBudget: r.Budget,
		Reason:       r.ReasonText(),
		PCSID:        r.PCSID,
		Outcome:      r.Outcome.String(),
		ReasonCode:   r.ReasonCode(),
		Reasons:      r.ReasonCodes(),
		Seq:          r.Seq,
		ReceivedAt:   wire.TimeNS(r.ReceivedAt),
		Policy:       hexText(r.Policy),
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

// hexText returns a digest as wire has it. It makes one copy less than hex.EncodeToString.
func hexText(digest [32]byte) string {
	var text [64]byte
	hex.Encode(text[:], digest[:])
	return string(text[:])
}

// badSignature never reveals which part of a signature was wrong. If the policy does not accept the scheme of the
// record, it names the scheme, for good and bad signatures alike.
func (in *Intake) badSignature(rec *pcs.Record) *wire.Problem {
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
