package projections

import (
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
)

// Decisions and changes of the kinds about tokens and approvals. The state is in credentials.

// decideTokenCreated applies a well-formed token whose id was never used. A revoked id never comes back.
func decideTokenCreated(c *Control, _ *operator, m *event.TokenCreatedV1) Effect {
	_, taken := c.creds.byToken[m.Id]
	_, revoked := c.creds.revoked[m.Id]
	if taken || revoked || m.Id == "" || len(m.Id) > maxTokenID || m.Name == "" || len(m.Name) > maxTokenName ||
		!slices.Contains(tokenRoles, m.Role) || len(m.Sha256) != 32 || m.ExpiresAt <= 0 {
		return Ignored
	}
	return Applied
}

func applyTokenCreated(c *Control, o *operator, m *event.TokenCreatedV1) {
	c.creds.byToken[m.Id] = len(c.creds.tokens)
	c.creds.tokens = append(c.creds.tokens, TokenRow{
		Seq:       o.seq,
		LogTime:   o.logTime,
		ID:        m.Id,
		Name:      m.Name,
		Role:      m.Role,
		SHA256:    [32]byte(m.Sha256),
		ExpiresAt: m.ExpiresAt,
		Op:        opOf(m.Op),
	})
}

// decideTokenRevoked also applies to ids that are not in the log: the token may be in a file of a node.
func decideTokenRevoked(c *Control, _ *operator, m *event.TokenRevokedV1) Effect {
	if m.Id == "" || len(m.Id) > maxTokenID {
		return Ignored
	}
	if _, revoked := c.creds.revoked[m.Id]; revoked {
		return Repeated
	}
	return Applied
}

func applyTokenRevoked(c *Control, o *operator, m *event.TokenRevokedV1) {
	c.creds.revoked[m.Id] = TokenRevocation{Seq: o.seq, LogTime: o.logTime, Op: opOf(m.Op)}
}

// decideOperationApproved applies one more approval of an operation that is not done. It must be for the same request
// as earlier ones, from another actor, and in time.
func decideOperationApproved(c *Control, o *operator, m *event.ActApprovedV1) Effect {
	if m.ActOpId == "" || m.Act == "" || m.Request == "" || m.GetOp().GetActor() == "" || c.sched.ops[m.ActOpId] != 0 {
		return Ignored
	}
	for _, a := range c.creds.approved(m.ActOpId, o.logTime) {
		switch {
		case a.Act != m.Act || a.Request != m.Request || a.Operation != string(m.Operation):
			return Ignored
		case strings.EqualFold(a.Op.Actor, m.Op.Actor):
			return Repeated
		}
	}
	return Applied
}

func applyOperationApproved(c *Control, o *operator, m *event.ActApprovedV1) {
	c.creds.approvals = slices.DeleteFunc(c.creds.approvals, func(a ApprovalRow) bool {
		return o.logTime-a.LogTime >= ApprovalFor
	})
	c.creds.approvals = append(c.creds.approvals, ApprovalRow{
		Seq:       o.seq,
		LogTime:   o.logTime,
		OpID:      m.ActOpId,
		Act:       m.Act,
		Request:   m.Request,
		Operation: string(m.Operation),
		Op:        opOf(m.Op),
	})
}
