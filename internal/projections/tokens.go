package projections

import (
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
)

// ApprovalFor is the validity of an approval in log time, nanoseconds.
const ApprovalFor = int64(3600 * 1_000_000_000)

// Bounds of the fields of a token, in bytes. Package wire gives the form.
const (
	maxTokenID   = 64
	maxTokenName = 64
)

// tokenRoles are the roles that a token in the log may have. The words are persisted and must never change.
var tokenRoles = []string{"metrics", "auditor", "responder", "operator"}

// TokenRow is a token in the log. The log does not hold its text.
type TokenRow struct {
	Seq            uint64
	LogTime        int64
	ID, Name, Role string
	SHA256         [32]byte
	ExpiresAt      int64 // Unix nanoseconds
	Op             Op
}

// TokenRevocation names the event that revoked a token.
type TokenRevocation struct {
	Seq     uint64
	LogTime int64
	Op      Op
}

// ApprovalRow is the approval of one operation by one actor.
type ApprovalRow struct {
	Seq                uint64
	LogTime            int64
	OpID, Act, Request string // op_id and name of the operation, and the exact request
	// the request as JSON, from which it is carried out; empty in logs of the first releases
	Operation string
	Op        Op
}

// credentials is the part of the control state about tokens and approvals.
type credentials struct {
	tokens    []TokenRow // ascending seq
	byToken   map[string]int
	revoked   map[string]TokenRevocation
	approvals []ApprovalRow // ascending seq; expired ones are dropped when another one comes
}

func newCredentials() credentials {
	return credentials{byToken: map[string]int{}, revoked: map[string]TokenRevocation{}}
}

// isRevoked reports whether the credential of an Op is revoked: "token:" and an id, or "cert:" and a serial
// number.
func (c *credentials) isRevoked(credential string) bool {
	_, revoked := c.revoked[strings.TrimPrefix(credential, event.TokenPrefix)]
	return revoked
}

// approved lists the approvals of an operation that are valid at a log time.
func (c *credentials) approved(opID string, logTime int64) (out []ApprovalRow) {
	for _, a := range c.approvals {
		if a.OpID == opID && logTime-a.LogTime < ApprovalFor && !c.isRevoked(a.Op.Credential) {
			out = append(out, a)
		}
	}
	return out
}

// Tokens lists the tokens of the log, oldest first.
func (c *Control) Tokens() []TokenRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.creds.tokens)
}

// Token returns a token of the log by its id, revoked or not.
func (c *Control) Token(id string) (TokenRow, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.creds.byToken[id]
	if !ok {
		return TokenRow{}, false
	}
	return c.creds.tokens[i], true
}

// CredentialRevoked reports whether the credential of an Op is revoked.
func (c *Control) CredentialRevoked(credential string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.creds.isRevoked(credential)
}

// TokenRevoked reports whether a token is revoked and returns the revocation. The token may also be one that is
// not in the log but in a node's file.
func (c *Control) TokenRevoked(id string) (TokenRevocation, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.creds.revoked[id]
	return r, ok
}

// Approvals lists the approvals for the operation with an op_id that are valid at a log time (Unix
// nanoseconds), oldest first.
func (c *Control) Approvals(opID string, logTime int64) []ApprovalRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.creds.approved(opID, logTime)
}

// RecentApprovals lists the approvals that are valid at a log time, oldest first. done holds the op_ids of
// operations that are already in the log.
func (c *Control) RecentApprovals(logTime int64) (out []ApprovalRow, done map[string]bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	done = map[string]bool{}
	for _, a := range c.creds.approvals {
		if logTime-a.LogTime < ApprovalFor && !c.creds.isRevoked(a.Op.Credential) {
			out = append(out, a)
			done[a.OpID] = c.sched.ops[a.OpID] != 0
		}
	}
	return out, done
}

// PendingApprovals lists the approvals that are valid at a log time for operations that are not done yet,
// oldest first.
func (c *Control) PendingApprovals(logTime int64) (out []ApprovalRow) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, a := range c.creds.approvals {
		if logTime-a.LogTime < ApprovalFor && c.sched.ops[a.OpID] == 0 && !c.creds.isRevoked(a.Op.Credential) {
			out = append(out, a)
		}
	}
	return out
}
