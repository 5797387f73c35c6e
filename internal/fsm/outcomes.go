package fsm

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
)

// outcomesHeld is the number of outcomes that stay in memory. Callers ask for those of their own entry as soon as it is
// committed, when the fold has at most come a few packs further.
const outcomesHeld = 4096

// recentOutcomes holds the outcomes of the last entries that a generation has folded since it was opened.
type recentOutcomes struct {
	byEntry map[uint64][]projections.Result
	order   []uint64 // the entries, oldest first
	held    int      // outcomes
}

// push adds the outcomes of an entry and drops the oldest ones beyond outcomesHeld. The newest entry stays in any case.
func (r *recentOutcomes) push(index uint64, results []projections.Result) {
	if r.byEntry == nil {
		r.byEntry = map[uint64][]projections.Result{}
	}
	r.byEntry[index] = results
	r.order = append(r.order, index)
	r.held += len(results)
	for len(r.order) > 1 && r.held > outcomesHeld {
		r.held -= len(r.byEntry[r.order[0]])
		delete(r.byEntry, r.order[0])
		r.order = r.order[1:]
	}
}

// Outcomes waits until entry index is folded and returns one outcome per event, zero for operators' events. It reads them
// from the rows if they are no longer in memory. Then the fields are missing that no row has.
func (g *Generation) Outcomes(ctx context.Context, index uint64) ([]projections.Result, error) {
	if err := g.pos.waitIndex(ctx, index); err != nil {
		return nil, err
	}
	g.mu.Lock()
	out, ok := g.recent.byEntry[index]
	g.mu.Unlock()
	if ok {
		return out, nil
	}
	return g.outcomesOf(index)
}

// outcomesOf reads the outcomes of a folded entry from the rows.
func (g *Generation) outcomesOf(index uint64) ([]projections.Result, error) {
	e, err := g.src.Entry(index)
	if err != nil || e.Type != raft.LogCommand {
		return nil, err
	}
	pack, err := event.DecodePack(e.Data)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	first, err := g.derived.SeqOf(index)
	if err != nil {
		return nil, err
	}
	v := g.View()
	defer v.Close()
	out := make([]projections.Result, len(pack.Events))
	for i, ev := range pack.Events {
		if ev.Kind != event.Submission {
			continue
		}
		if out[i], err = projections.Row(v, first+uint64(i)); err != nil {
			return nil, err
		}
		if out[i].Generation = g.number; out[i].First != nil {
			out[i].First.Generation = g.number
		}
	}
	return out, nil
}
