package projections

import (
	"slices"

	"github.com/recount-ledger/recount/internal/event"
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

// ScheduleEntry names the policy that judges from an event on.
type ScheduleEntry struct {
	FromSeq uint64
	Policy  [32]byte
}

// GenerationRow is one generation as of the last operator's event folded.
type GenerationRow struct {
	Number    uint32
	Seq       uint64 // event that started it; that of the genesis for the first
	LogTime   int64
	Steps     []ScheduleEntry // ascending; the first begins at 1
	Keys      uint32          // KeysAsOf or KeysHindsight
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
	CountedTo        uint64 // last event whose flips were counted and bounded, 0 without a bound
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
		Steps:   []ScheduleEntry{{FromSeq: 1, Policy: p.ID}},
	}}
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
	out := make([]GenerationRow, len(c.sched.generations))
	for i := range out {
		out[i] = c.sched.generations[i].clone()
	}
	return out
}

// Generation returns one generation, also one that is dropped.
func (c *Control) Generation(number uint32) (row GenerationRow, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.sched.generation(number)
	if g == nil {
		return GenerationRow{}, false
	}
	return g.clone(), true
}

// clone returns a row that later folds do not change.
func (g GenerationRow) clone() GenerationRow {
	g.Steps, g.Activated = slices.Clone(g.Steps), slices.Clone(g.Activated)
	return g
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
