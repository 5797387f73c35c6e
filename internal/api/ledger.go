// Package api speaks HTTP for a node: it limits, decodes parameters, calls the Ledger and encodes what comes
// back. It refuses to judge records, to know Raft or the stores, and to keep any state about submissions;
// every such answer comes from the Ledger that the caller passes in.
package api

import (
	"context"
	"errors"
	"net/netip"

	"github.com/recount-ledger/recount/wire"
)

// ErrNotFound says that the thing asked for does not exist at the position of the read; it is answered 404.
var ErrNotFound = errors.New("not found")

// ErrGenerationGone says that the generation named in a query no longer answers here; it is answered 410.
var ErrGenerationGone = errors.New("generation gone")

// Meta is what the handler knows of a request besides its bytes.
type Meta struct {
	RequestID string // at most 64 bytes of [A-Za-z0-9._-]
	Remote    string // address of the client, without port
	Via       string // the node that forwarded the request, empty when it came here
	Identity         // who acts; never from the request itself. Empty for submissions
	DryRun    bool   // of a submission: say what it would be answered, and neither log nor count it
}

// Position is where a fold stands.
type Position struct {
	AppliedSeq uint64 // highest seq folded
	Generation uint32
}

// Read says how fresh a read must be.
type Read struct {
	Consistency string // one of the wire.Consistency constants
	MinSeq      uint64 // 0 for none; holds at every level
}

// AuditQuery selects rows of the audit list, in ascending seq unless it says otherwise. Empty members do not filter.
type AuditQuery struct {
	Shard, Key, Outcome, Reason string
	UnknownShards               bool   // only shards that nobody registered as expected
	Since, Until                int64  // log time in ns since 1970: Since <= t < Until; 0 for none
	FromSeq                     uint64 // first seq to look at, at least 1; when Newest the last one, 0 for the end
	ToSeq                       uint64 // last seq to look at, 0 for no bound; when Newest the first one
	Newest                      bool   // in descending seq
	Limit                       int    // at least 1
	Generation                  uint32 // the generation that must answer

	PCS          string       // first hex digits of the pcs_id that a submission names
	Policy       string       // first hex digits of the policy that judged
	Remote       netip.Prefix // addresses that records came from; the zero prefix for all
	AsOf         uint64       // what was said after this event, of the events up to it; 0 for now
	AsOfTime     int64        // the same by log time in ns since 1970
	OfGeneration uint32       // what another generation says or, when it is gone, said last; 0 for Generation
}

// AuditResult is one stretch of the list. It may hold fewer than Limit items, even none, and still go on.
type AuditResult struct {
	Items []wire.AuditItem
	Next  uint64 // FromSeq of the next stretch; 0 at the end
	AsOf  uint64 // the event after which the answers were these; 0 for now
}

// EventsQuery selects events in ascending seq.
type EventsQuery struct {
	From, To   uint64 // the first, at least 1, and the last one; 0 for no bound
	Shard      string // only submissions that name this shard, refused ones too; empty for every event
	Limit      int    // at least 1
	Generation uint32 // up to where this one has folded
}

// EventsResult is one stretch of events. It may hold fewer than Limit, even none, and still go on.
type EventsResult struct {
	Items []wire.EventAnswer
	Next  uint64 // From of the next stretch; 0 at the end
}

// FlipsQuery selects flips of a generation against the active one in ascending seq. Empty members do not filter.
type FlipsQuery struct {
	Generation         uint32
	Position           uint64 // compare up to here; 0 is as far as this node has compared
	Shard, Key, Reason string // reason code under the new generation
	FromSeq            uint64 // first seq to look at, at least 1
	Limit              int    // at least 1
}

// FlipsResult is one stretch of the list. It may hold fewer than Limit items, even none, and still go on.
type FlipsResult struct {
	Items    []wire.Flip
	Next     uint64 // FromSeq of the next stretch; 0 at the end
	Position uint64
}

// ShardsQuery selects shards in ascending byte order of their ids.
type ShardsQuery struct {
	After      string // ids greater than this; empty for all
	Limit      int
	Generation uint32
}

// ShardsResult is one stretch of the shard list.
type ShardsResult struct {
	Items []wire.ShardAnswer
	More  bool // there are ids greater than the last item's
}

// Check is one readiness check; a nil Err is a pass. Names are short words without spaces.
type Check struct {
	Name string
	Err  error
}

// Ledger is what the handlers need of a node. All methods are called from many goroutines at once. An error
// that holds a *wire.Problem (errors.As) is rendered as it is; ErrNotFound and ErrGenerationGone have their
// statuses; an expired context is 504 outcome_unknown for Submit and acts of operators and 503 behind for reads; all else
// is what Config.Explain makes of it, or 500.
// Answers belong to the handler that asked; problems may be shared.
type Ledger interface {
	Registry
	// Submit decodes, checks and commits one record and waits for its outcome. body is not empty, at most
	// Config.MaxBody bytes long and belongs to the ledger from here on. Outcome accepted is answered 200,
	// escalated 202; refusals and conflicts come back as a *wire.Problem. With meta.DryRun it goes the same way as far as the
	// log, writes nothing, and answers what would be answered now; answers that would name the event have seq 0.
	Submit(ctx context.Context, body []byte, meta Meta) (*wire.SubmitAnswer, error)
	// Position gives the live generation's position without waiting.
	Position() Position
	// WaitRead returns once reads on this node are as fresh as r asks.
	WaitRead(ctx context.Context, r Read) (Position, error)
	// Lookup gives the answer of a pcs_id (64 lower-case hex digits) as it stands now.
	Lookup(ctx context.Context, pcsID string) (*wire.PCSAnswer, error)
	// Complete lists the pcs_ids that begin with prefix (8 to 64 lower-case hex digits), in order, at most limit of them.
	Complete(ctx context.Context, prefix string, limit int) ([]string, error)
	Audit(ctx context.Context, q AuditQuery) (AuditResult, error)
	Event(ctx context.Context, seq uint64) (*wire.EventAnswer, error)
	// Events lists events with their payloads.
	Events(ctx context.Context, q EventsQuery) (EventsResult, error)
	Shards(ctx context.Context, q ShardsQuery) (ShardsResult, error)
	Shard(ctx context.Context, id string) (*wire.ShardAnswer, error)
	Cluster(ctx context.Context) (*wire.ClusterAnswer, error)
	// Digest gives the digests at seq, with the edge of the log tree if asked for; 0 is the folded head.
	Digest(ctx context.Context, seq uint64, edge bool) (*wire.DigestAnswer, error)
	// PublishPolicy puts a policy document into the log; created is false when the same policy was there already. A document
	// that cannot be used is a *wire.Problem of code bad_policy.
	PublishPolicy(ctx context.Context, r wire.PolicyRequest, meta Meta) (answer *wire.PolicyAnswer, created bool, err error)
	// Policies lists the published policies by seq; Policy gives one by its id (64 lower-case hex digits).
	Policies(ctx context.Context) ([]wire.PolicyAnswer, error)
	Policy(ctx context.Context, id string) (*wire.PolicyAnswer, error)
	// ApplyPolicy puts a published policy in force for the events to come.
	ApplyPolicy(ctx context.Context, id string, r wire.ApplyRequest, meta Meta) (*wire.ApplyAnswer, error)
	// StartGeneration begins a second fold of the whole log under another policy.
	StartGeneration(ctx context.Context, r wire.GenerationRequest, meta Meta) (*wire.GenerationAnswer, error)
	// Generations lists all generations by number; Generation describes one and asks every node how far it is.
	Generations(ctx context.Context) (*wire.GenerationsPage, error)
	Generation(ctx context.Context, number uint32) (*wire.GenerationAnswer, error)
	// Diff says what a generation changes, up to position; 0 is as far as this node has compared.
	Diff(ctx context.Context, number uint32, position uint64) (*wire.DiffAnswer, error)
	Flips(ctx context.Context, q FlipsQuery) (FlipsResult, error)
	Activate(ctx context.Context, number uint32, r wire.ActivateRequest, meta Meta) (*wire.ActivateAnswer, error)
	Rollback(ctx context.Context, r wire.RollbackRequest, meta Meta) (*wire.ActivateAnswer, error)
	DropGeneration(ctx context.Context, number uint32, act wire.Act, meta Meta) (*wire.DropAnswer, error)
	// Approve says yes to an act that needs two actors, and carries it out when that is asked for; Approvals lists those that
	// wait, with all also those that are done.
	Approve(ctx context.Context, r wire.ApprovalRequest, meta Meta) (*wire.ApprovalAnswer, error)
	Approvals(ctx context.Context, all bool) ([]wire.ApprovalAnswer, error)
	Version() wire.VersionAnswer
	Credentials
	// Ready runs the readiness checks, in a fixed order.
	Ready(ctx context.Context) []Check
}
