package projections

import (
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// Decisions and changes of the kinds about policies and generations. The state is in schedules.

func decideGenesis(c *Control, _ *operator, m *event.GenesisV1) (Effect, error) {
	if c.genesis != nil {
		return Repeated, nil
	}
	_, err := genesisPolicy(m)
	if err == nil {
		_, err = genesisVersion(m)
	}
	return Applied, err
}

func applyGenesis(c *Control, o *operator, m *event.GenesisV1) error {
	p, err := genesisPolicy(m)
	if err != nil {
		return err
	}
	if c.version, err = genesisVersion(m); err != nil {
		return err
	}
	row := PolicyRow{Seq: o.seq, ID: p.ID(), Policy: p}
	c.sched.genesis(row, m.Policy, o.logTime)
	c.genesis = &GenesisRow{
		Seq:       o.seq,
		LogTime:   o.logTime,
		ClusterID: m.ClusterId,
		Kernel:    p.Kernel,
		Policy:    row.ID,
	}
	return nil
}

func genesisPolicy(m *event.GenesisV1) (verify.Policy, error) {
	p, err := verify.ParsePolicy(m.Policy)
	if err != nil {
		return p, fmt.Errorf("genesis policy: %w", err)
	}
	if uint64(m.Kernel) != uint64(p.Kernel) {
		return p, fmt.Errorf("genesis names kernel %d, its policy %d: %w", m.Kernel, p.Kernel, ErrBadEvent)
	}
	return p, nil
}

func decideStateDigest(_ *Control, o *operator, m *event.StateDigestV1) Effect {
	if len(m.Log) != 32 || len(m.State) != 32 || len(m.Control) != 32 || m.Seq >= o.seq {
		return Ignored
	}
	return Applied
}

func decidePolicyPublished(c *Control, _ *operator, m *event.PolicyPublishedV1) (Effect, error) {
	p, err := publishedPolicy(m)
	if err != nil {
		return 0, err
	}
	if _, known := c.sched.byPolicy[p.ID()]; known {
		return Repeated, nil
	}
	return Applied, nil
}

func applyPolicyPublished(c *Control, o *operator, m *event.PolicyPublishedV1) error {
	p, err := publishedPolicy(m)
	if err != nil {
		return err
	}
	c.sched.publish(PublishedRow{
		PolicyRow: PolicyRow{Seq: o.seq, ID: p.ID(), Policy: p},
		LogTime:   o.logTime,
		Source:    slices.Clone(m.Source),
		Op:        opOf(m.Op),
	})
	return nil
}

func publishedPolicy(m *event.PolicyPublishedV1) (verify.Policy, error) {
	p, err := verify.ParsePolicy(m.Policy)
	if err != nil {
		return p, fmt.Errorf("published policy: %w", err)
	}
	return p, nil
}

func decidePolicyApplied(c *Control, _ *operator, m *event.PolicyAppliedV1) Effect {
	if c.sched.policy(m.Policy) == nil {
		return Ignored
	}
	return Applied
}

// applyPolicyApplied appends the policy to the schedule of every generation.
func applyPolicyApplied(c *Control, o *operator, m *event.PolicyAppliedV1) {
	s := &c.sched
	s.applied = append(s.applied, applied{o.seq, o.logTime, opOf(m.Op)})
	for i := range s.generations {
		s.generations[i].Steps = append(s.generations[i].Steps,
			ScheduleEntry{FromSeq: o.seq, Policy: [32]byte(m.Policy)})
	}
}

// decideGenerationStarted requires a published policy and no other generation being built.
func decideGenerationStarted(c *Control, o *operator, m *event.GenerationStartedV1) Effect {
	if c.sched.policy(m.Policy) == nil || m.FromSeq > o.seq || m.Keys > KeysHindsight || c.sched.building() != nil {
		return Ignored
	}
	return Applied
}

// applyGenerationStarted creates the next generation: the schedule of the active one up to FromSeq, and the
// given policy from there on.
func applyGenerationStarted(c *Control, o *operator, m *event.GenerationStartedV1) {
	s := &c.sched
	from := max(m.FromSeq, 1)
	var steps []ScheduleEntry
	for _, step := range s.generation(s.active(o.seq)).Steps {
		if step.FromSeq < from {
			steps = append(steps, step)
		}
	}
	s.generations = append(s.generations, GenerationRow{
		Number:  uint32(len(s.generations) + 1),
		Seq:     o.seq,
		LogTime: o.logTime,
		Steps:   append(steps, ScheduleEntry{FromSeq: from, Policy: [32]byte(m.Policy)}),
		Keys:    m.Keys,
		Op:      opOf(m.Op),
	})
}

// decideGenerationActivated requires that the event names the active generation and that its flips were counted
// up to the last submission.
func decideGenerationActivated(c *Control, o *operator, m *event.GenerationActivatedV1) Effect {
	g := c.sched.generation(m.Generation)
	if !c.countedAll(m, o.seq) || g == nil || g.Dropped != 0 || m.From != c.sched.active(o.seq) ||
		m.Generation == m.From || m.Position >= o.seq || len(m.Diff) != 32 {
		return Ignored
	}
	return Applied
}

// countedAll reports whether the flips that an activation states are all flips: no submission came between the
// last event that was counted and the activation.
func (c *Control) countedAll(m *event.GenerationActivatedV1, seq uint64) bool {
	return m.CountedTo == 0 || m.CountedTo < seq && c.run <= m.CountedTo+1
}

// applyGenerationActivated switches the active generation. It keeps one previous generation and drops older
// ones.
func applyGenerationActivated(c *Control, o *operator, m *event.GenerationActivatedV1) {
	s := &c.sched
	for i := range s.generations {
		g := &s.generations[i]
		if g.Number != m.Generation && g.Number != m.From && g.Dropped == 0 && (len(g.Activated) > 0 || g.Number == 1) {
			g.Dropped = o.seq
		}
	}
	g := s.generation(m.Generation)
	g.Activated = append(g.Activated, o.seq)
	s.activations = append(s.activations, ActivationRow{
		Seq:        o.seq,
		Index:      o.index,
		LogTime:    o.logTime,
		Generation: m.Generation,
		From:       m.From,
		Position:   m.Position,
		CountedTo:  m.CountedTo,
		Diff:       [32]byte(m.Diff),
		Reporters:  m.Reporters,
		Absent:     m.Absent,
		Rollback:   m.Rollback,
		Op:         opOf(m.Op),
	})
}

func decideGenerationDropped(c *Control, o *operator, m *event.GenerationDroppedV1) Effect {
	if g := c.sched.generation(m.Generation); g == nil || g.Dropped != 0 || m.Generation == c.sched.active(o.seq) {
		return Ignored
	}
	return Applied
}

func applyGenerationDropped(c *Control, o *operator, m *event.GenerationDroppedV1) {
	c.sched.generation(m.Generation).Dropped = o.seq
}

func decideHistoryRecorded(c *Control, _ *operator, m *event.HistoryRecordedV1) Effect {
	switch a := c.sched.activationAt(m.Activation); {
	case a == nil || len(m.Digest) != 32:
		return Ignored
	case a.Recorded != nil:
		return Repeated
	}
	return Applied
}

func applyHistoryRecorded(c *Control, o *operator, m *event.HistoryRecordedV1) {
	c.sched.activationAt(m.Activation).Recorded = &HistoryRow{
		Seq:    o.seq,
		Flips:  m.Flips,
		Digest: [32]byte(m.Digest),
		Node:   m.Node,
	}
}
