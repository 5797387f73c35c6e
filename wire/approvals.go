package wire

import (
	"encoding/json"
	"strconv"
)

// ApprovalRequest is the body of POST /v1/approvals: the approval of an operation that another actor requested
// under an op_id.
type ApprovalRequest struct {
	Op
	Approve string `json:"approve"`       // the op_id of the requested operation
	Run     bool   `json:"run,omitempty"` // also carry it out, exactly as logged
}

// The values of PendingOperation.Name.
const (
	OperationActivate = "activate"
	OperationRollback = "rollback"
	OperationThaw     = "thaw"
	OperationApply    = "apply"
)

// PendingOperation is an operation as an actor requested it under the two-person rule, to be carried out once a
// second actor approves. Members that it does not need are empty.
type PendingOperation struct {
	Name        string  `json:"name"`
	Generation  uint32  `json:"generation,omitempty"`    // activate
	Diff        string  `json:"diff,omitempty"`          // activate: digest of the diff that was reviewed
	MaxNewFlips *uint64 `json:"max_new_flips,omitempty"` // activate
	Force       bool    `json:"force,omitempty"`         // activate
	Policy      string  `json:"policy,omitempty"`        // apply
	Scope       string  `json:"scope,omitempty"`         // thaw
	Subject     string  `json:"subject,omitempty"`       // thaw
}

// Position returns the last event of the reviewed diff, with which its digest begins. It returns 0 if there is
// none.
func (o *PendingOperation) Position() uint64 {
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
	ApprovalApproved = "approved" // two actors have approved; either may carry it out
	ApprovalDone     = "done"
)

// ApprovalAnswer is an operation that was requested under the two-person rule. It is the response to POST
// /v1/approvals and an item of ApprovalsPage.
type ApprovalAnswer struct {
	OpID    string `json:"op_id"`
	Name    string `json:"name"`    // activate, rollback, thaw or apply
	Request string `json:"request"` // the exact request
	// the same, as it is carried out; nil if an old release requested it
	Operation *PendingOperation `json:"operation,omitempty"`
	State     string            `json:"state"`
	Actors    []string          `json:"actors"` // approvers, the requester first
	AskedAt   string            `json:"asked_at"`
	ExpiresAt string            `json:"expires_at"` // of the request, log time
	Seq       uint64            `json:"seq"`        // event of the request
	Reason    string            `json:"reason,omitempty"`
	Ticket    string            `json:"ticket,omitempty"`
	// once it was carried out: the response that the request itself gets
	Result json.RawMessage `json:"result,omitempty"`
}

// ApprovalsPage is the response to GET /v1/approvals, oldest first.
type ApprovalsPage struct {
	Items      []ApprovalAnswer `json:"items"`
	AppliedSeq uint64           `json:"applied_seq"`
}
