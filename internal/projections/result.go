package projections

import (
	"errors"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
)

// Errors of this package. All but ErrNotFound stop a fold, because the log holds something that this binary
// cannot fold.
var (
	ErrUnknownKind = errors.New("projections: an event of a kind that this build does not know")
	ErrBadEvent    = errors.New("projections: event cannot be decoded")
	ErrOrder       = errors.New("projections: event out of order")
	ErrNoPolicy    = errors.New("projections: submission before the genesis event")
	ErrNotFound    = errors.New("projections: no such row")
	ErrCorrupt     = errors.New("projections: row cannot be read")
)

// Result is the outcome of one submission, as folded or as read back from its row.
//
// The Result of a replay repeats the outcome that stands: Outcome, Accepted, Reason, Reasons, Status, DHat,
// Budget and Policy are those of event JudgedSeq. Seq, LogTime, ReceivedAt and KeyID are its own.
type Result struct {
	Seq        uint64 // the event, 0 in the zero Result that Fold returns for an operator's event
	Outcome    verify.Outcome
	Accepted   bool
	Reason     verify.Reason   // first failing check
	Reasons    []verify.Reason // all failing checks in the order of checking, nil when ok
	RuleReason string          // the code of the policy's rule if ReasonRule is among them
	HasDHat    bool            // whether D_hat could be recomputed
	DHat       nano.Nano       // recomputed D_hat: the upper middle slope
	DHatLower  nano.Nano       // the lower middle slope
	HasBudget  bool            // whether the budget was recomputed (structure and signature were valid)
	Budget     nano.Nano       // recomputed budget
	Detail     string          // one English sentence about Reason, "" when there is none
	PCSID      string          // lower-case hex; for a refused submission the id as claimed, "" if there was none
	ShardID    string          // "" when it could not be read
	Epoch      int64
	MerkleRoot string // lower-case hex
	LogTime    int64  // Unix nanoseconds, the ledger's clock
	ReceivedAt int64  // Unix nanoseconds, the receiving node's clock
	Node       string // the node that received the submission
	Policy     [32]byte
	Generation uint32
	KeyID      string // "" when no key verified the signature
	Facts      verify.Facts

	Replayed    bool   // the outcome of JudgedSeq was repeated
	Reverified  bool   // same signed values as FirstSeq, judged again after the TTL
	Evidence    bool   // same signed values as JudgedSeq, but other unsigned inputs or another key
	FirstSeq    uint64 // first submission that occupied the id: own Seq if this one did, 0 if none did
	JudgedSeq   uint64 // event whose judgement is the response: own Seq unless Replayed or Conflict
	CausedBySeq uint64 // for replays, conflicts and epochs, the submission that caused this outcome; otherwise 0

	// First is the outcome that stands, for replays and conflicts. Fold and Row set it. It is nil in lists.
	First *Result
	// Marks record the changes that the event made.
	Occupied   bool  // it occupies or renews its id
	HadMark    bool  // the shard had a high-water mark before it
	MarkBefore int64 // that mark
	MovedMark  bool  // the mark is now Epoch
	Registered bool  // (shard, epoch) now names MerkleRoot

	// FactsMismatch means that this node holds the HMAC key, whose secret is not retired, and the recorded
	// signature facts do not verify with it. The outcome still follows the recorded facts. FactsMismatch is not
	// part of any row or digest. Only Fold sets it.
	FactsMismatch bool

	// MaxEpoch is the highest epoch with an occupied id in the shard after this event, or -1 if there is none
	// or the submission did not pass validation. Only Fold sets it.
	MaxEpoch int64

	// AgainSeq is the event that holds the evidence if this submission repeats a refusal within the TTL, and 0
	// otherwise. It is not part of any row. Fold and Again set it.
	AgainSeq uint64

	policySeq uint64   // event that put Policy in force
	wrote     [32]byte // digest of the rows that were written beside this one
}

// ReasonCode returns the first reason as clients see it. If a rule decided, it is the code of the rule.
func (r *Result) ReasonCode() string {
	if r.Reason == verify.ReasonRule {
		return r.RuleReason
	}
	return r.Reason.String()
}

// ReasonCodes returns all reasons as clients see them.
func (r *Result) ReasonCodes() []string {
	out := make([]string, len(r.Reasons))
	for i, x := range r.Reasons {
		if out[i] = x.String(); x == verify.ReasonRule {
			out[i] = r.RuleReason
		}
	}
	return out
}

// ReasonText explains an outcome to people. The fold keeps no text where the state of a
// key decided. The texts for these cases name no key, because everybody may look up a record.
func (r *Result) ReasonText() string {
	if r.Detail != "" {
		return r.Detail
	}
	switch r.Reason {
	case verify.ReasonBadSignature:
		return "no registered key verifies the signature"
	case verify.ReasonKeyNotAllowed:
		return "the terms of the key that signed it do not allow this shard at this time"
	case verify.ReasonKeyRevoked:
		return "the key that signed it is revoked"
	}
	return ""
}
