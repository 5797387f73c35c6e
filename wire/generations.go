package wire

// Values of GenerationAnswer.State.
const (
	GenerationBuilding = "building" // folded beside the active one, not active yet
	GenerationReady    = "ready"    // built: every reachable node has compared it, and most report the same
	GenerationActive   = "active"   // the generation that reads are served from
	GenerationPrevious = "previous" // was active before, kept for a rollback
	GenerationDropped  = "dropped"  // its number is never used again
)

// Values of GenerationRequest.Keys.
const (
	KeysAsOf = "as_of" // the status of a key at each event
	// for events up to the start, the status known at the start; it can only revoke more
	KeysHindsight = "hindsight"
)

// Op holds the common members of every operator's request. All of them are kept in the log.
type Op struct {
	OpID   string `json:"op_id,omitempty"` // at most 64 bytes; a repeated op_id gets the first result
	Reason string `json:"reason,omitempty"`
	Ticket string `json:"ticket,omitempty"`
}

// Common returns the common members. Every request of an operator has this method through the embedded Op.
func (a Op) Common() Op { return a }

// PolicyRequest is the body of POST /v1/policies.
type PolicyRequest struct {
	Op
	Document string `json:"document"` // the YAML text
}

// PolicyAnswer describes a policy in the log. It is the response to POST /v1/policies (status 201, or 200 if
// the policy was already published) and GET /v1/policies/{policy_id}, and an item of PoliciesPage.
type PolicyAnswer struct {
	ID        string         `json:"id"`  // SHA-256 of the canonical form, hex
	Seq       uint64         `json:"seq"` // event that published it
	At        string         `json:"at"`  // log time of that event
	Kernel    int            `json:"kernel"`
	Rules     int            `json:"rules"`
	InForce   bool           `json:"in_force"`            // new submissions are judged under it
	Canonical map[string]any `json:"canonical,omitempty"` // not in lists
	Source    string         `json:"source,omitempty"`    // the text as published; not in lists
	Reason    string         `json:"reason,omitempty"`
	Ticket    string         `json:"ticket,omitempty"`
	Actor     string         `json:"actor,omitempty"` // who published it
	Role      string         `json:"role,omitempty"`  // of the actor

	// when it was in force, in log order; absent if it never was
	Intervals []PolicyInterval `json:"intervals,omitempty"`

	AsOf uint64 `json:"as_of,omitempty"` // as in ShardAnswer
}

// Values of PolicyInterval.By.
const (
	ByGenesis    = "genesis"     // the ledger began with it
	ByApplied    = "applied"     // applied to new submissions
	ByActivated  = "activated"   // a generation that judges by it was activated
	ByRolledBack = "rolled_back" // the previous generation was activated again
)

// PolicyInterval is a part of the log in which a policy was in force: submissions with FromSeq < seq < ToSeq
// got their first response under it.
type PolicyInterval struct {
	FromSeq    uint64 `json:"from_seq"`         // event that put it in force
	From       string `json:"from"`             // log time of that event
	ToSeq      uint64 `json:"to_seq,omitempty"` // event that put another one in force; absent while it is in force
	To         string `json:"to,omitempty"`     // log time of that event
	By         string `json:"by"`               // how it came into force
	Generation uint32 `json:"generation"`       // the active generation from FromSeq on
	Actor      string `json:"actor,omitempty"`  // who put it in force
	Role       string `json:"role,omitempty"`   // of the actor
	Reason     string `json:"reason,omitempty"`
	Ticket     string `json:"ticket,omitempty"`
}

// PoliciesPage is the response to GET /v1/policies, ordered by seq.
type PoliciesPage struct {
	Items      []PolicyAnswer `json:"items"`
	AppliedSeq uint64         `json:"applied_seq"`
	AsOf       uint64         `json:"as_of,omitempty"` // as in AuditPage
}

// ApplyRequest is the body of POST /v1/policies/{policy_id}/apply. From the event that records it on, the
// policy judges in every generation. Nothing is recounted.
type ApplyRequest struct{ Op }

// ApplyAnswer is the response to an ApplyRequest.
type ApplyAnswer struct {
	Policy string `json:"policy"`
	Seq    uint64 `json:"seq"` // the policy decides events after this one
}

// GenerationRequest is the body of POST /v1/generations.
type GenerationRequest struct {
	Op
	Policy string `json:"policy"`         // id
	From   uint64 `json:"from,omitempty"` // first seq that the policy judges; default 1
	Keys   string `json:"keys,omitempty"` // KeysAsOf or KeysHindsight; default: as the active generation
}

// ScheduleStep names the policy that judges from an event on.
type ScheduleStep struct {
	FromSeq uint64 `json:"from_seq"`
	Policy  string `json:"policy"`
}

// NodeProgress is the progress of one node in folding a generation.
type NodeProgress struct {
	Node      string  `json:"node"`
	State     string  `json:"state"`     // following, building, paused, unreachable
	Seq       uint64  `json:"seq"`       // last event folded
	Compared  uint64  `json:"compared"`  // last event compared with the active generation
	Committed uint64  `json:"committed"` // last event committed, as far as this node knows
	Rate      float64 `json:"rate"`      // events per second, over the last seconds
	ETA       float64 `json:"eta"`       // seconds until it has caught up; -1 when unknown
	Why       string  `json:"why"`       // reason of a pause
	// digest of the diff at the requested position, empty if not compared so far
	DiffAt    string `json:"diff_at"`
	StateAt   string `json:"state_at"`   // digest of the generation at that position
	DiskFree  uint64 `json:"disk_free"`  // bytes
	DiskBytes uint64 `json:"disk_bytes"` // bytes that the generation takes
}

// GenerationAnswer describes a generation. It is the response to POST /v1/generations (status 202) and GET
// /v1/generations/{generation}, and, without Nodes, an item of GenerationsPage.
type GenerationAnswer struct {
	Generation uint32         `json:"generation"`
	State      string         `json:"state"`
	Policy     string         `json:"policy"` // the one that judges new events
	Schedule   []ScheduleStep `json:"schedule"`
	Keys       string         `json:"keys"`
	StartedSeq uint64         `json:"started_seq"` // event that started it, 1 for the first
	Activated  []uint64       `json:"activated"`   // events that made it the active one
	// event for DiffAt and StateAt: the last one that all reachable nodes have compared
	Position uint64 `json:"position"`
	// nodes that have compared all events up to its start and the last switch, and follow the log
	Reported int `json:"reported"`
	// a majority of the voters report one digest at Position and none another
	Agree     bool           `json:"agree"`
	Operation string         `json:"operation"`        // path of this resource, for polling
	Nodes     []NodeProgress `json:"nodes,omitempty"`  // by node id
	Reason    string         `json:"reason,omitempty"` // given at the start
	Ticket    string         `json:"ticket,omitempty"`
	Actor     string         `json:"actor,omitempty"` // who started it
	Role      string         `json:"role,omitempty"`  // of the actor
}

// GenerationsPage is the response to GET /v1/generations, ordered by number.
type GenerationsPage struct {
	Items      []GenerationAnswer `json:"items"`
	Active     uint32             `json:"active"`
	AppliedSeq uint64             `json:"applied_seq"`
}

// DiffAnswer is the response to GET /v1/generations/{generation}/diff: the differences from the active
// generation up to Position.
type DiffAnswer struct {
	Generation uint32 `json:"generation"`
	Against    uint32 `json:"against"`  // the active generation, or the one that was active before the activation
	Position   uint64 `json:"position"` // last event compared
	Events     uint64 `json:"events"`   // submissions compared
	Flips      uint64 `json:"flips"`
	Direct     uint64 `json:"direct"`   // their own verdict changed
	Indirect   uint64 `json:"indirect"` // the change of another submission changed them
	First      uint64 `json:"first"`    // seq of the first flip, 0 for none
	Last       uint64 `json:"last"`
	// the position in 16 hex digits, then a SHA-256; activation requires it
	Digest    string         `json:"digest"`
	ByOutcome map[string]int `json:"by_outcome"` // "accepted->escalated": n
	ByReason  map[string]int `json:"by_reason"`  // reason code under the new generation
	ByShard   map[string]int `json:"by_shard"`
	ByKey     map[string]int `json:"by_key"`
	// The event that activated the generation, if the answer is what that event has changed. Digest is the one that
	// was reviewed then. 0 for a generation that is compared with the active one now.
	ActivatedSeq uint64 `json:"activated_seq,omitempty"`
}

// FlipSide is the judgement of one generation on a submission.
type FlipSide struct {
	Outcome     string `json:"outcome"`
	Accepted    bool   `json:"accepted"`
	ReasonCode  string `json:"reason_code"`
	Policy      string `json:"policy"`
	Replayed    bool   `json:"replayed"`
	CausedBySeq uint64 `json:"caused_by_seq"` // the submission that decided this one, 0 for none
}

// Flip is a submission that two generations judge differently.
type Flip struct {
	Seq         uint64   `json:"seq"`
	PCSID       string   `json:"pcs_id"`
	ShardID     string   `json:"shard_id"`
	Epoch       int64    `json:"epoch"`
	KeyID       string   `json:"key_id"`
	Cause       string   `json:"cause"`         // direct or indirect
	CausedBySeq uint64   `json:"caused_by_seq"` // for indirect: the submission whose change caused this one
	Old         FlipSide `json:"old"`
	New         FlipSide `json:"new"`
}

// FlipsPage is the response to GET /v1/generations/{generation}/flips, ordered by seq. As NDJSON the items come
// one per line, followed by a Trailer.
type FlipsPage struct {
	Items      []Flip `json:"items"`
	NextCursor string `json:"next_cursor"`
	Position   uint64 `json:"position"`
	Generation uint32 `json:"generation"`
}

// ActivateRequest is the body of POST /v1/generations/{generation}/activate.
type ActivateRequest struct {
	Op
	Diff        string  `json:"diff"`                    // digest of the diff that was reviewed
	MaxNewFlips *uint64 `json:"max_new_flips,omitempty"` // fail if more submissions have flipped since
	// activate although nodes or the review are far behind the end of the log
	Force bool `json:"force,omitempty"`
}

// RollbackRequest is the body of POST /v1/generations/rollback: back to the previous generation.
type RollbackRequest struct{ Op }

// ActivateAnswer is the response to an activation or a rollback. Every node switches at Seq.
type ActivateAnswer struct {
	Generation uint32 `json:"generation"`
	From       uint32 `json:"from"`
	Seq        uint64 `json:"seq"`      // Generation serves events after this one
	Position   uint64 `json:"position"` // reviewed up to here
	Diff       string `json:"diff"`
	// flips after Position, as counted by the responding node before the switch
	AfterFlips uint64   `json:"after_review"`
	Reporters  []string `json:"reporters"`
	Absent     []string `json:"absent"`
}

// DropAnswer is the response to DELETE /v1/generations/{generation}.
type DropAnswer struct {
	Generation uint32 `json:"generation"`
	Seq        uint64 `json:"seq"`
}

// RevokeRequest is the body of POST /v1/keys/{key_id}/revoke.
type RevokeRequest struct {
	Op
	// RFC 3339, log time from which a generation with hindsight ignores the key; default now
	Since string `json:"since,omitempty"`
}

// RevokeAnswer is the response to a RevokeRequest. The key is revoked for events after Seq.
type RevokeAnswer struct {
	KeyID string `json:"key_id"`
	Seq   uint64 `json:"seq"`
	Since string `json:"since"`
}

// HistoryEntry is one outcome in the history of a pcs_id: submission Seq had it from event FromSeq on.
type HistoryEntry struct {
	Generation uint32 `json:"generation"`
	Policy     string `json:"policy"`
	Outcome    string `json:"outcome"`
	Accepted   bool   `json:"accepted"`
	ReasonCode string `json:"reason_code"`
	Seq        uint64 `json:"seq"`
	FromSeq    uint64 `json:"from_seq"`
}

// PCSHistory is the response to GET /v1/pcs/{pcs_id}/history: every answer that was given to a record. A refused
// submission occupies no id, so it is here only if an activation changed its answer.
type PCSHistory struct {
	PCSID       string              `json:"pcs_id"`
	Submissions []SubmissionHistory `json:"submissions"` // in ascending seq
	More        bool                `json:"more"`        // older submissions of the record are left out
	AppliedSeq  uint64              `json:"applied_seq"`
	Generation  uint32              `json:"generation"`
}

// SubmissionHistory has the answers to one submission: the first one, and every later one that has another outcome
// or another accepted, in their order. The last one stands.
type SubmissionHistory struct {
	Seq     uint64        `json:"seq"`
	Answers []GivenAnswer `json:"answers"`
}

// BySubmitted is the cause of the first answer to a submission. Later ones have ByActivated or ByRolledBack.
const BySubmitted = "submitted"

// GivenAnswer is an answer with the event that made it one.
type GivenAnswer struct {
	AuditAnswer
	FromSeq     uint64 `json:"from_seq"`                // the submission itself, or the activation of the generation
	At          string `json:"at"`                      // log time of that event
	By          string `json:"by"`                      // submitted, activated or rolled_back
	CausedBySeq uint64 `json:"caused_by_seq,omitempty"` // the submission that decided it, if another one did
	Actor       string `json:"actor,omitempty"`         // of the activation, as Reason and Ticket are
	Reason      string `json:"reason,omitempty"`
	Ticket      string `json:"ticket,omitempty"`
}
