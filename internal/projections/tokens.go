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

// count reports whether the credential of an operation was not revoked before it. Authentication comes before
// the log, and a revocation may come in between.
func (c *credentials) count(o *operator) bool {
	m, ok := o.msg.(interface{ GetOp() *event.OpV1 })
	return !ok || !c.isRevoked(m.GetOp().GetCredential())
}

// isRevoked reports whether the credential of an Op is revoked: "token:" and an id, or "cert:" and a serial
// number.
func (c *credentials) isRevoked(credential string) bool {
	_, revoked := c.revoked[strings.TrimPrefix(credential, event.TokenPrefix)]
	return revoked
}

// effectOf decides the effect of an event about credentials. ops are the op_ids of the operations done.
func (c *credentials) effectOf(o *operator, ops map[string]uint64) Effect {
	switch m := o.msg.(type) {
	case *event.TokenCreatedV1:
		_, taken := c.byToken[m.Id]
		_, revoked := c.revoked[m.Id]
		if taken || revoked || m.Id == "" || len(m.Id) > maxTokenID || m.Name == "" || len(m.Name) > maxTokenName ||
			!slices.Contains(tokenRoles, m.Role) || len(m.Sha256) != 32 || m.ExpiresAt <= 0 {
			return Ignored
		}
	case *event.TokenRevokedV1:
		if m.Id == "" || len(m.Id) > maxTokenID {
			return Ignored
		}
		if _, revoked := c.revoked[m.Id]; revoked {
			return Repeated
		}
	case *event.ActApprovedV1:
		return c.approve(o, m, ops)
	}
	return Applied
}

// approve decides the effect of one more approval. It must be for the same request as earlier ones, from
// another actor, and in time.
func (c *credentials) approve(o *operator, m *event.ActApprovedV1, ops map[string]uint64) Effect {
	if m.ActOpId == "" || m.Act == "" || m.Request == "" || m.GetOp().GetActor() == "" || ops[m.ActOpId] != 0 {
		return Ignored
	}
	for _, a := range c.approved(m.ActOpId, o.logTime) {
		switch {
		case a.Act != m.Act || a.Request != m.Request || a.Operation != string(m.Operation):
			return Ignored
		case strings.EqualFold(a.Op.Actor, m.Op.Actor):
			return Repeated
		}
	}
	return Applied
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

// apply updates the state in memory with an applied event.
func (c *credentials) apply(o *operator) {
	switch m := o.msg.(type) {
	case *event.TokenCreatedV1:
		c.byToken[m.Id] = len(c.tokens)
		c.tokens = append(c.tokens, TokenRow{Seq: o.seq, LogTime: o.logTime, ID: m.Id, Name: m.Name, Role: m.Role,
			SHA256: [32]byte(m.Sha256), ExpiresAt: m.ExpiresAt, Op: opOf(m.Op)})
	case *event.TokenRevokedV1:
		c.revoked[m.Id] = TokenRevocation{Seq: o.seq, LogTime: o.logTime, Op: opOf(m.Op)}
	case *event.ActApprovedV1:
		c.approvals = slices.DeleteFunc(c.approvals, func(a ApprovalRow) bool {
			return o.logTime-a.LogTime >= ApprovalFor
		})
		c.approvals = append(c.approvals,
			ApprovalRow{Seq: o.seq, LogTime: o.logTime, OpID: m.ActOpId, Act: m.Act, Request: m.Request,
				Operation: string(m.Operation), Op: opOf(m.Op)})
	}
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
