package wire

import (
	"net/http"
	"strings"
	"time"

	"github.com/recount-ledger/recount/nano"
)

// Code identifies a kind of problem. The set is closed. The page /problems/<slug> explains each code.
type Code string

// The problem codes. The slug of a code is the code with hyphens.
const (
	CodeMalformed       Code = "malformed"
	CodeSchema          Code = "schema"
	CodeIDMismatch      Code = "id_mismatch"
	CodeBadSignature    Code = "bad_signature"
	CodeKeyNotAllowed   Code = "key_not_allowed"
	CodeConflict        Code = "conflict"
	CodeEpochRegression Code = "epoch_regression"
	CodeRefused         Code = "refused"
	CodeTooLarge        Code = "too_large"
	CodeMediaType       Code = "unsupported_media_type"
	CodeEncoding        Code = "unsupported_encoding"
	CodeThrottled       Code = "throttled"
	CodeFrozen          Code = "frozen"
	CodeNoLeader        Code = "no_leader"
	CodeOverloaded      Code = "overloaded"
	CodeKeysUnconfirmed Code = "keys_unconfirmed"
	CodeOutcomeUnknown  Code = "outcome_unknown"
	CodeNotReady        Code = "not_ready"
	CodeShuttingDown    Code = "shutting_down"
	CodeBehind          Code = "behind"
	CodeBadRequest      Code = "bad_request"
	CodeTimeout         Code = "request_timeout"
	CodeUnauthorized    Code = "unauthorized"
	CodeForbidden       Code = "forbidden"
	CodeMisdirected     Code = "misdirected"
	CodeNotFound        Code = "not_found"
	CodeMethod          Code = "method_not_allowed"
	CodeNotAcceptable   Code = "not_acceptable"
	CodeReplaced        Code = "projection_replaced"
	CodeBadPolicy       Code = "bad_policy"
	CodeStale           Code = "stale"
	CodeOpIDReused      Code = "op_id_reused"
	CodeApprovalNeeded  Code = "approval_needed"
	CodeNoAgreement     Code = "no_agreement"
	CodeFarBehind       Code = "far_behind"
	CodeDiskFull        Code = "disk_full"
	CodeClock           Code = "clock"
	CodeInternal        Code = "internal"
)

// CodeInfo describes a Code: the usual status, the reason_code, the title and a paragraph for the reader.
type CodeInfo struct {
	Code       Code
	Status     int
	ReasonCode string
	Title      string
	About      string
}

var codeInfos = []CodeInfo{
	{CodeMalformed, 400, "malformed", "Malformed body",
		"The body is not exactly one well-formed JSON object in valid UTF-8 with unique member names, or a " +
			"number is outside the double range. Keep the record and tell its operator: sending the same again " +
			"changes nothing."},
	{CodeSchema, 400, "schema", "Body does not fit the schema",
		"A member is missing, has the wrong type, is out of range or is spelled in another letter case. " +
			"\"field\" names it. Keep the record and tell its operator: sending the same again changes nothing."},
	{CodeIDMismatch, 400, "id_mismatch", "pcs_id does not match",
		"pcs_id must be the lower-case hex SHA-256 of merkle_root|epoch|shard_id as written in the record. " +
			"Keep the record and tell its operator: sending the same again changes nothing."},
	{CodeBadSignature, 401, "bad_signature", "Signature does not verify",
		"No registered key verifies the signature over the record as sent. The answer does not reveal which " +
			"part was wrong. Check the key, the scheme (sig_scheme), the canonical form and the base64 text. " +
			"Keep the record and tell its operator: sending the same again changes nothing."},
	{CodeKeyNotAllowed, 403, "key_not_allowed", "Key not allowed here",
		"The signature is valid, but its key may not submit to this shard, or no longer may. Keep the record " +
			"and tell its operator: sending the same again changes nothing."},
	{CodeConflict, 409, "conflict", "Conflicts with an earlier record",
		"Another record with the same pcs_id and other signed values was first. Its outcome stands and is in " +
			"\"first\". This record is kept as evidence. The same record again gets the same answer, with the " +
			"seq of that evidence and replayed: true. Keep the record and tell its operator: compute a record " +
			"once and send it unchanged."},
	{CodeEpochRegression, 409, "epoch_regression", "Epoch below the high-water mark",
		"The shard has already accepted a later epoch, and the policy in force rejects older ones. Send the " +
			"records of a shard in the order of their epochs. A policy with epochs.late_window accepts late " +
			"epochs that no record has used. Keep the record and tell its operator: sending the same again " +
			"changes nothing."},
	{CodeRefused, 403, "refused", "Refused by the policy",
		"A rule of the policy in force refuses this record. reason_code names the rule. Keep the record and " +
			"tell its operator: sending the same again changes nothing."},
	{CodeTooLarge, 413, "too_large", "Body too large",
		"The body is larger than this node accepts. The limit is in \"detail\". Keep the record and tell its " +
			"operator: sending the same again changes nothing."},
	{CodeMediaType, 415, "http", "Unsupported media type",
		"Submissions must be sent as Content-Type: application/json. Parameters such as charset=utf-8 are " +
			"allowed. Keep the record and tell its operator: sending the same again changes nothing."},
	{CodeEncoding, 415, "http", "Unsupported content encoding",
		"Submissions must be sent without Content-Encoding: the bytes sent are the bytes kept. Keep the record " +
			"and tell its operator: sending the same again changes nothing."},
	{CodeThrottled, 429, "throttled", "Too many submissions",
		"This node, your address or the signing key has reached its rate limit. \"detail\" names which. Wait " +
			"as long as Retry-After says and send the same record again."},
	{CodeFrozen, 503, "frozen", "Submissions are frozen",
		"An operator has frozen the ledger, this shard or this key. Send the same record again after " +
			"Retry-After, until the freeze ends."},
	{CodeNoLeader, 503, "no_leader", "No leader",
		"The cluster has no leader at the moment, so nothing can be committed. Send the same record again, to " +
			"any node."},
	{CodeClock, 503, "clock", "Clocks disagree",
		"No majority of the nodes agrees on the time, so nothing can be committed. \"detail\" has the offset " +
			"of this node's clock. Send the same record again when the clocks are right."},
	{CodeOverloaded, 503, "overloaded", "Overloaded",
		"The queues of this node are full. Send the same record again after Retry-After."},
	{CodeKeysUnconfirmed, 503, "keys_unconfirmed", "Key list not confirmed as current",
		"No known key verifies the signature, but this node cannot confirm that its list of keys is current. " +
			"Send the same record again after Retry-After, to any node."},
	{CodeOutcomeUnknown, 504, "outcome_unknown", "Outcome unknown",
		"The record may or may not have been committed when the deadline passed. Send the same record again: " +
			"it is counted once."},
	{CodeNotReady, 503, "not_ready", "Not ready",
		"This node cannot serve yet. /readyz?verbose shows which check fails. Ask another node: send the same " +
			"record again there."},
	{CodeShuttingDown, 503, "shutting_down", "Shutting down",
		"This node is stopping. Ask another node: send the same record again there."},
	{CodeBehind, 503, "behind", "Position not reached",
		"This node did not reach the requested position before the deadline. Repeat the read or ask another node."},
	{CodeBadRequest, 400, "http", "Bad request", "A query or path parameter is wrong. \"field\" names it."},
	{CodeTimeout, 408, "http", "Request too slow",
		"The request body did not arrive in time. Send the same record again."},
	{CodeUnauthorized, 401, "http", "Credentials needed",
		"This route needs a valid token or client certificate. The answer does not reveal what was wrong with " +
			"the one that you sent."},
	{CodeForbidden, 403, "http", "Not allowed for this role",
		"The credentials are valid, but their role may not do this. docs/roles.md has the table of routes and roles."},
	{CodeMisdirected, 421, "http", "Ask the leader",
		"A caller with a client certificate must send an operation to the leader itself, because a node cannot " +
			"forward the certificate. \"leader\" has its address."},
	{CodeNotFound, 404, "not_found", "Not found", "No object has this name, or the route does not exist."},
	{CodeMethod, 405, "http", "Method not allowed",
		"The route exists, but not for this method. The header Allow lists its methods."},
	{CodeNotAcceptable, 406, "http", "Not acceptable",
		"The route cannot answer in any of the media types that Accept lists."},
	{CodeReplaced, 410, "http", "Projection replaced",
		"The cursor, or the request, is about a generation that is dropped since another one was activated. Start the " +
			"list again without the cursor. With as_of and the number of an event you get what was answered then, " +
			"and such a list continues across activations. \"detail\" names the event."},
	{CodeBadPolicy, 422, "http", "Policy cannot be used",
		"The document is not a policy that this release can apply. \"detail\" says where and why. Nothing was " +
			"changed."},
	{CodeStale, 409, "http", "State has changed",
		"The generation is not in a state that allows this, or the diff that you named is not the current one. " +
			"Read it again: recount generation list, recount generation diff."},
	{CodeOpIDReused, 409, "http", "op_id used for something else",
		"An operation in the log has this op_id and asks for something else. One op_id names one operation, " +
			"permanently. Send the request under another op_id. Nothing was changed."},
	{CodeApprovalNeeded, 409, "http", "A second actor must approve",
		"The two-person rule is on. The request is in the log under its op_id. Another actor must approve it " +
			"within an hour, then either of you carries it out. Nothing was changed."},
	{CodeNoAgreement, 503, "http", "No agreement among the voters",
		"Activation needs equal digests from a majority of the voters and no different one. \"detail\" lists " +
			"the reports. Nothing was changed."},
	{CodeFarBehind, 409, "http", "Too far behind to be activated",
		"A node that reports the diff has not folded the generation near the end of the log, or the diff was " +
			"reviewed long ago. After an activation now, no node would serve until the rest is folded. Wait, " +
			"review a newer diff, or activate with force. Nothing was changed."},
	{CodeDiskFull, 507, "http", "Not enough disk space",
		"A member has not enough free disk space for another generation. \"detail\" names it. Nothing was changed."},
	{CodeInternal, 500, "http", "Internal error",
		"Something went wrong in the node. Its log has the request id. For a submission the outcome is " +
			"unknown. Send the same record again: it is counted once."},
}

var codeByName = func() map[Code]CodeInfo {
	m := make(map[Code]CodeInfo, len(codeInfos))
	for _, info := range codeInfos {
		m[info.Code] = info
	}
	return m
}()

// Codes returns every problem code with its description, in a fixed order.
func Codes() []CodeInfo { return append([]CodeInfo(nil), codeInfos...) }

// Info returns the description of c. An unknown code has the description of CodeInternal.
func (c Code) Info() CodeInfo {
	if info, ok := codeByName[c]; ok {
		return info
	}
	return codeByName[CodeInternal]
}

// Slug returns the last part of the problem's type URI: the code with hyphens.
func (c Code) Slug() string { return strings.ReplaceAll(string(c), "_", "-") }

// StatusOf returns the HTTP status of the response to a submission, from its outcome and its first reason. A
// reason that a policy defines has the status of CodeRefused.
func StatusOf(outcome, reason string) int {
	switch outcome {
	case OutcomeAccepted:
		return http.StatusOK
	case OutcomeEscalated:
		return http.StatusAccepted
	case OutcomeConflict:
		return CodeConflict.Info().Status
	}
	if info, ok := codeByName[Code(reason)]; ok {
		return info.Status
	}
	return CodeRefused.Info().Status
}

// Outcomes of submissions that are not, or perhaps not, in the ledger, for metrics and the audit stream.
const (
	LabelUnavailable = "unavailable" // not accepted, can be sent again
	LabelUnknown     = "unknown"     // perhaps committed, can be sent again
	LabelError       = "error"       // a fault of the node
)

// OutcomeLabel returns the outcome of a submission whose response is p. If the ledger decided, it is the
// ledger's outcome, else refused, conflict, unavailable, unknown or error.
func (p *Problem) OutcomeLabel() string {
	switch {
	case p.Outcome != "":
		return p.Outcome
	case p.Code == CodeConflict:
		return OutcomeConflict
	case p.Status == http.StatusServiceUnavailable:
		return LabelUnavailable
	case p.Status == http.StatusGatewayTimeout:
		return LabelUnknown
	case p.Status >= 500:
		return LabelError
	}
	return OutcomeRefused
}

// Problem is an RFC 9457 problem document, the body of every response other than 200 and 202. It implements
// error, so that packages can return it as a value.
type Problem struct {
	Type      string `json:"type"` // "/problems/<slug>"
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Text      string `json:"error"` // plain text for clients that read nothing else
	Code      Code   `json:"code"`
	RequestID string `json:"request_id,omitempty"`

	ReasonCode string   `json:"reason_code"`
	Reasons    []string `json:"reasons,omitempty"`
	// member or parameter that is wrong, such as "D_hat" or "N_j.02"
	Field        string `json:"field,omitempty"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"` // also sent as Retry-After, rounded up
	Leader       string `json:"leader,omitempty"`         // base URL of the leader, if another node should be asked

	Accepted   bool   `json:"accepted"`  // always false
	Escalated  bool   `json:"escalated"` // always false
	PCSID      string `json:"pcs_id,omitempty"`
	Outcome    string `json:"outcome,omitempty"` // refused or conflict, if the ledger keeps the submission
	Seq        uint64 `json:"seq,omitempty"`     // the event, if the ledger keeps the submission
	Policy     string `json:"policy,omitempty"`
	Generation uint32 `json:"generation,omitempty"`
	Replayed   bool   `json:"replayed,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty"` // the record was only checked and not logged

	Receipt string `json:"receipt,omitempty"` // of the event, only in responses to a submission with Prefer: wait

	First            *SubmitAnswer `json:"first,omitempty"` // the outcome that stands, for conflicts
	RecomputedDHat   *nano.Nano    `json:"recomputed_D_hat,omitempty"`
	RecomputedBudget *nano.Nano    `json:"recomputed_budget,omitempty"`
}

// NewProblem returns a problem with the usual status, title and reason code of its code. An empty detail
// becomes the title.
func NewProblem(code Code, detail string) *Problem {
	info := code.Info()
	if detail == "" {
		detail = info.Title
	}
	return &Problem{
		Type: "/problems/" + info.Code.Slug(), Title: info.Title, Status: info.Status, Detail: detail,
		Text: detail, Code: info.Code, ReasonCode: info.ReasonCode,
	}
}

// Error returns the plain text.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// WithField sets the member or parameter that is wrong.
func (p *Problem) WithField(field string) *Problem { p.Field = field; return p }

// WithReason sets the reason code and the failing checks.
func (p *Problem) WithReason(code string, all ...string) *Problem {
	p.ReasonCode, p.Reasons = code, all
	return p
}

// WithPCS sets the record that the problem is about.
func (p *Problem) WithPCS(id string) *Problem { p.PCSID = id; return p }

// WithRetry sets the time to wait before the same request is sent again.
func (p *Problem) WithRetry(after time.Duration) *Problem {
	p.RetryAfterMS = max(after.Milliseconds(), 1)
	return p
}

// WithFirst attaches the outcome that stands and its recomputed values.
func (p *Problem) WithFirst(first SubmitAnswer) *Problem {
	p.First, p.RecomputedDHat = &first, first.RecomputedDHat
	p.RecomputedBudget = nano.Ptr(first.RecomputedBudget)
	return p
}

// RetryAfterSeconds returns the value of the Retry-After header, 0 for none.
func (p *Problem) RetryAfterSeconds() int64 { return (p.RetryAfterMS + 999) / 1000 }
