package intake

import (
	"context"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/propose"
)

// reportPause lies between two sums of refusals in the log.
const reportPause = time.Second

// refusals counts the refused submissions that were not logged because the budget was used up.
type refusals struct {
	node string

	mu          sync.Mutex
	from, to    int64 // Unix nanoseconds
	count, size uint64
}

func newRefusals(node string) *refusals { return &refusals{node: node} }

func (r *refusals) add(now int64, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		r.from = now
	}
	r.to = now
	r.count++
	r.size += uint64(size)
}

// take returns the sum so far and starts a new one. It returns nil when nothing was refused.
func (r *refusals) take() *event.RefusalsDroppedV1 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		return nil
	}
	out := &event.RefusalsDroppedV1{Node: r.node, From: r.from, To: r.to, Count: r.count, Bytes: r.size}
	r.count, r.size = 0, 0
	return out
}

func (r *refusals) putBack(m *event.RefusalsDroppedV1) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		r.to = m.To
	}
	r.from = m.From
	r.count += m.Count
	r.size += m.Bytes
}

// ReportRefusals logs the sums of the refusals that were not logged, until ctx ends. A flood of forgeries is
// visible without filling the log.
func (in *Intake) ReportRefusals(ctx context.Context) error {
	for {
		if err := pause.For(ctx, reportPause); err != nil {
			return err
		}
		m := in.drops.take()
		if m == nil {
			continue
		}
		ev, err := propose.NewEvent(event.RefusalsDropped, m)
		if err == nil {
			_, err = in.o.Log.SubmitAlone(ctx, ev)
		}
		if err != nil {
			in.drops.putBack(m)
			in.o.Logger.Warn("could not log the sum of dropped refusals; trying again", "error", err)
		}
	}
}
