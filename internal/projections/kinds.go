package projections

import (
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
)

// kindRow folds the events of one kind into the control state. decide returns the effect and changes nothing.
// apply changes the state in memory, for an event whose effect is Applied. It also runs when the state is read
// back, so it depends on the event and the state before it and on nothing else. A nil apply means that the
// event changes no state.
//
// An event reaches decide only if its credential and its op_id hold (see Control.effect).
type kindRow struct {
	decide func(c *Control, o *operator) (Effect, error)
	apply  func(c *Control, o *operator) error
}

// kinds is the table of all kinds except Submission, which Generation folds. A new kind needs a row here. A kind
// without a row stops the fold with ErrUnknownKind.
var kinds = [...]kindRow{
	event.Genesis:         checked(decideGenesis, applyGenesis),
	event.RefusalsDropped: stateless(decideApplied[*event.RefusalsDroppedV1]),
	event.TermStart:       stateless(decideApplied[*event.TermStartV1]),
	event.StateDigest:     stateless(decideStateDigest),
	event.ClockStep:       stateless(decideApplied[*event.ClockStepV1]),

	event.PolicyPublished:     checked(decidePolicyPublished, applyPolicyPublished),
	event.PolicyApplied:       kept(decidePolicyApplied, applyPolicyApplied),
	event.GenerationStarted:   kept(decideGenerationStarted, applyGenerationStarted),
	event.GenerationActivated: kept(decideGenerationActivated, applyGenerationActivated),
	event.GenerationDropped:   kept(decideGenerationDropped, applyGenerationDropped),
	event.HistoryRecorded:     kept(decideHistoryRecorded, applyHistoryRecorded),

	event.KeyAdded:         kept(decideKeyAdded, applyKeyAdded),
	event.KeyRevoked:       kept(decideKeyRevoked, applyKeyRevoked),
	event.KeyRetired:       kept(decideKeyRetired, applyKeyRetired),
	event.KeySecretRetired: kept(decideKeySecretRetired, applyKeySecretRetired),
	event.Frozen:           kept(decideFrozen, applyFrozen),
	event.Thawed:           kept(decideThawed, applyThawed),
	event.ShardsKnown:      kept(decideShardsKnown, applyShardsKnown),
	event.FactsDisputed:    kept(decideFactsDisputed, applyFactsDisputed),

	event.TokenCreated: kept(decideTokenCreated, applyTokenCreated),
	event.TokenRevoked: kept(decideTokenRevoked, applyTokenRevoked),
	event.ActApproved:  kept(decideOperationApproved, applyOperationApproved),

	event.MemberChanged: kept(decideMemberChanged, applyMemberChanged),
	event.Restored:      kept(decideRestored, applyRestored),

	event.ClusterVersionRaised: checked(decideClusterVersionRaised, applyClusterVersionRaised),
	event.MemberInvited:        kept(decideMemberInvited, applyMemberInvited),
	event.InvitationWithdrawn:  kept(decideInvitationWithdrawn, applyInvitationWithdrawn),
}

// rowOf returns the row of a kind.
func rowOf(k event.Kind) (kindRow, error) {
	if int(k) >= len(kinds) || kinds[k].decide == nil {
		return kindRow{}, fmt.Errorf("%w: no row for %s", ErrUnknownKind, k)
	}
	return kinds[k], nil
}

// checked returns the row of a kind whose content this binary may be unable to apply, such as a policy. An
// error stops the fold.
func checked[M any](decide func(*Control, *operator, M) (Effect, error),
	apply func(*Control, *operator, M) error) kindRow {
	return kindRow{
		decide: func(c *Control, o *operator) (Effect, error) {
			m, err := messageOf[M](o)
			if err != nil {
				return 0, err
			}
			return decide(c, o, m)
		},
		apply: func(c *Control, o *operator) error {
			m, err := messageOf[M](o)
			if err != nil {
				return err
			}
			return apply(c, o, m)
		},
	}
}

// kept returns the row of a kind that every release which knows it can apply.
func kept[M any](decide func(*Control, *operator, M) Effect, apply func(*Control, *operator, M)) kindRow {
	return checked(
		func(c *Control, o *operator, m M) (Effect, error) { return decide(c, o, m), nil },
		func(c *Control, o *operator, m M) error {
			apply(c, o, m)
			return nil
		})
}

// stateless returns the row of a kind that is only written down.
func stateless[M any](decide func(*Control, *operator, M) Effect) kindRow {
	r := kept(decide, func(*Control, *operator, M) {})
	r.apply = nil
	return r
}

func decideApplied[M any](*Control, *operator, M) Effect { return Applied }

// messageOf returns the message of an event. An error means that a row of the table names another message than
// package event.
func messageOf[M any](o *operator) (M, error) {
	m, ok := o.msg.(M)
	if !ok {
		return m, fmt.Errorf("%w: %s carries %T", ErrBadEvent, o.kind, o.msg)
	}
	return m, nil
}

// effect decides the effect of an event on the state so far. An event of a kind for a later cluster version is
// ignored, and so is an operation without a valid credential. One whose op_id was used before is a repetition,
// whatever its kind.
func (c *Control) effect(o *operator) (Effect, error) {
	r, err := rowOf(o.kind)
	if err != nil {
		return 0, err
	}
	if !c.admits(o.kind) {
		return Ignored, nil
	}
	if m, ok := o.msg.(event.OpMessage); ok {
		// authentication comes before the log, and a revocation may come in between
		if c.creds.isRevoked(m.GetOp().GetCredential()) {
			return Ignored, nil
		}
		if c.sched.ops[m.GetOp().GetOpId()] != 0 {
			return Repeated, nil
		}
	}
	return r.decide(c, o)
}

// apply updates the state in memory.
func (c *Control) apply(o *operator) error {
	r, err := rowOf(o.kind)
	if err != nil || o.effect != Applied {
		return err
	}
	if m, ok := o.msg.(event.OpMessage); ok && m.GetOp().GetOpId() != "" {
		c.sched.ops[m.GetOp().GetOpId()] = o.seq
	}
	if r.apply == nil {
		return nil
	}
	return r.apply(c, o)
}
