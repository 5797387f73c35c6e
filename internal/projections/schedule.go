package projections

import (
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// The modes in which a generation evaluates keys. Values are persisted and must never be renumbered.
const (
	KeysAsOf      = 0 // the status of a key at each event
	KeysHindsight = 1 // for events up to the start of the generation, also the revocations known at that start
)

// Op identifies the actor of an operation and its reason.
type Op struct{ ID, Actor, Reason, Ticket, RequestID, Node, Role, Credential string }

// PublishedRow is a published policy and the event that published it.
type PublishedRow struct {
	PolicyRow
	LogTime int64
	Source  []byte // the text as published
	Op      Op
}

// Step names the policy that judges from an event on.
type Step struct {
	FromSeq uint64
	Policy  [32]byte
}

// GenerationRow is one generation as of the last operator's event folded.
type GenerationRow struct {
	Number    uint32
	Seq       uint64 // event that started it; that of the genesis for the first
	LogTime   int64
	Steps     []Step // ascending; the first begins at 1
	Keys      uint32 // KeysAsOf or KeysHindsight
	Activated []uint64
	Dropped   uint64 // event that dropped it, 0 while it is kept
	Op        Op
}

// ActivationRow is a switch from one generation to another. Generation answers events after Seq.
type ActivationRow struct {
	Seq              uint64
	Index            uint64 // its Raft entry, 0 if it was folded by an earlier run
	LogTime          int64
	Generation, From uint32
	Position         uint64
	Diff             [32]byte
	Reporters        []string
	Absent           []string
	Rollback         bool
	Op               Op
	Recorded         *HistoryRow // what the log records of its flips, nil before that was logged
}

// HistoryRow is the logged digest of what changed at an activation.
type HistoryRow struct {
	Seq, Flips uint64
	Digest     [32]byte
	Node       string
}

// schedules is the part of the control state about policies and generations in force.
type schedules struct {
	published   []PublishedRow // ascending seq
	byPolicy    map[[32]byte]int
	generations []GenerationRow // by number
	activations []ActivationRow // ascending seq
	applied     []applied       // ascending seq
	ops         map[string]uint64
}

func newSchedules() schedules {
	return schedules{byPolicy: map[[32]byte]int{}, ops: map[string]uint64{}}
}

func opOf(m *event.OpV1) Op {
	return Op{
		ID:         m.GetOpId(),
		Actor:      m.GetActor(),
		Reason:     m.GetReason(),
		Ticket:     m.GetTicket(),
		RequestID:  m.GetRequestId(),
		Node:       m.GetNode(),
		Role:       m.GetRole(),
		Credential: m.GetCredential(),
	}
}

// opCarrier is a message that names its actor.
type opCarrier interface{ GetOp() *event.OpV1 }

// active returns the active generation after event seq.
func (s *schedules) active(seq uint64) uint32 {
	for i := len(s.activations) - 1; i >= 0; i-- {
		if s.activations[i].Seq <= seq {
			return s.activations[i].Generation
		}
	}
	return 1
}

func (s *schedules) generation(number uint32) *GenerationRow {
	if number == 0 || int(number) > len(s.generations) {
		return nil
	}
	return &s.generations[number-1]
}

// building returns the generation that was never active and is not dropped, or nil.
func (s *schedules) building() *GenerationRow {
	for i := range s.generations[min(1, len(s.generations)):] {
		if g := &s.generations[i+1]; g.Dropped == 0 && len(g.Activated) == 0 {
			return g
		}
	}
	return nil
}

// repeats reports whether the op_id of an operation was used before.
func (s *schedules) repeats(o *operator) bool {
	c, ok := o.msg.(opCarrier)
	if !ok {
		return false
	}
	id := c.GetOp().GetOpId()
	return id != "" && s.ops[id] != 0
}

// effectOf decides the effect of an operation. Every node ignores operations that do not fit the state.
func (s *schedules) effectOf(o *operator) (Effect, error) {
	switch m := o.msg.(type) {
	case *event.PolicyPublishedV1:
		p, err := verify.ParsePolicy(m.Policy)
		if err != nil {
			return 0, fmt.Errorf("published policy: %w", err)
		}
		if _, known := s.byPolicy[p.ID()]; known {
			return Repeated, nil
		}
	case *event.PolicyAppliedV1:
		if s.policy(m.Policy) == nil {
			return Ignored, nil
		}
	case *event.GenerationStartedV1:
		if s.policy(m.Policy) == nil || m.FromSeq > o.seq || m.Keys > KeysHindsight || s.building() != nil {
			return Ignored, nil
		}
	case *event.GenerationActivatedV1:
		g := s.generation(m.Generation)
		if g == nil || g.Dropped != 0 || m.From != s.active(o.seq) || m.Generation == m.From ||
			m.Position >= o.seq || len(m.Diff) != 32 {
			return Ignored, nil
		}
	case *event.GenerationDroppedV1:
		if g := s.generation(m.Generation); g == nil || g.Dropped != 0 || m.Generation == s.active(o.seq) {
			return Ignored, nil
		}
	case *event.HistoryRecordedV1:
		if a := s.activationAt(m.Activation); a == nil || len(m.Digest) != 32 {
			return Ignored, nil
		} else if a.Recorded != nil {
			return Repeated, nil
		}
	}
	return Applied, nil
}

func (s *schedules) policy(id []byte) *PublishedRow {
	if len(id) != 32 {
		return nil
	}
	i, ok := s.byPolicy[[32]byte(id)]
	if !ok {
		return nil
	}
	return &s.published[i]
}

func (s *schedules) activationAt(seq uint64) *ActivationRow {
	i := slices.IndexFunc(s.activations, func(a ActivationRow) bool { return a.Seq == seq })
	if i < 0 {
		return nil
	}
	return &s.activations[i]
}

// applyAct updates the state in memory with an applied operation.
func (s *schedules) applyAct(o *operator) error {
	if c, ok := o.msg.(opCarrier); ok && c.GetOp().GetOpId() != "" {
		s.ops[c.GetOp().GetOpId()] = o.seq
	}
	switch m := o.msg.(type) {
	case *event.PolicyPublishedV1:
		p, err := verify.ParsePolicy(m.Policy)
		if err != nil {
			return fmt.Errorf("published policy: %w", err)
		}
		s.publish(PublishedRow{PolicyRow: PolicyRow{Seq: o.seq, ID: p.ID(), Policy: p}, LogTime: o.logTime,
			Source: slices.Clone(m.Source), Op: opOf(m.Op)})
	case *event.PolicyAppliedV1:
		s.applied = append(s.applied, applied{o.seq, o.logTime, opOf(m.Op)})
		for i := range s.generations {
			s.generations[i].Steps = append(s.generations[i].Steps, Step{FromSeq: o.seq, Policy: [32]byte(m.Policy)})
		}
	case *event.GenerationStartedV1:
		s.start(o, m)
	case *event.GenerationActivatedV1:
		s.activate(o, m)
	case *event.GenerationDroppedV1:
		s.generation(m.Generation).Dropped = o.seq
	case *event.HistoryRecordedV1:
		s.activationAt(m.Activation).Recorded = &HistoryRow{
			Seq:    o.seq,
			Flips:  m.Flips,
			Digest: [32]byte(m.Digest),
			Node:   m.Node,
		}
	}
	return nil
}

func (s *schedules) publish(p PublishedRow) {
	s.byPolicy[p.ID] = len(s.published)
	s.published = append(s.published, p)
}

// genesis creates the first policy and the first generation.
func (s *schedules) genesis(p PolicyRow, source []byte, logTime int64) {
	s.publish(PublishedRow{PolicyRow: p, LogTime: logTime, Source: source})
	s.generations = []GenerationRow{{
		Number:  1,
		Seq:     p.Seq,
		LogTime: logTime,
		Steps:   []Step{{FromSeq: 1, Policy: p.ID}},
	}}
}

// start creates the next generation: the schedule of the active one up to FromSeq, and the given policy from
// there on.
func (s *schedules) start(o *operator, m *event.GenerationStartedV1) {
	from := max(m.FromSeq, 1)
	var steps []Step
	for _, step := range s.generation(s.active(o.seq)).Steps {
		if step.FromSeq < from {
			steps = append(steps, step)
		}
	}
	steps = append(steps, Step{FromSeq: from, Policy: [32]byte(m.Policy)})
	s.generations = append(s.generations,
		GenerationRow{Number: uint32(len(s.generations) + 1), Seq: o.seq, LogTime: o.logTime,
			Steps: steps, Keys: m.Keys, Op: opOf(m.Op)})
}

// activate switches the active generation. It keeps one previous generation and drops older ones.
func (s *schedules) activate(o *operator, m *event.GenerationActivatedV1) {
	for i := range s.generations {
		g := &s.generations[i]
		if g.Number != m.Generation && g.Number != m.From && g.Dropped == 0 && (len(g.Activated) > 0 || g.Number == 1) {
			g.Dropped = o.seq
		}
	}
	g := s.generation(m.Generation)
	g.Activated = append(g.Activated, o.seq)
	s.activations = append(s.activations,
		ActivationRow{Seq: o.seq, Index: o.index, LogTime: o.logTime, Generation: m.Generation,
			From:      m.From,
			Position:  m.Position,
			Diff:      [32]byte(m.Diff),
			Reporters: m.Reporters,
			Absent:    m.Absent,
			Rollback:  m.Rollback,
			Op:        opOf(m.Op),
		})
}

// policyAt returns the policy under which a generation judges event seq.
func (s *schedules) policyAt(number uint32, seq uint64) (PolicyRow, bool) {
	g := s.generation(number)
	if g == nil {
		return PolicyRow{}, false
	}
	for i := len(g.Steps) - 1; i >= 0; i-- {
		if g.Steps[i].FromSeq <= seq {
			p := s.policy(g.Steps[i].Policy[:])
			return p.PolicyRow, true
		}
	}
	return PolicyRow{}, false
}

// generationView is the control state as one generation sees it.
type generationView struct {
	c      *Control
	number uint32
}

// For returns the control state as one generation sees it.
func (c *Control) For(number uint32) ControlView { return generationView{c, number} }

func (v generationView) PolicyAt(seq uint64) (PolicyRow, bool) {
	v.c.mu.RLock()
	defer v.c.mu.RUnlock()
	if v.c.genesis == nil || seq < v.c.genesis.Seq {
		return PolicyRow{}, false
	}
	return v.c.sched.policyAt(v.number, seq)
}

// Policies lists the published policies, oldest first.
func (c *Control) Policies() []PublishedRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.sched.published)
}

// Published returns a policy by its id.
func (c *Control) Published(id [32]byte) (PublishedRow, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.sched.policy(id[:])
	if p == nil {
		return PublishedRow{}, false
	}
	return *p, true
}

// Generations lists the generations by number.
func (c *Control) Generations() []GenerationRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := slices.Clone(c.sched.generations)
	for i := range out {
		out[i].Steps, out[i].Activated = slices.Clone(out[i].Steps), slices.Clone(out[i].Activated)
	}
	return out
}

// Active returns the active generation and the event that activated it, 0 for the first generation. The
// persisted state may lag by one event.
func (c *Control) Active() (number uint32, since uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if i := len(c.sched.activations) - 1; i >= 0 {
		since = c.sched.activations[i].Seq
	}
	return c.sched.active(since), since
}

// ActiveAfter returns the active generation for events after seq, as far as events are folded.
func (c *Control) ActiveAfter(seq uint64) uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sched.active(seq)
}

// AnswersEntry returns the active generation for the events of a Raft entry that this process has seen
// committed.
func (c *Control) AnswersEntry(index uint64) uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := len(c.sched.activations) - 1; i >= 0; i-- {
		if a := &c.sched.activations[i]; a.Index < index {
			return a.Generation
		}
	}
	return 1
}

// Activations lists the switches, oldest first.
func (c *Control) Activations() []ActivationRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.sched.activations)
}

// LastActivation returns the event that activated the active generation, or 0 if there was no activation.
func (c *Control) LastActivation() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if n := len(c.sched.activations); n > 0 {
		return c.sched.activations[n-1].Seq
	}
	return 0
}

// OpSeq returns the first event with an op_id, or 0.
func (c *Control) OpSeq(id string) uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sched.ops[id]
}
