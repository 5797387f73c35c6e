package projections

import "github.com/recount-ledger/recount/internal/event"

// MemberChangeRow is one change of the members that an operator asked for. The configuration of the Raft log says who
// the members are.
type MemberChangeRow struct {
	Seq       uint64
	LogTime   int64
	Change    string // added, promoted, removed, moved, leads
	Member    string
	Peer, API string // addresses, with added and moved
	Op        Op
}

// memberAdded is the change with which a node becomes a learner. The word is persisted.
const memberAdded = "added"

func decideMemberChanged(c *Control, o *operator, m *event.MemberChangedV1) Effect {
	switch {
	case m.Change == "":
		return Ignored
	case len(m.Invitation) > 0:
		return decideInvited(c, o, m)
	}
	return Applied
}

func applyMemberChanged(c *Control, o *operator, m *event.MemberChangedV1) {
	applyInvited(c, m)
	c.reg.members = append(c.reg.members, MemberChangeRow{
		Seq:     o.seq,
		LogTime: o.logTime,
		Change:  m.Change,
		Member:  m.Member,
		Peer:    m.PeerAddress,
		API:     m.ApiAddress,
		Op:      opOf(m.Op),
	})
}

// MemberAPI returns the base URL for clients that an operator named last when a node was added, "" for none.
func (c *Control) MemberAPI(id string) (api string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, m := range c.reg.members {
		if m.Member == id && m.API != "" {
			api = m.API
		}
	}
	return api
}
