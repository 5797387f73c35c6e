package wire

// HeaderLastEventID carries the id of the last server-sent event that a reader has. The stream goes on behind it.
const HeaderLastEventID = "Last-Event-ID"

// Kinds of the events of GET /v1/audit/stream, in their field event.
const (
	StreamSubmission = "submission" // the data is an AuditItem, the id its seq
	StreamEnd        = "end"        // the data is a StreamEnded, the last event of a stream that a node ends
)

// Reasons of a StreamEnded. The set is closed.
const (
	EndedGeneration = "generation_changed" // rows that follow are those of another generation
	EndedCredential = "credential_ended"   // the token or certificate is revoked or has expired
	EndedNotReady   = "not_ready"          // the node answers no reads for now: ask another one
	EndedStopping   = "stopping"           // the node stops: ask another one
	EndedSlow       = "slow_reader"        // the reader took too long for what was sent
	EndedFailed     = "failed"             // a fault of the node; its log has the request id
)

// StreamEnds returns every reason of a StreamEnded, in a fixed order.
func StreamEnds() []string {
	return []string{EndedGeneration, EndedCredential, EndedNotReady, EndedStopping, EndedSlow, EndedFailed}
}

// StreamEnded is the data of the last event of GET /v1/audit/stream. A reader that asks again with Last-Event-ID: Seq
// misses nothing and gets nothing twice.
type StreamEnded struct {
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`     // one English sentence
	Seq        uint64 `json:"seq"`        // every submission up to here that passes the filters was sent
	Generation uint32 `json:"generation"` // the generation whose outcomes were sent
}
