package api

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// ErrNotFound means that the requested object does not exist at the position of the read. The status is 404.
var ErrNotFound = errors.New("not found")

// ErrGenerationGone means that the generation named in a query is no longer served here. The status is 410.
var ErrGenerationGone = errors.New("generation gone")

// Replaced is the error for a generation that the log has dropped. It is ErrGenerationGone.
type Replaced struct {
	Generation uint32
	Active     uint32 // that answers now
	LastSeq    uint64 // last event after which Generation answered, 0 if it never did
}

// Error names the next step.
func (r *Replaced) Error() string {
	text := fmt.Sprintf("generation %d is dropped, and generation %d is active: start the list again "+
		"without the cursor", r.Generation, r.Active)
	if r.LastSeq != 0 {
		text += fmt.Sprintf("; as_of=%d gives what generation %d said last", r.LastSeq, r.Generation)
	}
	return text
}

// Is reports that the error is ErrGenerationGone.
func (r *Replaced) Is(target error) bool { return target == ErrGenerationGone }

// Position is the position of a fold.
type Position struct {
	AppliedSeq uint64 // highest seq folded
	Generation uint32
}

// Read is the required freshness of a read.
type Read struct {
	Consistency string // one of the wire.Consistency constants
	MinSeq      uint64 // 0 for none; holds at every level
	Generation  uint32 // the generation that a list began with; 0 for the active one
	Switches    bool   // wait while the node switches to another generation, where a read is otherwise refused
	// AsOfTime is the log time that the read is about, 0 for none. A node without an event of that time or a later one
	// finds out whether there is one, at every consistency: it would answer as of an earlier moment.
	AsOfTime int64
}

// Views opens views of the folded state.
type Views interface {
	// View waits until reads on this node are as fresh as r asks.
	View(ctx context.Context, r Read) (View, error)
	// Position returns the position of the active generation without waiting.
	Position() Position
	// Condition compiles a condition in the rule language for AuditQuery.Filter. An error is a problem.
	Condition(text string) (Condition, error)
}

// View reads one generation for one request. It knows the position that the read has waited for. It holds no
// snapshot: a read sees what is folded when it begins, which is at least everything up to Position. Its methods
// fail with ErrGenerationGone when the log drops the generation meanwhile.
type View interface {
	// Position returns the generation and the position up to which all reads of this view include the events.
	Position() Position
	// Answers returns the reason why the node answers no client any more as an error, nil for none. A list or a stream
	// that this view does not read asks before each of its batches. Audit, Events and Shards ask themselves.
	Answers() error
	// AsOf returns the event as of which t asks, 0 for now. An event that is not folded is a *wire.Problem.
	AsOf(ctx context.Context, t Then) (uint64, error)
	// Lookup returns the outcome of a pcs_id (64 lower-case hex digits), now or then.
	Lookup(ctx context.Context, pcsID string, t Then) (*wire.PCSAnswer, error)
	// History returns every answer that was given to a pcs_id (64 lower-case hex digits).
	History(ctx context.Context, pcsID string) (*wire.PCSHistory, error)
	// Complete lists the pcs_ids with this prefix (8 to 64 lower-case hex digits) in order, at most limit.
	Complete(ctx context.Context, prefix string, limit int) ([]string, error)
	Audit(ctx context.Context, q AuditQuery) (AuditResult, error)
	Event(ctx context.Context, seq uint64) (*wire.EventAnswer, error)
	// Events lists events with their payloads, as far as the generation has folded.
	Events(ctx context.Context, q EventsQuery) (EventsResult, error)
	Shards(ctx context.Context, q ShardsQuery) (ShardsResult, error)
	Shard(ctx context.Context, id string, t Then) (*wire.ShardAnswer, error)
	// Digest returns the digests at seq, with the edge of the log tree if edge is set. A seq of 0 is the folded
	// head.
	Digest(ctx context.Context, seq uint64, edge bool) (*wire.DigestAnswer, error)
}

// AuditQuery selects rows of the audit list, in ascending seq unless Newest is set. Empty fields do not filter.
type AuditQuery struct {
	Shard, Key, Outcome, Reason string
	UnknownShards               bool  // only shards that are not registered as known
	Since, Until                int64 // log time in ns since 1970: Since <= t < Until; 0 for none
	// first seq to look at, at least 1; with Newest the last one, 0 for the end
	FromSeq uint64
	ToSeq   uint64 // last seq to look at, 0 for no bound; with Newest the first one
	Newest  bool   // in descending seq
	Limit   int    // at least 1

	PCS    string       // first hex digits of the pcs_id that a submission names
	Policy string       // first hex digits of the policy that judged
	Remote netip.Prefix // addresses that records came from; the zero prefix for all
	Then   Then         // list the outcomes of that time
	Filter Condition    // over the fields of a row; nil for none
}

// Condition is a compiled condition over the fields of a row. It is safe for concurrent use.
type Condition interface {
	// Holds reports whether the condition holds for the row whose fields are given.
	Holds(field func(name string) any) (bool, error)
}

// AuditResult is one chunk of the list. It may hold fewer than Limit items, even none, and still continue.
type AuditResult struct {
	Items []wire.AuditItem
	Next  uint64 // FromSeq of the next chunk; 0 at the end
	AsOf  uint64 // the event as of which the outcomes are listed; 0 for now
}

// EventsQuery selects events in ascending seq.
type EventsQuery struct {
	From, To uint64 // the first, at least 1, and the last one; 0 for no bound
	Shard    string // only submissions that name this shard, including refused ones; empty for every event
	Limit    int    // at least 1
}

// EventsResult is one chunk of events. It may hold fewer than Limit, even none, and still continue.
type EventsResult struct {
	Items []wire.EventAnswer
	Next  uint64 // From of the next chunk; 0 at the end
}

// FlipsQuery selects flips of a generation against the active one in ascending seq. Empty fields do not filter.
type FlipsQuery struct {
	Generation         uint32
	Position           uint64 // compare up to here; 0 for the position up to which this node has compared
	Shard, Key, Reason string // reason code under the new generation
	FromSeq            uint64 // first seq to look at, at least 1
	Limit              int    // at least 1
}

// FlipsResult is one chunk of the list. It may hold fewer than Limit items, even none, and still continue.
type FlipsResult struct {
	Items    []wire.Flip
	Next     uint64 // FromSeq of the next chunk; 0 at the end
	Position uint64
}

// ShardsQuery selects shards in ascending byte order of their ids.
type ShardsQuery struct {
	After  string        // ids greater than this; empty for all
	Silent time.Duration // only those without a submission for so long before the newest event; 0 for all
	Limit  int           // at least 1
	Then   Then          // as of another time than now
}

// ShardsResult is one chunk of the shard list. It may hold fewer than Limit items, even none, and still continue.
type ShardsResult struct {
	Items      []wire.ShardAnswer
	Next       string // After of the next chunk; empty at the end
	LogTime    int64  // of the newest event, in ns since 1970
	Generation uint32 // whose shards these are
	AsOf       uint64 // the event as of which they are listed; 0 for now
}
