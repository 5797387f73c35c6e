package wire

import (
	"encoding/json"
	"strconv"
)

// ApprovalRequest is the body of POST /v1/approvals: yes to what another actor has asked for under an op_id.
type ApprovalRequest struct {
	Act
	Approve string `json:"approve"`       // the op_id of what was asked for
	Run     bool   `json:"run,omitempty"` // also carry it out, exactly as it is in the log
}

// The words of Operation.Act.
const (
	OperationActivate = "activate"
	OperationRollback = "rollback"
	OperationThaw     = "thaw"
	OperationApply    = "apply"
)

// Operation is what was asked for under the two-person rule, as it is carried out. The members that its act does not need
// are empty.
type Operation struct {
	Act         string  `json:"act"`
	Generation  uint32  `json:"generation,omitempty"`    // activate
	Diff        string  `json:"diff,omitempty"`          // activate: digest of the diff that was reviewed
	MaxNewFlips *uint64 `json:"max_new_flips,omitempty"` // activate
	Force       bool    `json:"force,omitempty"`         // activate
	Policy      string  `json:"policy,omitempty"`        // apply
	Scope       string  `json:"scope,omitempty"`         // thaw
	Subject     string  `json:"subject,omitempty"`       // thaw
}

// Position is the last event of the reviewed diff, which its digest begins with; 0 when there is none.
func (o *Operation) Position() uint64 {
	if len(o.Diff) < 16 {
		return 0
	}
	n, err := strconv.ParseUint(o.Diff[:16], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// The values of ApprovalAnswer.State.
const (
	ApprovalAsked    = "asked"    // waits for a second actor
	ApprovalApproved = "approved" // two actors have said yes; anybody of them may carry it out
	ApprovalDone     = "done"
)

// ApprovalAnswer is an operation that was asked for under the two-person rule. It answers POST /v1/approvals and is an item of
// ApprovalsPage.
type ApprovalAnswer struct {
	OpID      string          `json:"op_id"`
	Act       string          `json:"act"`                 // activate, rollback, thaw or apply
	Request   string          `json:"request"`             // what exactly is asked for
	Operation *Operation      `json:"operation,omitempty"` // the same, as it is carried out; nil when an old release has asked
	State     string          `json:"state"`
	Actors    []string        `json:"actors"` // who has said yes; the first has asked
	AskedAt   string          `json:"asked_at"`
	ExpiresAt string          `json:"expires_at"` // of the first yes, log time
	Seq       uint64          `json:"seq"`        // event of the first yes
	Reason    string          `json:"reason,omitempty"`
	Ticket    string          `json:"ticket,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"` // when it was carried out: the answer that the request itself gets
}

// ApprovalsPage answers GET /v1/approvals, oldest first.
type ApprovalsPage struct {
	Items      []ApprovalAnswer `json:"items"`
	AppliedSeq uint64           `json:"applied_seq"`
}
