package projections

import "github.com/recount-ledger/recount/internal/event"

// decideMemberInvited applies a well-formed invitation with a new secret, while not too many are open.
func decideMemberInvited(c *Control, o *operator, m *event.MemberInvitedV1) Effect {
	open := c.invited.countOpen(o.logTime)
	if c.invited.of(m.Member, o.logTime) != nil {
		open-- // this one takes its place
	}
	if m.Member == "" || len(m.Member) > maxTokenName || m.PeerAddress == "" || len(m.PeerAddress) > maxMemberText ||
		len(m.ApiAddress) > maxMemberText || len(m.Sha256) != 32 || m.ValidFor <= 0 || m.ValidFor > MaxInvitationFor ||
		open >= MaxInvitations || c.invited.with(m.Sha256) != nil {
		return Ignored
	}
	return Applied
}

func applyMemberInvited(c *Control, o *operator, m *event.MemberInvitedV1) {
	if earlier := c.invited.of(m.Member, o.logTime); earlier != nil {
		earlier.End = EndedByAnother
	}
	c.invited = append(c.invited, InvitationRow{
		Seq:       o.seq,
		LogTime:   o.logTime,
		Node:      m.Member,
		Peer:      m.PeerAddress,
		API:       m.ApiAddress,
		SHA256:    [32]byte(m.Sha256),
		ExpiresAt: o.logTime + m.ValidFor,
		Op:        opOf(m.Op),
	}).pruned(o.logTime)
}

func decideInvitationWithdrawn(c *Control, o *operator, m *event.InvitationWithdrawnV1) Effect {
	if c.invited.of(m.Member, o.logTime) == nil {
		return Ignored
	}
	return Applied
}

func applyInvitationWithdrawn(c *Control, o *operator, m *event.InvitationWithdrawnV1) {
	if r := c.invited.of(m.Member, o.logTime); r != nil {
		r.End = EndedByOperator
	}
}

// decideInvited decides about a node that is added with an invitation. The same directory may ask again. Another one,
// with the same id, may not.
func decideInvited(c *Control, o *operator, m *event.MemberChangedV1) Effect {
	r := c.invited.with(m.Invitation)
	switch {
	case r == nil, m.Change != memberAdded, r.Node != m.Member, r.Peer != m.PeerAddress, r.API != m.ApiAddress,
		m.Incarnation == "", len(m.Incarnation) > maxTokenName:
		return Ignored
	case r.End == EndedByNode && r.Incarnation == m.Incarnation:
		return Repeated
	case !r.open(o.logTime):
		return Ignored
	}
	return Applied
}

func applyInvited(c *Control, m *event.MemberChangedV1) {
	if r := c.invited.with(m.Invitation); r != nil {
		r.End, r.Incarnation = EndedByNode, m.Incarnation
	}
}
