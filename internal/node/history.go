package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// neededByHistory are the generations of activations whose flips are not recorded here yet.
func (n *Node) neededByHistory() map[uint32]bool {
	out := map[uint32]bool{}
	for _, a := range n.derived.Control().Activations() {
		if _, ok, err := n.history.Change(a.Seq); err == nil && !ok {
			out[a.Generation], out[a.From] = true, true
		}
	}
	return out
}

// compareLoop compares a generation with the one that answers, as long as it does not answer itself, and records what
// changed when it is activated.
func (n *Node) compareLoop(ctx context.Context, r *running) error {
	control := n.derived.Control()
	for {
		seen, _ := control.Digest()
		if a, ok, err := n.unrecorded(r.Number()); err != nil {
			return err
		} else if ok {
			if err := n.record(ctx, r, a); err != nil {
				return err
			}
			continue
		}
		active, since := control.Active()
		if active == r.Number() {
			if err := n.derived.WaitControl(ctx, seen); err != nil {
				return err
			}
			continue
		}
		if err := n.compareWith(ctx, r, active, since); err != nil {
			return err
		}
	}
}

// unrecorded is the first activation of a generation whose flips are not recorded on this node.
func (n *Node) unrecorded(number uint32) (projections.ActivationRow, bool, error) {
	for _, a := range n.derived.Control().Activations() {
		if a.Generation != number {
			continue
		}
		if _, ok, err := n.changeAt(a.Seq); err != nil || !ok {
			return a, err == nil, err
		}
	}
	return projections.ActivationRow{}, false, nil
}

// changeAt reads what is recorded of an activation. A damaged record quarantines this node; it counts as recorded.
func (n *Node) changeAt(seq uint64) (fsm.Change, bool, error) {
	c, ok, err := n.history.Change(seq)
	if n.historyLost() {
		return c, true, nil
	}
	return c, ok, err
}

// recordedOf reads what is recorded of a pcs_id.
func (n *Node) recordedOf(pcsID string) ([]fsm.Recorded, error) {
	recorded, err := n.history.Of(pcsID, historyLimit)
	n.historyLost()
	return recorded, err
}

// compareWith compares with the generation that is active since an activation until there is another one.
func (n *Node) compareWith(ctx context.Context, r *running, active uint32, since uint64) error {
	old, err := n.gens.await(ctx, active)
	if err != nil {
		return err
	}
	c, err := fsm.NewComparison(old.Generation, r.Generation, n.derived)
	if err != nil {
		return err
	}
	r.diff.Store(c)
	n.gens.notify()
	turn, cancel := n.untilNextActivation(ctx, since)
	defer cancel()
	err = c.Run(turn, 0, func(ctx context.Context) error { return n.rest(ctx, r, &r.comparing) })
	if ctx.Err() == nil && (turn.Err() != nil && errors.Is(err, context.Canceled) || errors.Is(err, fsm.ErrDropped)) {
		return nil // another one is active now, and the one compared with may be gone
	}
	return err
}

// record writes down what changed at an activation.
func (n *Node) record(ctx context.Context, r *running, a projections.ActivationRow) error {
	old, err := n.gens.await(ctx, a.From)
	if err != nil {
		return err
	}
	c, err := fsm.NewComparison(old.Generation, r.Generation, n.derived)
	if err != nil {
		return err
	}
	r.diff.Store(c)
	if err := c.Run(ctx, a.Seq, func(context.Context) error { return nil }); errors.Is(err, fsm.ErrDropped) {
		return nil // the earlier one is folded again; the next turn waits for it
	} else if err != nil {
		return err
	}
	sum, err := n.history.Record(c, a.Seq)
	if n.historyLost() {
		<-ctx.Done()
		return ctx.Err()
	}
	if errors.Is(err, projections.ErrCorrupt) {
		n.enterQuarantine(fmt.Sprintf("what changed at the activation at %d cannot be recorded: %v; delete derived/ and generations/", a.Seq, err))
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("record the activation at %d: %w", a.Seq, err)
	}
	n.log.Info("recorded what changed at an activation", "activation", a.Seq, "flips", sum.Flips)
	n.gens.notify()
	return nil
}

// checkHistory logs what this leader has recorded and the log does not say yet, when a majority of the voters has recorded the
// same, and has the voters compared when the log says otherwise than this node.
func (n *Node) checkHistory(ctx context.Context, leads bool) error {
	for _, a := range n.derived.Control().Activations() {
		own, ok, err := n.changeAt(a.Seq)
		if err != nil || !ok || n.quarantine.Load() != nil {
			return err
		}
		switch {
		case a.Recorded == nil && leads && n.withheld() == nil:
			if err := n.logHistory(ctx, own); err != nil {
				return err
			}
		case a.Recorded != nil && (a.Recorded.Flips != own.Flips || a.Recorded.Digest != own.Digest) && !n.askedHistory[a.Seq]:
			n.log.Error("what changed at an activation is recorded otherwise in the log", "activation", a.Seq, "logged_by", a.Recorded.Node)
			logged := changeBytes(fsm.Change{Flips: a.Recorded.Flips, Digest: a.Recorded.Digest})
			n.askedHistory[a.Seq] = n.doubts.Raise(agreement.Question{About: agreement.History, Seq: a.Seq, Logged: string(logged), Carrier: a.Recorded.Seq})
		}
	}
	return nil
}

// logHistory logs what changed at an activation once a majority has the same. A single contrary record, while others have
// none yet, stops nothing: they decide when they have one.
func (n *Node) logHistory(ctx context.Context, own fsm.Change) error {
	ask, cancel := context.WithTimeout(ctx, agreement.AskTimeout)
	defer cancel()
	mine := changeBytes(own)
	q := agreement.Question{About: agreement.History, Seq: own.Seq}
	votes := n.voters.Poll(ask, q, string(mine))
	if len(votes.By[string(mine)]) < n.voters.Majority() {
		if votes.Decide(string(mine), len(n.cfg.Voters)) {
			n.doubts.Raise(q)
		}
		return nil // not recorded everywhere yet; this is tried again
	}
	m := &event.HistoryRecordedV1{Activation: own.Seq, Flips: own.Flips, Digest: own.Digest[:], Node: n.cfg.NodeID}
	index, err := n.proposeNow(ctx, event.HistoryRecorded, m)
	if err != nil {
		return err
	}
	return n.derived.WaitIndex(ctx, index)
}

func changeBytes(c fsm.Change) []byte {
	return append(binary.BigEndian.AppendUint64(nil, c.Flips), c.Digest[:]...)
}

// historyLimit bounds the flips that one answer shows.
const historyLimit = 1000

// historyOf is what was said of a pcs_id: a pair of entries for every flip, or what stands when nothing ever flipped.
func (n *Node) historyOf(pcsID string, standing *projections.Result) ([]wire.HistoryEntry, error) {
	recorded, err := n.recordedOf(pcsID)
	if err != nil {
		return nil, err
	}
	out := []wire.HistoryEntry{}
	acts := map[uint64]projections.ActivationRow{}
	for _, a := range n.derived.Control().Activations() {
		acts[a.Seq] = a
	}
	add := func(generation uint32, r *projections.Result, from uint64) {
		e := wire.HistoryEntry{Generation: generation, Policy: hex.EncodeToString(r.Policy[:]), Outcome: r.Outcome.String(), Accepted: r.Accepted,
			ReasonCode: r.ReasonCode(), Seq: r.Seq, FromSeq: from}
		if !slices.ContainsFunc(out, func(x wire.HistoryEntry) bool { return x.Seq == e.Seq && x.FromSeq == e.FromSeq }) {
			out = append(out, e)
		}
	}
	for _, x := range recorded {
		a := acts[x.Activation]
		add(a.From, &x.Flip.Old, x.Flip.Seq)
		add(a.Generation, &x.Flip.New, x.Activation)
	}
	if len(recorded) == 0 && standing != nil {
		add(n.live().Number(), standing, standing.Seq)
	}
	slices.SortStableFunc(out, func(a, b wire.HistoryEntry) int {
		return cmp.Or(cmp.Compare(a.FromSeq, b.FromSeq), cmp.Compare(a.Seq, b.Seq))
	})
	return out, nil
}

// answerHistory answers number and digest of the flips of an activation, nothing while they are not recorded here.
func (n *Node) answerHistory(_ context.Context, _ string, body []byte) ([]byte, error) {
	q, err := agreement.ParseRequest(agreement.History, body)
	if err != nil {
		return nil, err
	}
	c, ok, err := n.history.Change(q.Seq)
	n.historyLost()
	if err != nil || !ok {
		return nil, err
	}
	return changeBytes(c), nil
}
