package reads

import (
	"context"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// retryAfter is the time that a client is told to wait when this node cannot answer a read now.
const retryAfter = time.Second

// ErrRefolded answers requests while a node folds a store again that it found unreadable.
var ErrRefolded = wire.NewProblem(wire.CodeNotReady,
	"a damaged store of this node is deleted and folded again; ask another node").WithRetry(retryAfter)

// State is the control state of this node and its numbered events. *fsm.Derived implements it.
type State interface {
	Control() *projections.Control
	Cursor() fsm.Cursor // the position up to which it is folded
	// Item reads an event. Items returns a function that reads neighbours faster, for one goroutine, and Events one
	// for readers that need neither the place nor the digest of an event.
	Item(seq uint64) (projections.Item, error)
	Items() func(seq uint64) (projections.Item, error)
	Events() func(seq uint64) (event.Event, error)
	// DigestsAt returns the digests at an event. Edge returns the edge of the log tree there.
	DigestsAt(g *fsm.Generation, seq uint64) (fsm.Digests, error)
	Edge(seq uint64) ([][32]byte, error)
}

// Generations are the generations that this node has open, and what they have changed. *recount.Manager
// implements it.
type Generations interface {
	// Serving returns the generation that this node reads from. Switching reports that another one is active by
	// the log. Get returns an open generation, or nil.
	Serving() *recount.Running
	Switching() bool
	Get(number uint32) (*recount.Running, <-chan struct{})
	// WaitSeq waits until the active generation has folded an event.
	WaitSeq(ctx context.Context, seq uint64) error
	// History reads history/. Change returns what an activation changed, Recorded the newest flips of a pcs_id up to
	// an activation, and Complete the pcs_ids with a prefix that have any.
	History() *fsm.HistoryView
	Change(activation uint64) (fsm.Change, bool, error)
	Recorded(pcsID string, upTo uint64, limit int) ([]fsm.Recorded, error)
	Complete(prefix string, limit int) ([]string, error)
}

// Views opens views of the folded state for the reads of clients. It is safe for concurrent use.
type Views struct {
	State       State
	Generations Generations

	Withheld func() *wire.Problem            // the reason why this node answers no client, nil for none
	Confirm  func(ctx context.Context) error // waits for everything that was acknowledged before
}
