package reads

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// view answers the reads of one request from one generation. It holds no snapshot: each read sees what is folded
// when it begins, at least up to the position of the view.
type view struct {
	state State
	gens  Generations
	// withheld returns the reason why the node answers no client, nil for none
	withheld func() *wire.Problem
	of       *recount.Running // the generation that is read
	at       api.Position
}

// Position returns the last event that the serving generation has folded, and the generation that was active after it,
// without waiting. It implements api.Views.
func (vs *Views) Position() api.Position {
	at := positionOf(vs.Generations.Serving())
	at.Generation = vs.State.Control().ActiveAfter(at.AppliedSeq)
	return at
}

// View returns a view that is as fresh as r asks. It implements api.Views.
func (vs *Views) View(ctx context.Context, r api.Read) (api.View, error) {
	if err := vs.wait(ctx, r); err != nil {
		return nil, err
	}
	of, at, err := vs.open(ctx, r)
	if err != nil {
		return nil, err
	}
	v := &view{state: vs.State, gens: vs.Generations, withheld: vs.Withheld, of: of, at: at}
	if err := v.Answers(); err != nil { // a reason may have come during the wait
		return nil, err
	}
	return v, nil
}

// open returns the generation that a read is about, and its position. One that is not active has folded what the active
// one has: it may be behind after a damage, and a list that goes on in it would end early.
func (vs *Views) open(ctx context.Context, r api.Read) (*recount.Running, api.Position, error) {
	if r.Generation == 0 {
		return vs.settle(ctx, r.MinSeq)
	}
	of, _ := vs.Generations.Get(r.Generation)
	if of == nil {
		return nil, api.Position{}, gone(vs.State, r.Generation)
	}
	err := of.WaitSeq(ctx, max(r.MinSeq, vs.Generations.Serving().Cursor().Seq))
	if errors.Is(err, fsm.ErrDropped) {
		err = gone(vs.State, r.Generation)
	}
	return of, positionOf(of), err
}

// settle returns the active generation at a position where it is the active one. The generation of before may have
// folded the event that replaced it, because it goes on, and a damaged one is folded again from the first event. Then
// settle waits for the generation that is active there. Each turn takes another activation or another damage.
func (vs *Views) settle(ctx context.Context, seq uint64) (*recount.Running, api.Position, error) {
	for {
		of := vs.Generations.Serving()
		at := positionOf(of)
		if at.AppliedSeq >= seq && vs.settled(at) {
			return of, at, nil
		}
		seq = max(seq, at.AppliedSeq)
		if err := vs.Generations.WaitSeq(ctx, seq); err != nil {
			return nil, at, err
		}
	}
}

// settled reports that a generation is the active one at its own position, and that it is not folded again. The control
// state is never behind a generation, so it has every activation up to there.
func (vs *Views) settled(at api.Position) bool {
	control := vs.State.Control()
	if control.ActiveAfter(at.AppliedSeq) != at.Generation {
		return false
	}
	active, _ := control.Active()
	return at.Generation != active || !vs.Generations.Switching()
}

// wait returns once the active generation is as fresh as r asks.
func (vs *Views) wait(ctx context.Context, r api.Read) error {
	if p := vs.Withheld(); p != nil {
		return p
	}
	if !r.Switches && vs.Generations.Switching() {
		return wire.NewProblem(wire.CodeNotReady,
			"this node is switching to another generation; ask another one").WithRetry(retryAfter)
	}
	later := r.AsOfTime != 0 && r.AsOfTime > vs.Generations.Serving().Cursor().LogTime
	if later || r.Consistency == wire.ConsistencyLinearizable {
		if err := vs.Confirm(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			detail := "the read could not be confirmed by a quorum"
			if later {
				detail += ": as_of is later than the newest event that this node has, and others may have newer ones"
			}
			return wire.NewProblem(wire.CodeNoLeader, detail).WithRetry(retryAfter)
		}
	}
	return vs.Generations.WaitSeq(ctx, r.MinSeq)
}

// Answers returns the reason why the node answers no client as an error, nil for none. Lists ask for it before each of
// their batches.
func (v *view) Answers() error {
	if p := v.withheld(); p != nil {
		return p
	}
	return nil
}

func positionOf(r *recount.Running) api.Position {
	return api.Position{AppliedSeq: r.Cursor().Seq, Generation: r.Number()}
}

// gone returns the reason why a generation is not open here: the log has dropped it, or it is folded again.
func gone(state State, number uint32) error {
	if g, ok := state.Control().Generation(number); ok && g.Dropped == 0 {
		return ErrRefolded
	}
	replaced := &api.Replaced{Generation: number}
	for _, a := range state.Control().Activations() {
		if a.From == number {
			replaced.LastSeq = a.Seq - 1
		}
		replaced.Active = a.Generation
	}
	return replaced
}

// orGone replaces the error of rows that are closed by the reason why they are.
func (v *view) orGone(err error) error {
	if errors.Is(err, fsm.ErrDropped) {
		return gone(v.state, v.at.Generation)
	}
	return err
}

// Position returns the position of the view.
func (v *view) Position() api.Position { return v.at }

// Digest returns the digests at seq, 0 for the folded head, and the edge of the log tree if asked for.
func (v *view) Digest(_ context.Context, seq uint64, edge bool) (*wire.DigestAnswer, error) {
	head := v.of.Cursor().Seq
	if seq == 0 {
		seq = head
	}
	if seq > head {
		return nil, api.ErrNotFound
	}
	d, err := v.state.DigestsAt(v.of.Generation, seq)
	if err != nil {
		return nil, err
	}
	a := &wire.DigestAnswer{
		Seq:        seq,
		Log:        hex.EncodeToString(d.Log[:]),
		State:      hex.EncodeToString(d.State[:]),
		Generation: v.at.Generation,
		Control:    hex.EncodeToString(d.Control[:]),
	}
	if !edge {
		return a, nil
	}
	subtrees, err := v.state.Edge(seq)
	for _, h := range subtrees {
		a.Edge = append(a.Edge, hex.EncodeToString(h[:]))
	}
	return a, err
}
