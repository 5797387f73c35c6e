package fsm

import (
	"context"
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
)

// Observer receives what the node has to act on. Its functions run outside the fold.
type Observer struct {
	// Mismatch is called if the recorded signature facts of an event differ from those that this node's own
	// keys give.
	Mismatch func(seq uint64)
	// Digest is called after a logged digest of this generation was folded. agrees reports whether this node's
	// own log root, state digest and control digest after the event that the logged digest names are equal to
	// it. Digest is called again if the event is folded again.
	Digest func(logged projections.DigestRow, agrees bool)
	// Event is called after a submission was folded.
	Event func(projections.Result)
	// Pace is called after every batch. It may wait, and its error ends the fold.
	Pace func(ctx context.Context, generation uint32) error
	// Failed receives what OpenStore reports: damage, and ErrUnwritten, which must end the process.
	Failed func(error)
}

// observeAll calls the observer. It runs after the batch is committed and does not affect the fold.
func (g *Generation) observeAll(items []projections.Item, results []projections.Result) error {
	for i := range items {
		if err := g.observe(&items[i], results[i]); err != nil {
			return fmt.Errorf("event %d: %w", items[i].Seq, err)
		}
	}
	return nil
}

func (g *Generation) observe(it *projections.Item, r projections.Result) error {
	switch it.Kind {
	case event.Submission:
		if r.FactsMismatch && g.obs.Mismatch != nil {
			g.obs.Mismatch(it.Seq)
		}
		if g.obs.Event != nil {
			g.obs.Event(r)
		}
	case event.StateDigest:
		if g.obs.Digest != nil {
			return g.compare(it)
		}
	}
	return nil
}

// compare compares a logged digest with this node's own. It ignores a digest that is malformed, covers later
// events or belongs to another generation.
func (g *Generation) compare(it *projections.Item) error {
	_, msg, err := it.Event.Message()
	if err != nil {
		return err
	}
	m, ok := msg.(*event.StateDigestV1)
	if !ok || len(m.Log) != 32 || len(m.State) != 32 || len(m.Control) != 32 || m.Seq >= it.Seq ||
		m.Generation != g.number {
		return nil
	}
	logged := projections.DigestRow{
		Seq:        it.Seq,
		LogTime:    it.LogTime,
		At:         m.Seq,
		Log:        [32]byte(m.Log),
		State:      [32]byte(m.State),
		Control:    [32]byte(m.Control),
		Generation: m.Generation,
	}
	root, err := g.derived.Root(m.Seq)
	if err != nil {
		return fmt.Errorf("compare digests: %w", err)
	}
	control, err := g.derived.ControlDigest(m.Seq)
	if err != nil {
		return fmt.Errorf("compare digests: %w", err)
	}
	state, err := g.stateDigest(m.Seq)
	if err != nil {
		return fmt.Errorf("compare digests: %w", err)
	}
	g.obs.Digest(logged, root == logged.Log && control == logged.Control && state == logged.State)
	return nil
}

func (g *Generation) stateDigest(seq uint64) ([32]byte, error) {
	v := g.View() // the other generation may be dropped meanwhile
	defer v.Close()
	return projections.DigestAt(v, seq)
}
