package wire

// Values of GenerationAnswer.State.
const (
	GenerationBuilding = "building" // folded beside the active one, not active yet
	GenerationReady    = "ready"    // built: every node that answers has compared it, and most report the same
	GenerationActive   = "active"   // answers
	GenerationPrevious = "previous" // was active before; kept for a rollback
	GenerationDropped  = "dropped"  // its number is never used again
)

// Values of GenerationRequest.Keys.
const (
	KeysAsOf      = "as_of"     // the status of a key at each event
	KeysHindsight = "hindsight" // for events up to the start, the status known at the start; it can only take away
)

// Act is what every request of an operator may carry beside its own members. All of it is kept in the log.
type Act struct {
	OpID   string `json:"op_id,omitempty"` // at most 64 bytes; a repeated op_id gets the first result
	Reason string `json:"reason,omitempty"`
	Ticket string `json:"ticket,omitempty"`
}

// PolicyRequest is the body of POST /v1/policies.
type PolicyRequest struct {
	Act
	Document string `json:"document"` // the YAML text
}

// PolicyAnswer describes a policy that is in the log. It answers POST /v1/policies (status 201, or 200 when the policy was
// published before) and GET /v1/policies/{policy_id} and is an item of PoliciesPage.
type PolicyAnswer struct {
	ID        string         `json:"id"`  // SHA-256 of the canonical form, hex
	Seq       uint64         `json:"seq"` // event that published it
	At        string         `json:"at"`  // log time of that event
	Kernel    int            `json:"kernel"`
	Rules     int            `json:"rules"`
	InForce   bool           `json:"in_force"`            // new submissions are judged under it now
	Canonical map[string]any `json:"canonical,omitempty"` // not in lists
	Source    string         `json:"source,omitempty"`    // the text as published; not in lists
	Reason    string         `json:"reason,omitempty"`
	Ticket    string         `json:"ticket,omitempty"`
	Actor     string         `json:"actor,omitempty"` // who published it
	Role      string         `json:"role,omitempty"`  // of the actor

	Intervals []PolicyInterval `json:"intervals,omitempty"` // when it was in force, in the order of the log; absent when it never was
}

// Values of PolicyInterval.By.
const (
	ByGenesis    = "genesis"     // the ledger began with it
	ByApplied    = "applied"     // applied to new submissions
	ByActivated  = "activated"   // a generation that judges by it was activated
	ByRolledBack = "rolled_back" // the previous generation was activated again
)

// PolicyInterval is a stretch of the log in which a policy was in force: submissions with FromSeq < seq < ToSeq were answered
// first under it.
type PolicyInterval struct {
	FromSeq    uint64 `json:"from_seq"`         // event that put it in force
	From       string `json:"from"`             // log time of that event
	ToSeq      uint64 `json:"to_seq,omitempty"` // event that put another one in force; absent while it is in force
	To         string `json:"to,omitempty"`     // log time of that event
	By         string `json:"by"`               // how it came into force
	Generation uint32 `json:"generation"`       // that answered from FromSeq on
	Actor      string `json:"actor,omitempty"`  // who put it in force
	Role       string `json:"role,omitempty"`   // of the actor
	Reason     string `json:"reason,omitempty"`
	Ticket     string `json:"ticket,omitempty"`
}

// PoliciesPage answers GET /v1/policies, ordered by seq.
type PoliciesPage struct {
	Items      []PolicyAnswer `json:"items"`
	AppliedSeq uint64         `json:"applied_seq"`
}

// ApplyRequest is the body of POST /v1/policies/{policy_id}/apply: the policy decides, in every generation, from the
// event that records this on. Nothing is recounted.
type ApplyRequest struct{ Act }

// ApplyAnswer answers it.
type ApplyAnswer struct {
	Policy string `json:"policy"`
	Seq    uint64 `json:"seq"` // the policy decides events after this one
}

// GenerationRequest is the body of POST /v1/generations.
type GenerationRequest struct {
	Act
	Policy string `json:"policy"`         // id
	From   uint64 `json:"from,omitempty"` // first seq that the policy judges; default 1
	Keys   string `json:"keys,omitempty"` // KeysAsOf or KeysHindsight; default: as the active generation
}

// ScheduleStep says which policy judges from which event on.
type ScheduleStep struct {
	FromSeq uint64 `json:"from_seq"`
	Policy  string `json:"policy"`
}

// NodeProgress says how far one node has folded a generation.
type NodeProgress struct {
	Node      string  `json:"node"`
	State     string  `json:"state"`      // following, building, paused, unreachable
	Seq       uint64  `json:"seq"`        // last event folded
	Compared  uint64  `json:"compared"`   // last event compared with the active generation
	Committed uint64  `json:"committed"`  // last event committed, as this node knows
	Rate      float64 `json:"rate"`       // events per second, over the last seconds
	ETA       float64 `json:"eta"`        // seconds until it has caught up; -1 when unknown
	Why       string  `json:"why"`        // of a pause
	DiffAt    string  `json:"diff_at"`    // digest of the diff at the position asked for, empty when not compared so far
	StateAt   string  `json:"state_at"`   // digest of the generation at that position
	DiskFree  uint64  `json:"disk_free"`  // bytes
	DiskBytes uint64  `json:"disk_bytes"` // bytes that the generation takes
}

// GenerationAnswer describes a generation. It answers POST /v1/generations (status 202) and GET
// /v1/generations/{generation} and is an item of GenerationsPage, there without Nodes.
type GenerationAnswer struct {
	Generation uint32         `json:"generation"`
	State      string         `json:"state"`
	Policy     string         `json:"policy"` // the one that judges new events
	Schedule   []ScheduleStep `json:"schedule"`
	Keys       string         `json:"keys"`
	StartedSeq uint64         `json:"started_seq"`      // event that started it, 1 for the first
	Activated  []uint64       `json:"activated"`        // events that made it the active one
	Position   uint64         `json:"position"`         // event that DiffAt and StateAt speak of: the least one that all reachable nodes have compared
	Reported   int            `json:"reported"`         // nodes that have compared all events up to its start and the last switch, and follow the log
	Agree      bool           `json:"agree"`            // a majority of the voters report one digest at Position and none another
	Operation  string         `json:"operation"`        // path of this resource, for polling
	Nodes      []NodeProgress `json:"nodes,omitempty"`  // by node id
	Reason     string         `json:"reason,omitempty"` // given at the start
	Ticket     string         `json:"ticket,omitempty"`
	Actor      string         `json:"actor,omitempty"` // who started it
	Role       string         `json:"role,omitempty"`  // of the actor
}

// GenerationsPage answers GET /v1/generations, ordered by number.
type GenerationsPage struct {
	Items      []GenerationAnswer `json:"items"`
	Active     uint32             `json:"active"`
	AppliedSeq uint64             `json:"applied_seq"`
}

// DiffAnswer answers GET /v1/generations/{generation}/diff: what differs from the active generation up to Position.
type DiffAnswer struct {
	Generation uint32         `json:"generation"`
	Against    uint32         `json:"against"`  // the active generation
	Position   uint64         `json:"position"` // last event compared
	Events     uint64         `json:"events"`   // submissions compared
	Flips      uint64         `json:"flips"`
	Direct     uint64         `json:"direct"`   // their own verdict changed
	KnockOn    uint64         `json:"knock_on"` // another submission's change changed them
	First      uint64         `json:"first"`    // seq of the first flip, 0 for none
	Last       uint64         `json:"last"`
	Digest     string         `json:"digest"`     // the position in 16 hex digits, then a SHA-256; activation wants it
	ByOutcome  map[string]int `json:"by_outcome"` // "accepted->escalated": n
	ByReason   map[string]int `json:"by_reason"`  // reason code under the new generation
	ByShard    map[string]int `json:"by_shard"`
	ByKey      map[string]int `json:"by_key"`
}

// FlipSide is what one generation says of a submission.
type FlipSide struct {
	Outcome    string `json:"outcome"`
	Accepted   bool   `json:"accepted"`
	ReasonCode string `json:"reason_code"`
	Policy     string `json:"policy"`
	Replayed   bool   `json:"replayed"`
	BehindSeq  uint64 `json:"behind_seq"` // the submission that decided this one, 0 for none
}

// Flip is a submission of which two generations say different things.
type Flip struct {
	Seq     uint64   `json:"seq"`
	PCSID   string   `json:"pcs_id"`
	ShardID string   `json:"shard_id"`
	Epoch   int64    `json:"epoch"`
	KeyID   string   `json:"key_id"`
	Cause   string   `json:"cause"`  // direct or knock_on
	Behind  uint64   `json:"behind"` // for knock_on: the submission whose change changed this one
	Old     FlipSide `json:"old"`
	New     FlipSide `json:"new"`
}

// FlipsPage answers GET /v1/generations/{generation}/flips, ordered by seq. As NDJSON the items come one per line, closed
// by a Trailer.
type FlipsPage struct {
	Items      []Flip `json:"items"`
	NextCursor string `json:"next_cursor"`
	Position   uint64 `json:"position"`
	Generation uint32 `json:"generation"`
}

// ActivateRequest is the body of POST /v1/generations/{generation}/activate.
type ActivateRequest struct {
	Act
	Diff        string  `json:"diff"`                    // digest of the diff that was reviewed
	MaxNewFlips *uint64 `json:"max_new_flips,omitempty"` // refuse when more submissions have flipped since
	Force       bool    `json:"force,omitempty"`         // although nodes or the review are far behind the end of the log
}

// RollbackRequest is the body of POST /v1/generations/rollback: back to the previous generation.
type RollbackRequest struct{ Act }

// ActivateAnswer answers an activation or a rollback: the switch happens on every node at Seq.
type ActivateAnswer struct {
	Generation uint32   `json:"generation"`
	From       uint32   `json:"from"`
	Seq        uint64   `json:"seq"`      // events after this one are answered by Generation
	Position   uint64   `json:"position"` // reviewed up to here
	Diff       string   `json:"diff"`
	AfterFlips uint64   `json:"after_review"` // flips after Position, as the answering node counted them before the switch
	Reporters  []string `json:"reporters"`
	Absent     []string `json:"absent"`
}

// DropAnswer answers DELETE /v1/generations/{generation}.
type DropAnswer struct {
	Generation uint32 `json:"generation"`
	Seq        uint64 `json:"seq"`
}

// RevokeRequest is the body of POST /v1/keys/{key_id}/revoke.
type RevokeRequest struct {
	Act
	Since string `json:"since,omitempty"` // RFC 3339, log time: from here on a generation with hindsight counts nothing; default now
}

// RevokeAnswer answers it: what the key signs in events after Seq counts for nothing.
type RevokeAnswer struct {
	KeyID string `json:"key_id"`
	Seq   uint64 `json:"seq"`
	Since string `json:"since"`
}

// HistoryEntry is one thing that was said of a pcs_id: submission Seq had this outcome from event FromSeq on.
type HistoryEntry struct {
	Generation uint32 `json:"generation"`
	Policy     string `json:"policy"`
	Outcome    string `json:"outcome"`
	Accepted   bool   `json:"accepted"`
	ReasonCode string `json:"reason_code"`
	Seq        uint64 `json:"seq"`
	FromSeq    uint64 `json:"from_seq"`
}
