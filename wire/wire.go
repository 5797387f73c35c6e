// Package wire defines the JSON messages between a Recount node and its clients: requests, responses, problem
// codes and header names. It also has the small rules that both sides must share: the form of tokens and names,
// the text of times, and the status of an outcome. It imports no other package of this module except nano, so
// that a client can depend on it alone.
//
// Times are RFC 3339 with nanoseconds in UTC, hashes are lower-case hex, and sequence numbers start at 1.
package wire

import (
	"errors"
	"strings"
	"time"

	"github.com/recount-ledger/recount/nano"
)

// Outcomes of a submission, the values of SubmitAnswer.Outcome.
const (
	OutcomeAccepted  = "accepted"
	OutcomeEscalated = "escalated"
	OutcomeRefused   = "refused"
	OutcomeConflict  = "conflict"
)

// ReasonOK is the reason_code of a response without objections.
const ReasonOK = "ok"

// Consistency levels of reads, the values of the query parameter "consistency".
const (
	ConsistencyLocal        = "local"
	ConsistencySession      = "session"
	ConsistencyLinearizable = "linearizable"
)

// Header names. Go canonicalizes them, and they are compared ignoring case.
const (
	HeaderAppliedSeq = "Recount-Applied-Seq" // highest seq folded into the response
	HeaderGeneration = "Recount-Generation"  // number of the generation that was read
	HeaderNode       = "Recount-Node"        // id of the responding node
	HeaderRequestID  = "X-Request-Id"        // the caller's id if well formed, else a new one
	HeaderReplayed   = "Idempotent-Replayed" // "true" if an earlier outcome was repeated
	HeaderRetryAfter = "Retry-After"         // whole seconds
	HeaderTenant     = "X-Tenant-Id"         // sent by some clients; ignored
	MediaJSON        = "application/json"    // every response that is not a problem
	MediaProblem     = "application/problem+json"
	MediaNDJSON      = "application/x-ndjson" // lists, one item per line, followed by a trailer; batches
	MediaYAML        = "application/yaml"
	MediaEvents      = "text/event-stream"
)

// Time formats a time as RFC 3339 in UTC, always with nine decimals, so that texts sort like times and columns
// keep their width.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") }

// TimeNS is Time for nanoseconds since 1970.
func TimeNS(ns int64) string { return Time(time.Unix(0, ns)) }

// ErrTime is returned by ParseTime.
var ErrTime = errors.New("not an RFC 3339 date-time such as 2026-01-02T15:04:05Z")

// ParseTime parses the output of Time and any other RFC 3339 date-time. Package time accepts more than that:
// hours of one digit, a comma before the fraction, minutes of an offset above 59, and decimals that it then
// drops.
func ParseTime(s string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, ErrTime
	}
	rest, ok := strings.CutPrefix(s, at.Format("2006-01-02T15:04:05"))
	fraction, hasFraction := strings.CutPrefix(rest, ".")
	zone := strings.TrimLeft(fraction, "0123456789")
	if !ok || len(fraction)-len(zone) > 9 || !hasFraction && zone != rest ||
		zone != at.Format("Z07:00") && zone != "+00:00" && zone != "-00:00" ||
		len(zone) == 6 && zone[1:3] > "23" {
		return time.Time{}, ErrTime
	}
	return at, nil
}

// SubmitAnswer is the response to POST /v1/pcs/submit with status 200 (accepted) or 202 (escalated). The first
// six members are those that existing clients parse.
type SubmitAnswer struct {
	Accepted         bool       `json:"accepted"`
	Escalated        bool       `json:"escalated"`
	RecomputedDHat   *nano.Nano `json:"recomputed_D_hat,omitempty"` // omitted if it cannot be computed
	RecomputedBudget nano.Nano  `json:"recomputed_budget"`
	Reason           string     `json:"reason"` // one plain sentence, "every check passed" if nothing is wrong
	PCSID            string     `json:"pcs_id"`

	Outcome string `json:"outcome"`
	// "ok" if nothing is wrong, "late_epoch" if only the epoch is late and the policy accepts that
	ReasonCode string   `json:"reason_code"`
	Reasons    []string `json:"reasons"` // all failing checks in order, followed by late_epoch
	Seq        uint64   `json:"seq"`     // position of the event that decided this response
	ReceivedAt string   `json:"received_at"`
	Policy     string   `json:"policy"` // SHA-256 of the policy document, hex
	Generation uint32   `json:"generation"`
	Replayed   bool     `json:"replayed"`   // an earlier outcome was repeated
	Reverified bool     `json:"reverified"` // judged again after the dedup period

	InputsSigned bool `json:"inputs_signed"` // the signature covers scales, counts and everything else: scheme pcs/2

	Node    string     `json:"node"` // node that received the deciding submission
	ShardID string     `json:"shard_id"`
	Epoch   int64      `json:"epoch"`
	DHat    *nano.Nano `json:"D_hat,omitempty"` // the claimed value, as signed; in responses to a submission

	Receipt string `json:"receipt,omitempty"` // only in responses to a submission with Prefer: wait
}

// Bounds of a batch, POST /v1/pcs/submit-batch.
const (
	MaxBatchLines = 10_000  // records
	MaxBatchBytes = 8 << 20 // of the whole body
)

// BatchLine begins each line of the response to POST /v1/pcs/submit-batch. The members of a SubmitAnswer follow if
// Status is 200 or 202, else those of a Problem, which has Status, too.
type BatchLine struct {
	Line   int `json:"line"`   // of the request, from 1, with its blank lines
	Status int `json:"status"` // of the response that a single submission of this record would get
	// This line and all after it were not read, and the response ends here. The problem is that of the body.
	Unread bool `json:"unread,omitempty"`
}

// CheckAnswer is the response to POST /v1/pcs/check: the response that a submission of the same bytes would get
// now. Nothing was logged, so there is no seq, except the seq of an earlier event whose outcome a repetition
// would get.
type CheckAnswer struct {
	SubmitAnswer
	Seq    uint64 `json:"seq,omitempty"`
	DryRun bool   `json:"dry_run"` // always true
}

// PCSAnswer is the response to GET /v1/pcs/{pcs_id}: the current outcome and the events of this id.
type PCSAnswer struct {
	SubmitAnswer
	Events  []uint64       `json:"events"`  // seqs in ascending order
	History []HistoryEntry `json:"history"` // outcomes of this id, in the order in which they were first given
	// events or history leave out the oldest: each has the newest 1,000
	More bool `json:"more,omitempty"`

	AsOf uint64 `json:"as_of,omitempty"` // the event as of which this is the answer; absent for now
	// the answer of that time, only with as_of. Generation is another one than that of this answer if the rows of the
	// generation that gave it are gone. Then outcome and accepted are those of that time, and the rest comes from the
	// generation of this answer.
	Then *AuditAnswer `json:"then,omitempty"`
}

// AuditItem is one row of the audit list: one submission event and its outcome in the generation.
type AuditItem struct {
	Seq              uint64     `json:"seq"`
	LogTime          string     `json:"log_time"`
	ReceivedAt       string     `json:"received_at"`
	Node             string     `json:"node"`
	RequestID        string     `json:"request_id,omitempty"`
	PCSID            string     `json:"pcs_id"`
	ShardID          string     `json:"shard_id"`
	Epoch            int64      `json:"epoch"`
	KeyID            string     `json:"key_id"` // empty when no key verified it
	Status           int        `json:"status"` // HTTP status of the response
	Outcome          string     `json:"outcome"`
	Accepted         bool       `json:"accepted"`
	ReasonCode       string     `json:"reason_code"`
	Reasons          []string   `json:"reasons"`
	Reason           string     `json:"reason"`
	DHat             *nano.Nano `json:"D_hat,omitempty"`
	RecomputedDHat   *nano.Nano `json:"recomputed_D_hat"`
	RecomputedBudget nano.Nano  `json:"recomputed_budget"`
	Policy           string     `json:"policy"`
	Replayed         bool       `json:"replayed"`
	Reverified       bool       `json:"reverified"`
	InputsSigned     bool       `json:"inputs_signed"`       // as in SubmitAnswer, of this submission's own signature
	Evidence         bool       `json:"evidence"`            // kept beside an earlier outcome that stands
	FirstSeq         uint64     `json:"first_seq,omitempty"` // the event whose outcome stands, if not this one
	// address that it came from; absent when addresses are not recorded
	Remote string `json:"remote,omitempty"`

	Generation uint32      `json:"generation"` // generation whose outcome this row shows
	Was        AuditAnswer `json:"was"`        // the first response
	// outcome in the active generation, only in lists as of another time
	Now *AuditAnswer `json:"now,omitempty"`
}

// AuditAnswer is the outcome of a submission at some time. Status, reason and policy are absent if they are no
// longer known: a recount records only its changes of outcome and accepted, and a dropped generation leaves
// nothing else.
type AuditAnswer struct {
	Generation uint32 `json:"generation"` // generation that gave it
	Outcome    string `json:"outcome"`
	Accepted   bool   `json:"accepted"`
	Status     int    `json:"status,omitempty"`
	ReasonCode string `json:"reason_code,omitempty"`
	Policy     string `json:"policy,omitempty"`
}

// AuditPage is the response to GET /v1/audit as JSON. NextCursor is empty on the last page.
type AuditPage struct {
	Items      []AuditItem `json:"items"`
	NextCursor string      `json:"next_cursor"`
	AppliedSeq uint64      `json:"applied_seq"`
	Generation uint32      `json:"generation"`
	AsOf       uint64      `json:"as_of,omitempty"` // the event as of which the outcomes are listed
}

// The orders of the audit list, the values of the query parameter "order".
const (
	OrderOldest = "oldest"
	OrderNewest = "newest"
)

// IDsPage is the response to GET /v1/pcs: the pcs_ids with a prefix, in order. More means that there are
// others.
type IDsPage struct {
	Items      []string `json:"items"`
	More       bool     `json:"more"`
	AppliedSeq uint64   `json:"applied_seq"`
	Generation uint32   `json:"generation"`
}

// Trailer is the last line of an NDJSON list. A stream without it was cut.
type Trailer struct {
	Trailer    bool   `json:"trailer"` // always true; no item has this member
	Count      int    `json:"count"`   // items before it
	NextCursor string `json:"next_cursor"`
	AppliedSeq uint64 `json:"applied_seq"`
	Generation uint32 `json:"generation"`
	AsOf       uint64 `json:"as_of,omitempty"` // as in AuditPage
}

// Leaf is the data that the Merkle tree hashes for one event.
type Leaf struct {
	Format        uint8  `json:"format"`
	Seq           uint64 `json:"seq"`
	RawTimeNS     int64  `json:"raw_time_ns"`
	Kind          uint16 `json:"kind"`
	PayloadSHA256 string `json:"payload_sha256"`
}

// EventAnswer is the response to GET /v1/events/{seq}.
type EventAnswer struct {
	Seq      uint64         `json:"seq"`
	Kind     string         `json:"kind"`
	Index    uint64         `json:"index"` // Raft entry that carries it
	Term     uint64         `json:"term"`
	RawTime  string         `json:"raw_time"` // the proposer's clock
	LogTime  string         `json:"log_time"` // never runs backwards
	Leaf     Leaf           `json:"leaf"`
	LeafHash string         `json:"leaf_hash"`
	Payload  []byte         `json:"payload"` // base64, salt included
	Summary  map[string]any `json:"summary"` // decoded, for reading; Payload is authoritative
}

// ShardAnswer is the response to GET /v1/shards/{shard_id} and an item of ShardsPage.
type ShardAnswer struct {
	ShardID     string `json:"shard_id"`
	Epoch       *int64 `json:"epoch"`     // high-water mark; null while nothing was accepted
	EpochSeq    uint64 `json:"epoch_seq"` // event that moved it there, 0 for none
	Submissions uint64 `json:"submissions"`
	Accepted    uint64 `json:"accepted"`
	Escalated   uint64 `json:"escalated"`
	Refused     uint64 `json:"refused"`
	Conflicts   uint64 `json:"conflicts"`
	FirstSeq    uint64 `json:"first_seq"`
	LastSeq     uint64 `json:"last_seq"`
	LastAt      string `json:"last_at"`
	// no validly signed submission names it, so lists of shards omit it
	RefusedOnly bool `json:"refused_only,omitempty"`
	AtLeast     bool `json:"at_least,omitempty"` // with refused_only: the counts are lower bounds

	AsOf uint64 `json:"as_of,omitempty"` // the event as of which this is the answer; not in the items of a list
}

// ShardsPage is the response to GET /v1/shards, ordered by the bytes of the shard id. With silent it has only shards
// whose LastAt is at least so long before LogTime.
type ShardsPage struct {
	Items      []ShardAnswer `json:"items"`
	NextCursor string        `json:"next_cursor"`
	AppliedSeq uint64        `json:"applied_seq"`
	Generation uint32        `json:"generation"`
	LogTime    string        `json:"log_time"`        // of the newest event of any kind that the page knows
	AsOf       uint64        `json:"as_of,omitempty"` // as in AuditPage
}

// Member is one node of ClusterAnswer. The positions are null if the member did not respond in time.
type Member struct {
	ID           string  `json:"id"`
	API          string  `json:"api"`      // base URL for clients
	Suffrage     string  `json:"suffrage"` // voter or nonvoter
	CommittedSeq *uint64 `json:"committed_seq"`
	AppliedSeq   *uint64 `json:"applied_seq"`
	Lag          *uint64 `json:"lag"`   // committed - applied
	State        string  `json:"state"` // leader, follower, candidate, unreachable, ...

	// newest cluster version that the build of the node knows, absent when the node does not answer
	KnowsVersion *uint32 `json:"knows_version,omitempty"`

	Learner *LearnerProgress `json:"learner,omitempty"` // of a learner, while the leader answers
}

// LearnerProgress is the distance of a learner from the log of the leader.
type LearnerProgress struct {
	Lacks      uint64 `json:"lacks"`      // entries of the leader's log that it does not hold
	Promotable bool   `json:"promotable"` // it may become a voter now
	Why        string `json:"why"`        // why not, "" if it may
	StalledS   uint64 `json:"stalled_s"`  // seconds for which it has taken no entry although it lacks some
}

// ClusterAnswer is the response to GET /v1/cluster. Leader is empty while there is none.
type ClusterAnswer struct {
	ClusterID string `json:"cluster_id"`
	// which formats the log may hold; 0 from a node of a release before cluster versions
	ClusterVersion uint32   `json:"cluster_version"`
	Leader         string   `json:"leader"`
	Term           uint64   `json:"term"`
	Members        []Member `json:"members"`
}

// DigestAnswer is the response to GET /v1/digest: the digests of this node at Seq.
type DigestAnswer struct {
	Seq        uint64 `json:"seq"`
	Log        string `json:"log"`   // digest of the events 1..Seq
	State      string `json:"state"` // digest of the outcomes 1..Seq
	Generation uint32 `json:"generation"`
	Control    string `json:"control"` // digest of the control state at Seq

	// Edge holds the roots of the complete subtrees of the log tree, from left to right, one for each bit that
	// is set in Seq. With them and the following leaves, later log digests can be computed. It is present only
	// if requested.
	Edge []string `json:"edge,omitempty"`
}

// VersionAnswer is the response to GET /version.
type VersionAnswer struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform,omitempty"` // such as linux/amd64
	// hash of the commit, with "+dirty" if files were changed; "" if the build did not record it
	Commit     string `json:"commit,omitempty"`
	CommitTime string `json:"commit_time,omitempty"` // RFC 3339, or ""
	Node       string `json:"node"`
	ClusterID  string `json:"cluster_id"`
	// ids that the ledger had before it was restored from a backup under another one, oldest first
	Formerly []string `json:"formerly,omitempty"`
	Kernels  []int    `json:"kernels"` // kernel numbers that this binary can run

	KnowsVersion uint32 `json:"knows_version,omitempty"` // newest cluster version that this binary can fold
}
