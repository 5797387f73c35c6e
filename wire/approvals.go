package wire

// ApprovalRequest is the body of POST /v1/approvals: yes to what another actor has asked for under an op_id.
type ApprovalRequest struct {
	Act
	Approve string `json:"approve"` // the op_id of the act
}

// ApprovalAnswer is an act that was asked for under the two-person rule and is not done yet. It answers POST /v1/approvals and
// is an item of ApprovalsPage.
type ApprovalAnswer struct {
	OpID      string   `json:"op_id"`
	Act       string   `json:"act"`     // activate, rollback or thaw
	Request   string   `json:"request"` // what exactly is asked for
	Actors    []string `json:"actors"`  // who has said yes; the first has asked
	AskedAt   string   `json:"asked_at"`
	ExpiresAt string   `json:"expires_at"` // of the first yes, log time
	Seq       uint64   `json:"seq"`        // event of the first yes
	Reason    string   `json:"reason,omitempty"`
	Ticket    string   `json:"ticket,omitempty"`
}

// ApprovalsPage answers GET /v1/approvals, oldest first.
type ApprovalsPage struct {
	Items      []ApprovalAnswer `json:"items"`
	AppliedSeq uint64           `json:"applied_seq"`
}
