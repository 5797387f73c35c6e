package operator

import (
	"context"
	"log/slog"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// State is the control state of this node and the numbering of its events. *fsm.Derived implements it.
type State interface {
	Control() *projections.Control
	// Cursor returns the position up to which the control state is folded. WaitIndex waits until it has reached
	// a log index.
	Cursor() fsm.Cursor
	WaitIndex(ctx context.Context, index uint64) error
	// SeqOf returns the event that a log index begins with. Effect returns the effect that such an event had.
	SeqOf(index uint64) (uint64, error)
	Effect(kind event.Kind, seq uint64) (projections.Effect, error)
	// Item reads an event. Items returns a function that reads several faster, in ascending order.
	Item(seq uint64) (projections.Item, error)
	Items() func(seq uint64) (projections.Item, error)
	// OperatorSeqs lists the events from seq from on that are no submissions, at most limit. Submissions counts
	// the others up to seq.
	OperatorSeqs(from uint64, limit int) ([]uint64, error)
	Submissions(seq uint64) (uint64, error)
}

// Log takes the events of operations. *propose.Packer implements it.
type Log interface {
	// SubmitLocal commits an event in an entry of its own, as the leader.
	SubmitLocal(ctx context.Context, ev event.Event) (propose.LogPosition, error)
	// Hold keeps submissions out of the log until release is called.
	Hold(ctx context.Context) (release func(), err error)
}

// Quorum confirms the position of this node. *cluster.Cluster implements it.
type Quorum interface {
	// ReadIndex returns a log index at or after everything that was acknowledged before the call.
	ReadIndex(ctx context.Context) (uint64, error)
}

// Recounts are the generations that this node has open. *recount.Manager implements it.
type Recounts interface {
	// Active returns the number of the generation that is active by the log, Serving the generation that this
	// node reads from. Switching reports that they differ, and AwaitServing waits for the end of that.
	Active() uint32
	Serving() *recount.Running
	Switching() bool
	AwaitServing(ctx context.Context) error
	// Get returns an open generation, or nil, and a channel that is closed when that may have changed.
	Get(number uint32) (*recount.Running, <-chan struct{})
	// History reads what activations changed, and Change reports whether an activation has recorded it on this node.
	History() *fsm.HistoryView
	Change(activation uint64) (fsm.Change, bool, error)
	// Progress asks every voter for its progress with a generation, and for its digests at position.
	Progress(ctx context.Context, number uint32, position uint64) []wire.NodeProgress
}

// Clock is the time that the voters agree on.
type Clock interface {
	Now() time.Time
	LogTime() int64 // the least log time that the next event may have, in Unix nanoseconds
}

// Options are the parts of the node that operations need.
type Options struct {
	NodeID    string
	Voters    func() []string // returns the ids of the voters of the cluster now
	TwoPerson bool            // activation, rollback, thaw and the application of a policy need two persons
	Timeout   time.Duration   // of an operation; half of it is for the digests of the other voters
	File      TokensFile      // the tokens of the settings of this node

	Membership Membership
	// MemberWithout names a member whose release lacks a capability, "" for none.
	MemberWithout func(ctx context.Context, capability string) string
	Releases      Releases

	// Entrance returns what a node that is invited needs to know of the cluster: its id, its members and the
	// certificates of the authorities of nodes in DER.
	Entrance func() (clusterID string, members []wire.JoinMember, authorities [][]byte, err error)

	State    State
	Log      Log
	Quorum   Quorum
	Recounts Recounts
	Clock    Clock
	Logger   *slog.Logger

	// Verifiers returns the keys with which this node can check signatures now.
	Verifiers func() *verify.KeySet
	// RequireCapabilities returns the reason why a voter could not fold under a policy, nil for none.
	RequireCapabilities func(ctx context.Context, p verify.Policy) error
	// DiskReserve returns the free space, in bytes, that a voter keeps back from new generations.
	DiskReserve func() uint64
	// Stopping and Quarantined report that this node does no operations.
	Stopping, Quarantined func() bool
	// Problem returns the problem to answer for an error of Log.
	Problem func(err error) error
}

// Operator carries out operations. Each part implements the interface of package api with the same name. All of
// them are safe for concurrent use.
type Operator struct {
	Keys        *Keys
	Tokens      *Tokens // and api.Credentials
	Freezes     *Freezes
	KnownShards *KnownShards
	Policies    *Policies
	Generations *Generations
	Operations  *Operations
	Members     *Members
}

// New returns the operator of a node.
func New(o Options) *Operator {
	core := &core{o}
	approvals := &approvals{core}
	op := &Operator{
		Keys:        &Keys{core},
		Tokens:      &Tokens{core},
		Freezes:     &Freezes{core, approvals},
		KnownShards: &KnownShards{core},
		Policies:    &Policies{core, approvals},
		Generations: &Generations{core, approvals},
		Members:     &Members{core},
	}
	op.Operations = &Operations{core, approvals, op}
	return op
}
