package operator

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// startFactor times the size of the active generation is the free space that every member must have before a
// generation is started.
const startFactor = 2

// Generations starts, reviews, activates and drops generations.
type Generations struct {
	core      *core
	approvals *approvals
}

// StartGeneration begins a second fold after a look at the disks of all members.
func (gs *Generations) StartGeneration(ctx context.Context, r wire.GenerationRequest,
	meta api.Meta) (*wire.GenerationAnswer, error) {
	if err := gs.core.current(ctx); err != nil {
		return nil, err
	}
	row, ok := gs.core.published(r.Policy)
	if !ok {
		return nil, wire.NewProblem(wire.CodeNotFound, "no such policy is published: "+r.Policy).WithField("policy")
	}
	if err := gs.roomForGeneration(ctx); err != nil {
		return nil, err
	}
	m := &event.GenerationStartedV1{
		Policy:  row.ID[:],
		FromSeq: r.From,
		Keys:    gs.keysMode(r.Keys),
		Op:      gs.core.op(r.Op, meta),
	}
	seq, err := gs.core.commitOnce(ctx, event.GenerationStarted, m, gs.noStart(r.From))
	if err != nil {
		return nil, err
	}
	for _, g := range gs.core.control().Generations() {
		if g.Seq == seq {
			return gs.generationAnswer(g), nil
		}
	}
	return nil, opIDReused(r.OpID)
}

// keysMode returns the mode in which a new generation evaluates revoked keys: the requested one, or that of the
// active generation. Another default would bring back, with the next fix, the records that a recount removed after
// a leak.
func (gs *Generations) keysMode(text string) uint32 {
	switch text {
	case wire.KeysHindsight:
		return projections.KeysHindsight
	case wire.KeysAsOf:
		return projections.KeysAsOf
	}
	row, ok := gs.core.control().Generation(gs.core.Recounts.Active())
	if !ok {
		return projections.KeysAsOf
	}
	return row.Keys
}

// noStart returns the reason why a generation could not be started.
func (gs *Generations) noStart(from uint64) error {
	for _, g := range gs.core.control().Generations() {
		if gs.stateOf(g) == wire.GenerationBuilding {
			return stale("generation %d is being built; activate it or drop it first", g.Number)
		}
	}
	return stale("event %d, from which the policy should judge, is beyond the end of the log", from)
}

// roomForGeneration asks every member for its free disk space.
func (gs *Generations) roomForGeneration(ctx context.Context) error {
	for _, p := range gs.core.Recounts.Progress(ctx, gs.core.Recounts.Serving().Number(), 0) {
		need := startFactor*p.DiskBytes + gs.core.DiskReserve()
		if p.State == recount.StateUnreachable {
			continue
		}
		if p.DiskFree < need {
			return wire.NewProblem(wire.CodeDiskFull,
				fmt.Sprintf("%s has %d bytes free, another generation needs %d", p.Node, p.DiskFree, need))
		}
	}
	return nil
}

// generationAnswer describes a generation without asking the nodes.
func (gs *Generations) generationAnswer(g projections.GenerationRow) *wire.GenerationAnswer {
	control := gs.core.control()
	a := &wire.GenerationAnswer{
		Generation: g.Number,
		State:      gs.stateOf(g),
		StartedSeq: g.Seq,
		Activated:  append([]uint64{}, g.Activated...),
		Keys:       wire.KeysAsOf,
		Operation:  fmt.Sprintf("/v1/generations/%d", g.Number),
		Reason:     g.Op.Reason,
		Ticket:     g.Op.Ticket,
		Actor:      g.Op.Actor,
		Role:       g.Op.Role,
		Schedule:   []wire.ScheduleStep{},
	}
	if g.Keys == projections.KeysHindsight {
		a.Keys = wire.KeysHindsight
	}
	for _, s := range g.Steps {
		a.Schedule = append(a.Schedule, wire.ScheduleStep{FromSeq: s.FromSeq, Policy: hex.EncodeToString(s.Policy[:])})
	}
	if p, ok := control.For(g.Number).PolicyAt(math.MaxInt64); ok {
		a.Policy = hex.EncodeToString(p.ID[:])
	}
	return a
}

func (gs *Generations) stateOf(g projections.GenerationRow) string {
	switch {
	case g.Dropped != 0:
		return wire.GenerationDropped
	case g.Number == gs.core.Recounts.Active():
		return wire.GenerationActive
	case g.Number == 1 || len(g.Activated) > 0:
		return wire.GenerationPrevious
	}
	return wire.GenerationBuilding
}

// Generations lists all generations. It asks every node for its progress with those that are not active yet.
func (gs *Generations) Generations(ctx context.Context) (*wire.GenerationsPage, error) {
	seq := gs.core.head()
	page := &wire.GenerationsPage{
		Items:      []wire.GenerationAnswer{},
		Active:     gs.core.control().ActiveAfter(seq),
		AppliedSeq: seq,
	}
	for _, g := range gs.core.control().Generations() {
		a := gs.generationAnswer(g)
		if a.State == wire.GenerationBuilding {
			gs.askProgress(ctx, a, g)
			a.Nodes = nil
		}
		page.Items = append(page.Items, *a)
	}
	return page, nil
}

// Generation describes one generation and asks every node for its progress with it.
func (gs *Generations) Generation(ctx context.Context, number uint32) (*wire.GenerationAnswer, error) {
	row, ok := gs.core.control().Generation(number)
	if !ok {
		return nil, api.ErrNotFound
	}
	a := gs.generationAnswer(row)
	if row.Dropped == 0 {
		gs.askProgress(ctx, a, row)
	}
	return a, nil
}

// askProgress asks every node for its progress with a generation, and adds whether the generation is ready.
func (gs *Generations) askProgress(ctx context.Context, a *wire.GenerationAnswer, row projections.GenerationRow) {
	since := max(row.Seq, gs.core.control().LastActivation())
	first, least := gs.core.Recounts.Progress(ctx, row.Number, 0), uint64(math.MaxUint64)
	reachable := 0
	for _, p := range first {
		if p.State != recount.StateUnreachable {
			reachable++
			least = min(least, p.Compared)
			if p.Compared >= since && p.Committed-min(p.Compared, p.Committed) <= recount.Following {
				a.Reported++
			}
		}
	}
	a.Nodes = first
	if least > 0 && least != math.MaxUint64 {
		a.Nodes, a.Position = gs.core.Recounts.Progress(ctx, row.Number, least), least
		a.Agree, _, _ = recount.Agree(a.Nodes, len(gs.core.Voters()), func(p wire.NodeProgress) string {
			return p.DiffAt + p.StateAt
		})
	}
	if a.State == wire.GenerationBuilding && a.Agree && a.Reported == reachable && reachable > len(gs.core.Voters())/2 {
		a.State = wire.GenerationReady
	}
}

// comparison gives the comparison of a generation with the active one.
func (gs *Generations) comparison(number uint32) (*recount.Running, *fsm.Comparison, error) {
	row, ok := gs.core.control().Generation(number)
	if !ok {
		return nil, nil, api.ErrNotFound
	}
	r, _ := gs.core.Recounts.Get(number)
	active := gs.core.Recounts.Active()
	switch {
	case row.Dropped != 0:
		return nil, nil, stale("generation %d is dropped", number)
	case number == active:
		return nil, nil, stale("generation %d is the active one; there is nothing to compare it with", number)
	case r == nil:
		return nil, nil, wire.NewProblem(wire.CodeBehind,
			"this node has not begun to build this generation").WithRetry(retryAfter)
	}
	c := r.Comparison()
	if c == nil || c.Old() != active {
		return nil, nil, wire.NewProblem(wire.CodeBehind,
			"this node has not begun to compare this generation").WithRetry(retryAfter)
	}
	return r, c, nil
}

func flipAnswer(f *projections.Flip) wire.Flip {
	cause := "indirect"
	if f.Direct {
		cause = "direct"
	}
	return wire.Flip{
		Seq:         f.Seq,
		PCSID:       f.New.PCSID,
		ShardID:     f.New.ShardID,
		Epoch:       f.New.Epoch,
		KeyID:       f.New.KeyID,
		Cause:       cause,
		CausedBySeq: f.CausedBySeq,
		Old:         flipSide(&f.Old),
		New:         flipSide(&f.New),
	}
}

func flipSide(r *projections.Result) wire.FlipSide {
	return wire.FlipSide{
		Outcome:     r.Outcome.String(),
		Accepted:    r.Accepted,
		ReasonCode:  r.ReasonCode(),
		Policy:      hex.EncodeToString(r.Policy[:]),
		Replayed:    r.Replayed,
		CausedBySeq: r.CausedBySeq,
	}
}

// DropGeneration deletes a generation that is not active.
func (gs *Generations) DropGeneration(ctx context.Context, number uint32, a wire.Op,
	meta api.Meta) (*wire.DropAnswer, error) {
	if err := gs.core.current(ctx); err != nil {
		return nil, err
	}
	if _, ok := gs.core.control().Generation(number); !ok {
		return nil, api.ErrNotFound
	}
	m := &event.GenerationDroppedV1{Generation: number, Op: gs.core.op(a, meta)}
	seq, err := gs.core.commitOnce(ctx, event.GenerationDropped, m,
		stale("generation %d is active or dropped already", number))
	if err != nil {
		return nil, err
	}
	return &wire.DropAnswer{Generation: number, Seq: seq}, nil
}
