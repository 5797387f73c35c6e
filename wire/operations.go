package wire

// The effects of an operation in OperationItem.
const (
	EffectApplied  = "applied"
	EffectRepeated = "repeated" // it was already done, or its op_id was already used
	EffectIgnored  = "ignored"  // it did not fit the state, or its credential was revoked
)

// OperationItem is an entry of the list of operations: the event of one that an operator did.
type OperationItem struct {
	Seq        uint64         `json:"seq"`
	LogTime    string         `json:"log_time"`
	Kind       string         `json:"kind"` // of the event, such as policy_applied
	Effect     string         `json:"effect"`
	Actor      string         `json:"actor"`
	Role       string         `json:"role"`
	Credential string         `json:"credential"` // token:ID, cert:SERIAL, or empty
	Reason     string         `json:"reason"`
	Ticket     string         `json:"ticket"`
	OpID       string         `json:"op_id"`
	RequestID  string         `json:"request_id"`
	Node       string         `json:"node"`  // node that received the request
	About      map[string]any `json:"about"` // the other members of the event, bytes in hex
}

// OperationsPage is the response to GET /v1/operations, oldest first. NextSeq is the from_seq of the next page, 0 on the
// last one.
type OperationsPage struct {
	Items      []OperationItem `json:"items"`
	NextSeq    uint64          `json:"next_seq"`
	AppliedSeq uint64          `json:"applied_seq"`
}
