package projections

// Bounds of invitations.
const (
	// MaxInvitations is the number of invitations that may be open at a time.
	MaxInvitations = 32
	// keptInvitations is the number of invitations that the state holds, with those that ended lately.
	keptInvitations = 64
	// MaxInvitationFor is the longest time that an invitation may be open, nanoseconds of log time.
	MaxInvitationFor = int64(24 * 3600 * 1_000_000_000)
	// maxMemberText bounds the texts of an invitation, in bytes. Packages cluster and node give their forms.
	maxMemberText = 255
)

// InvitationEnd names the way in which an invitation ended before its time.
type InvitationEnd string

// The ends of invitations.
const (
	NotEnded         InvitationEnd = ""          // it is open until it expires
	EndedByNode      InvitationEnd = "used"      // the node was added with it
	EndedByOperator  InvitationEnd = "withdrawn" // an operator took it back
	EndedByAnother   InvitationEnd = "replaced"  // the node was invited again
	EndedByRestoring InvitationEnd = "restored"  // it was that of another cluster with this log
)

// InvitationRow is the permission of a node to add itself to the members once, with the secret of a join token. The log
// holds only the digest of the secret.
type InvitationRow struct {
	Seq       uint64
	LogTime   int64
	Node      string
	Peer, API string   // addresses
	SHA256    [32]byte // of the secret
	ExpiresAt int64    // Unix nanoseconds, log time: it counts before that
	Op        Op

	End         InvitationEnd
	Incarnation string // of the directory of the node that was added with it
}

// open reports whether the invitation counts at a log time.
func (r *InvitationRow) open(logTime int64) bool { return r.End == NotEnded && logTime < r.ExpiresAt }

// invitations are the invitations that are open and those that ended last, ascending seq, at most keptInvitations.
type invitations []InvitationRow

// of returns the open invitation of a node, nil if there is none.
func (all invitations) of(node string, logTime int64) *InvitationRow {
	for i := range all {
		if r := &all[i]; r.Node == node && r.open(logTime) {
			return r
		}
	}
	return nil
}

// with returns the invitation with this digest of its secret, nil if it is not known.
func (all invitations) with(digest []byte) *InvitationRow {
	for i := range all {
		if string(all[i].SHA256[:]) == string(digest) {
			return &all[i]
		}
	}
	return nil
}

// countOpen counts those that are open at a log time.
func (all invitations) countOpen(logTime int64) (n int) {
	for i := range all {
		if all[i].open(logTime) {
			n++
		}
	}
	return n
}

// pruned drops the oldest ones that are not open while there are too many.
func (all invitations) pruned(logTime int64) invitations {
	for i := 0; i < len(all) && len(all) > keptInvitations; {
		if all[i].open(logTime) {
			i++
			continue
		}
		all = append(all[:i], all[i+1:]...)
	}
	return all
}

// Invitation returns the invitation whose secret has this SHA-256, open or not.
func (c *Control) Invitation(digest [32]byte) (InvitationRow, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.invited.with(digest[:]); r != nil {
		return *r, true
	}
	return InvitationRow{}, false
}

// JoinedFrom returns the incarnation of the directory with which a node was added by an invitation, "" if it was added
// otherwise or its invitation is forgotten.
func (c *Control) JoinedFrom(node string) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := len(c.invited) - 1; i >= 0; i-- {
		if r := &c.invited[i]; r.Node == node && r.End == EndedByNode {
			return r.Incarnation
		}
	}
	return ""
}

// Invitations lists the invitations that are open at a log time, oldest first.
func (c *Control) Invitations(logTime int64) (out []InvitationRow) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range c.invited {
		if c.invited[i].open(logTime) {
			out = append(out, c.invited[i])
		}
	}
	return out
}
