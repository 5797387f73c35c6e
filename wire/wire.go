// Package wire holds what travels between a Recount node and its clients: the JSON shapes of every answer,
// the problem codes and the header names. It decides nothing, checks nothing and imports no other room, so
// that a client can depend on it alone.
//
// Times are RFC 3339 with nanoseconds in UTC, hashes lower-case hex, sequence numbers start at 1.
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

// ReasonOK is the reason_code of an answer with nothing to object to.
const ReasonOK = "ok"

// Consistency levels of reads, the values of the query parameter "consistency".
const (
	ConsistencyLocal        = "local"
	ConsistencySession      = "session"
	ConsistencyLinearizable = "linearizable"
)

// Header names. Go canonicalizes them; they are compared without regard to case.
const (
	HeaderAppliedSeq = "Recount-Applied-Seq" // highest seq folded into the answer
	HeaderGeneration = "Recount-Generation"  // number of the generation that answered
	HeaderNode       = "Recount-Node"        // id of the node that answered
	HeaderRequestID  = "X-Request-Id"        // the caller's id when well formed, else one made here
	HeaderReplayed   = "Idempotent-Replayed" // "true" when an earlier outcome was given again
	HeaderRetryAfter = "Retry-After"         // whole seconds
	HeaderTenant     = "X-Tenant-Id"         // sent by some clients; ignored
	MediaJSON        = "application/json"    // every answer that is not a problem
	MediaProblem     = "application/problem+json"
	MediaNDJSON      = "application/x-ndjson" // lists, one item per line, closed by a trailer
	MediaYAML        = "application/yaml"
	MediaEvents      = "text/event-stream"
)

// Time is the text form of a moment: RFC 3339 in UTC, always with nine decimals, so that texts sort as the moments do and
// columns keep their width.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") }

// TimeNS is Time for nanoseconds since 1970.
func TimeNS(ns int64) string { return Time(time.Unix(0, ns)) }

// ErrTime is returned by ParseTime.
var ErrTime = errors.New("not an RFC 3339 date-time such as 2026-01-02T15:04:05Z")

// ParseTime reads what Time writes and any other RFC 3339 date-time. Package time reads more than that: hours of one digit, a
// comma before the fraction, minutes of an offset above 59, decimals that it then drops.
func ParseTime(s string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, ErrTime
	}
	rest, ok := strings.CutPrefix(s, at.Format("2006-01-02T15:04:05"))
	fraction, hasFraction := strings.CutPrefix(rest, ".")
	zone := strings.TrimLeft(fraction, "0123456789")
	if !ok || len(fraction)-len(zone) > 9 || !hasFraction && zone != rest || zone != at.Format("Z07:00") && zone != "+00:00" && zone != "-00:00" ||
		len(zone) == 6 && zone[1:3] > "23" {
		return time.Time{}, ErrTime
	}
	return at, nil
}

// SubmitAnswer answers POST /v1/pcs/submit with status 200 (accepted) or 202 (escalated).
// The first six members are those that existing clients parse.
type SubmitAnswer struct {
	Accepted         bool       `json:"accepted"`
	Escalated        bool       `json:"escalated"`
	RecomputedDHat   *nano.Nano `json:"recomputed_D_hat,omitempty"` // left out when it cannot be computed
	RecomputedBudget nano.Nano  `json:"recomputed_budget"`
	Reason           string     `json:"reason"` // one plain sentence, "every check passed" when nothing is wrong
	PCSID            string     `json:"pcs_id"`

	Outcome    string   `json:"outcome"`
	ReasonCode string   `json:"reason_code"` // "ok" when nothing is wrong, "late_epoch" when only the epoch is late and the policy accepts that
	Reasons    []string `json:"reasons"`     // every failing check, in the order of the checks; behind them late_epoch
	Seq        uint64   `json:"seq"`         // position of the event that decided this answer
	ReceivedAt string   `json:"received_at"`
	Policy     string   `json:"policy"` // SHA-256 of the policy document, hex
	Generation uint32   `json:"generation"`
	Replayed   bool     `json:"replayed"`   // an earlier outcome given again
	Reverified bool     `json:"reverified"` // judged anew after the dedup period

	InputsSigned bool `json:"inputs_signed"` // the signature covers scales, counts and everything else: scheme pcs/2

	Node    string     `json:"node"` // node that received the deciding submission
	ShardID string     `json:"shard_id"`
	Epoch   int64      `json:"epoch"`
	DHat    *nano.Nano `json:"D_hat,omitempty"` // the claimed value, as signed; in answers to a submission
}

// CheckAnswer answers POST /v1/pcs/check: what a submission of the same bytes would be answered now. Nothing was logged, so there is
// no seq, except of the earlier event whose answer a repetition would get.
type CheckAnswer struct {
	SubmitAnswer
	Seq    uint64 `json:"seq,omitempty"`
	DryRun bool   `json:"dry_run"` // always true
}

// PCSAnswer answers GET /v1/pcs/{pcs_id}: the submit answer as it stands now and the events about this id.
type PCSAnswer struct {
	SubmitAnswer
	Events  []uint64       `json:"events"`  // seqs in ascending order
	History []HistoryEntry `json:"history"` // what was said of this id, in the order in which it was first said
}

// AuditItem is one row of the audit list: one submission event and what the generation says of it.
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
	Status           int        `json:"status"` // HTTP status of the answer
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
	FirstSeq         uint64     `json:"first_seq,omitempty"` // the event whose outcome stands, when not this one
	Remote           string     `json:"remote,omitempty"`    // address that it came from; absent when addresses are not recorded

	Generation uint32       `json:"generation"`    // that says what this row says
	Was        AuditAnswer  `json:"was"`           // the answer first given
	Now        *AuditAnswer `json:"now,omitempty"` // what the active generation says; in lists as of another time only
}

// AuditAnswer is what was said of a submission at some time. Status, reason and policy are absent when they are not known any
// more: a recount records what it changes of outcome and accepted, and a generation that is gone says nothing else.
type AuditAnswer struct {
	Generation uint32 `json:"generation"` // that answered
	Outcome    string `json:"outcome"`
	Accepted   bool   `json:"accepted"`
	Status     int    `json:"status,omitempty"`
	ReasonCode string `json:"reason_code,omitempty"`
	Policy     string `json:"policy,omitempty"`
}

// AuditPage answers GET /v1/audit as JSON. NextCursor is empty on the last page.
type AuditPage struct {
	Items      []AuditItem `json:"items"`
	NextCursor string      `json:"next_cursor"`
	AppliedSeq uint64      `json:"applied_seq"`
	Generation uint32      `json:"generation"`
	AsOf       uint64      `json:"as_of,omitempty"` // the event after which the answers were these
}

// The orders of the audit list, the values of the query parameter "order".
const (
	OrderOldest = "oldest"
	OrderNewest = "newest"
)

// IDsPage answers GET /v1/pcs: the pcs_ids that begin with a prefix, in order. More says that there are others.
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

// Leaf is the header that the Merkle tree hashes for one event.
type Leaf struct {
	Format        uint8  `json:"format"`
	Seq           uint64 `json:"seq"`
	RawTimeNS     int64  `json:"raw_time_ns"`
	Kind          uint16 `json:"kind"`
	PayloadSHA256 string `json:"payload_sha256"`
}

// EventAnswer answers GET /v1/events/{seq}.
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
	Summary  map[string]any `json:"summary"` // decoded, for reading; Payload is what counts
}

// ShardAnswer answers GET /v1/shards/{shard_id} and is an item of ShardsPage.
type ShardAnswer struct {
	ShardID     string `json:"shard_id"`
	Epoch       *int64 `json:"epoch"`     // high-water mark; null while nothing was accepted
	EpochSeq    uint64 `json:"epoch_seq"` // event that moved it there, 0 when none
	Submissions uint64 `json:"submissions"`
	Accepted    uint64 `json:"accepted"`
	Escalated   uint64 `json:"escalated"`
	Refused     uint64 `json:"refused"`
	Conflicts   uint64 `json:"conflicts"`
	FirstSeq    uint64 `json:"first_seq"`
	LastSeq     uint64 `json:"last_seq"`
	LastAt      string `json:"last_at"`
	RefusedOnly bool   `json:"refused_only,omitempty"` // no validly signed submission names it: lists of shards leave it out
	AtLeast     bool   `json:"at_least,omitempty"`     // with refused_only: there were more than the counts say
}

// ShardsPage answers GET /v1/shards, ordered by the bytes of the shard id.
type ShardsPage struct {
	Items      []ShardAnswer `json:"items"`
	NextCursor string        `json:"next_cursor"`
	AppliedSeq uint64        `json:"applied_seq"`
	Generation uint32        `json:"generation"`
}

// Member is one node of ClusterAnswer. The positions are null when the member did not answer in time.
type Member struct {
	ID           string  `json:"id"`
	API          string  `json:"api"`      // base URL for clients
	Suffrage     string  `json:"suffrage"` // voter or nonvoter
	CommittedSeq *uint64 `json:"committed_seq"`
	FoldedSeq    *uint64 `json:"folded_seq"`
	Lag          *uint64 `json:"lag"`   // committed - folded
	State        string  `json:"state"` // leader, follower, candidate, unreachable, ...
}

// ClusterAnswer answers GET /v1/cluster. Leader is empty while there is none.
type ClusterAnswer struct {
	ClusterID string   `json:"cluster_id"`
	Leader    string   `json:"leader"`
	Term      uint64   `json:"term"`
	Members   []Member `json:"members"`
}

// DigestAnswer answers GET /v1/digest: what this node has folded up to Seq.
type DigestAnswer struct {
	Seq        uint64 `json:"seq"`
	Log        string `json:"log"`   // digest of the events 1..Seq
	State      string `json:"state"` // digest of the outcomes 1..Seq
	Generation uint32 `json:"generation"`
	Control    string `json:"control"` // digest of the control state at Seq

	// Edge is the roots of the complete subtrees of the log tree, from left to right, one for each bit that is set in Seq: with
	// them and the leaves that follow, later log digests can be computed. Only when it was asked for.
	Edge []string `json:"edge,omitempty"`
}

// VersionAnswer answers GET /version.
type VersionAnswer struct {
	Version    string `json:"version"`
	Go         string `json:"go"`
	Platform   string `json:"platform,omitempty"`    // such as linux/amd64
	Commit     string `json:"commit,omitempty"`      // hash of the commit, with "+dirty" if files were changed; "" when the build did not record it
	CommitTime string `json:"commit_time,omitempty"` // RFC 3339; "" likewise
	Node       string `json:"node"`
	ClusterID  string `json:"cluster_id"`
	Kernels    []int  `json:"kernels"` // kernel numbers that this binary can run
}
