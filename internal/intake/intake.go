package intake

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// retryAfter is the time that a client is told to wait when the node cannot take a submission now.
const retryAfter = time.Second

// frozenRetry is the time that a client is told to wait during a freeze, which people end.
const frozenRetry = 30 * time.Second

// State is the control state of this node. *fsm.Derived implements it.
type State interface {
	Control() *projections.Control
	Cursor() fsm.Cursor // the position up to which it is folded
}

// Generations are the generations that this node has open. *recount.Manager implements it.
type Generations interface {
	Serving() *recount.Running // the generation that this node reads from
	Switching() bool           // another one is active by the log
	Submitted()                // hears of every submission, so that inactive generations make way
}

// Log takes submissions. *propose.Packer implements it.
type Log interface {
	// Submit commits events next to each other and returns their outcomes and the position of the first.
	Submit(ctx context.Context, events ...event.Event) ([]projections.Result, propose.LogPosition, error)
	// SubmitAlone commits an event in an entry of its own.
	SubmitAlone(ctx context.Context, ev event.Event) (propose.LogPosition, error)
	// Stats returns the bytes that wait for consensus, and the number of packs so far.
	Stats() (queuedBytes int, packs uint64)
}

// Keys are the keys with which this node can check signatures.
type Keys interface {
	// Verifiers returns the keys as of the folded control state. It returns the same set while they do not change.
	Verifiers() *verify.KeySet
	// CheckSignature finds the key of a set that signed the record. The zero value means that none did.
	CheckSignature(keys *verify.KeySet, rec *pcs.Record) verify.Facts
	// MissingSecrets lists the fingerprints of active keys with which this node cannot check.
	MissingSecrets() []string
}

// Clock is the time that the voters agree on.
type Clock interface {
	Now() time.Time
	LogTime() int64          // the least log time that the next event may have, in Unix nanoseconds
	Disputed() *wire.Problem // the voters do not agree on the time; nil if they do
}

// Options are the parts of the node that intake needs, and its settings.
type Options struct {
	NodeID       string
	RecordRemote bool // events name the address that a submission came from
	QueueBytes   int  // payload bytes that wait for consensus at most

	TokenRate      float64 // submissions per second of this node, 0 for no limit
	KeyRate        float64 // submissions per second of one key, 0 for no limit
	ThrottleStatus int     // the HTTP status of a submission above a rate

	State       State
	Generations Generations
	Log         Log
	Keys        Keys
	Clock       Clock
	Logger      *slog.Logger

	Stopping  func() bool          // the node stops
	CaughtUp  func() bool          // this node has once folded everything that was committed
	DiskShort func() bool          // too little disk space is free for submissions
	Withheld  func() *wire.Problem // the reason why this node answers no client, nil for none

	// Confirm waits until this node has folded everything that was acknowledged before the call.
	Confirm func(ctx context.Context) error
	// CheckOwn checks an own submission as it will be in the log.
	CheckOwn func(ctx context.Context, e event.Event) error
	// Problem returns the problem to answer for an error of Log.
	Problem func(err error) error
	// Answered hears of every submission that is no dry run, with its answer or its error.
	Answered func(seen Seen, meta api.Meta, answer *wire.SubmitAnswer, err error)
}

// Seen has what intake learned of a submission before it answers. Rec is nil when it has not decoded the record.
type Seen struct {
	Rec   *pcs.Record
	KeyID string
}

// Counters count submissions that got an answer without an event.
type Counters struct {
	Malformed, Frozen, Repeats      atomic.Uint64
	ThrottledByNode, ThrottledByKey atomic.Uint64
	Dropped, DroppedBytes           atomic.Uint64 // refusals that were not logged
}

// Intake takes submissions. It is safe for concurrent use.
type Intake struct {
	o        Options
	limits   *limits
	turns    *limit.Turns // of batches
	drops    *refusals
	counters *Counters
}

// New returns the intake of a node.
func New(o Options) *Intake {
	counters := &Counters{}
	return &Intake{
		o:        o,
		limits:   newLimits(&o, counters),
		turns:    limit.NewTurns(MaxBatched),
		drops:    newRefusals(o.NodeID),
		counters: counters,
	}
}

// Counters returns the counters of this node.
func (in *Intake) Counters() *Counters { return in.counters }
